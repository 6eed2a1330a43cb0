"""How many processors this process may use."""

from __future__ import annotations

import os


def usable_processors() -> tuple[int, str]:
    """Return the number of processors that this process may use, and where it is from.

    Linux can restrict a process to some of the processors, which is its affinity. macOS cannot, so
    all processors of the machine count there.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)), "affinity"
    return os.cpu_count() or 1, "the processors of the machine"
