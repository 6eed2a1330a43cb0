"""Where a record was made: the GPU, its libraries, the commit, what is missing.

python -m benchmarks.gpu.facts        # JSON; `usable` false comes with fastcka's reason
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = ("numpy", "torch", "cupy-cuda13x", "h5py", "pytest", "nvidia-cublas", "triton")
#: Module -> what it is needed for.
NEEDED = {
    "torch": "the benchmarks, and a part of the tests",
    "cupy": "anything on the GPU",
    "pytest": "the suite",
    "hypothesis": "a part of the tests",
    "h5py": "the benchmarks from a store",
    "regex": "the benchmarks from a store",
    "yaml": "the tests of sweeps",
    "pydantic": "the tests of sweeps and of the command line, fastcka doctor",
    "typer": "fastcka doctor",
    "rich": "fastcka doctor",
}
VARIABLES = ("NVIDIA_TF32_OVERRIDE", "CUPY_TF32", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG")
SMI_FIELDS = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.sm,temperature.gpu"


def facts():
    from fastcka import __version__
    from fastcka.core import cuda_status

    status = cuda_status()
    return {
        "usable": status.usable,
        "reason": status.reason,
        "device": status.devices[0].name if status.devices else None,
        "cuda": status.to_dict(),
        "fastcka": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)),
        "versions": {name: _version(name) for name in DISTRIBUTIONS},
        "missing": missing(),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "nvidia-smi": output(["nvidia-smi", f"--query-gpu={SMI_FIELDS}", "--format=csv"]),
        "doctor": _doctor(),
        **_commit(),
    }


def missing():
    """Modules that are not installed, with what they are needed for."""
    return {name: what for name, what in NEEDED.items() if importlib.util.find_spec(name) is None}


def output(command):
    """What a program prints; else None."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit():
    commit = output(["git", "rev-parse", "HEAD"])
    changed = output(["git", "status", "--porcelain"])
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _doctor():
    done = subprocess.run(
        [sys.executable, "-m", "fastcka", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        return {"failed": (done.stderr or done.stdout).strip()[-500:]}
    return json.loads(done.stdout)


if __name__ == "__main__":
    print(json.dumps(facts(), indent=1))
