"""Where a record was measured: the machine, the versions, the commit."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess

from benchmarks.process import ROOT

#: What decides which inner loops can run.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve")
SHARED = ("fastcka", "numpy", "torch", "h5py", "matplotlib")


def machine():
    """Processor, cores, memory, kernel; JSON values."""
    described = _cpuinfo()
    held = set(described.get("flags", described.get("Features", "")).split())
    return {
        "processor": described.get("model name", platform.machine()),
        "family": ", ".join(
            f"{name} {described[name]}" for name in ("cpu family", "model") if name in described
        ),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in FLAGS if flag in held],
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
    }


def versions():
    """Of what all contestants share; each entry of a record has that of its own package."""
    found = {"python": platform.python_version()}
    for name in SHARED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit():
    """The commit, "dirty" if files differ from it; None outside of a clone."""
    try:
        head = _git("rev-parse", "HEAD")
        return head[:12] + ("-dirty" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*words):
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _cpuinfo():
    """The fields of the first processor in /proc/cpuinfo."""
    with open("/proc/cpuinfo") as file:
        first = file.read().split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}
