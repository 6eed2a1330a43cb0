"""Where a record was measured: the machine, its GPU, the versions, the commit.

python -m benchmarks.machine    # the facts of a GPU as JSON; if `usable` is false, why
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys

from benchmarks.process import ROOT

#: The processor's features that decide which inner loops can run.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve")
SHARED = ("fastcka", "numpy", "torch", "h5py", "matplotlib")
GPU_LIBRARIES = (
    *("cupy-cuda12x", "cupy-cuda13x", "nvidia-cublas", "nvidia-cublas-cu12", "triton", "pytest"),
)
VARIABLES = ("NVIDIA_TF32_OVERRIDE", "CUPY_TF32", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG")
SMI_FIELDS = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.sm,temperature.gpu"
#: Seconds that another program may take.
PATIENCE = 60


def machine():
    """Processor, cores, memory, kernel; JSON values."""
    described = _cpuinfo()
    present = set(described.get("flags", described.get("Features", "")).split())
    return {
        "processor": described.get("model name", platform.machine()),
        "family": ", ".join(
            f"{name} {described[name]}" for name in ("cpu family", "model") if name in described
        ),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS if flag in present],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
    }


def versions(names=SHARED):
    """Versions of Python and of what all contestants share, None where it is not installed."""
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def version(distribution):
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit():
    """The commit, with "-dirty" if files other than records differ; None outside of a clone."""
    head = _output("git", "rev-parse", "HEAD")
    changed = _output("git", "status", "--porcelain", "--", ":!benchmarks/records")
    return None if head is None or changed is None else head[:12] + ("-dirty" if changed else "")


def gpu():
    """The facts of the first GPU and of everything that its figures depend on; JSON values."""
    from fastcka.core import cuda_status

    status = cuda_status()
    doctor = _output(sys.executable, "-m", "fastcka", "doctor", "--json")
    smi = _output("nvidia-smi", f"--query-gpu={SMI_FIELDS}", "--format=csv")
    return {
        "usable": status.usable,
        "reason": status.reason,
        "device": status.devices[0].name if status.devices else None,
        "commit": commit(),
        "machine": machine(),
        "cuda": status.to_dict(),
        "versions": versions((*SHARED, *GPU_LIBRARIES)),
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "nvidia-smi": smi,
        "doctor": json.loads(doctor or '{"failed": "run `fastcka doctor` to see why"}'),
    }


def _output(*command):
    """What a program prints, or None if it fails or does not exist."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpuinfo():
    """The fields of the first processor in /proc/cpuinfo."""
    with open("/proc/cpuinfo") as file:
        first = file.read().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


if __name__ == "__main__":
    print(json.dumps(gpu(), indent=1))
