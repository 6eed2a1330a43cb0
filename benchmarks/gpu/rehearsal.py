"""Rehearsal without a GPU: every part of `gpu_check.py` at tiny sizes, on the emulation of CUDA.

A program of a rehearsal is started through this module, which puts the emulation in place of
fastcka's CUDA part and of cupy. The figures of a rehearsal mean nothing.

    python -m benchmarks.gpu.rehearsal MODULE [ARGUMENT ...]
"""

from __future__ import annotations

import os
import runpy
import sys

from benchmarks.process import ROOT

#: Set in the environment of every process of a rehearsal.
VARIABLE = "FASTCKA_GPU_REHEARSAL"


def rehearsing():
    """Whether this process belongs to a rehearsal."""
    return VARIABLE in os.environ


def program(module, *arguments):
    """The command that runs a module; in a rehearsal, on the emulation."""
    through = [__name__] if rehearsing() else []
    return [sys.executable, "-m", *through, module, *map(str, arguments)]


def emulate():
    """Compile the emulation, if it is not yet compiled, and put it in place."""
    sys.path.append(str(ROOT / "tests"))
    import cuda_emulation

    folder = cuda_emulation.build_folder(ROOT / "build" / "emulation")
    path = cuda_emulation.build_emulation(folder)
    sys.modules["cupy"] = cuda_emulation.load_fake_cupy(path)
    sys.modules["fastcka._cuda"] = cuda_emulation.load_emulation(path)
    from fastcka.core.cuda import runtime

    runtime.cublas_candidates = lambda: [str(path)]


if __name__ == "__main__":
    emulate()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
