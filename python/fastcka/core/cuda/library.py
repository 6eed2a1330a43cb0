"""Where cuBLAS may be found. The compiled module opens the first of the candidates that can be."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

#: Releases whose calls the compiled module knows.
SONAMES = ("libcublas.so.13", "libcublas.so.12")

_LOADED = re.compile(r"\s(/\S.*/libcublas\.so\.1[23](?:\.[\d.]+)?)$", re.MULTILINE)


def cublas_candidates() -> list[str]:
    """Paths and names to open cuBLAS by, in order.

    The copy that the process has already (that of torch or cupy, say) comes first: two copies of
    one library would each hold hundreds of megabytes of a device's memory. Then the one that
    cuda-pathfinder finds (in NVIDIA's wheels, conda or the toolkit), then the plain names.
    """
    return list(dict.fromkeys([*loaded_cublas(), *_by_pathfinder(), *SONAMES]))


def loaded_cublas(maps: Path = Path("/proc/self/maps")) -> list[str]:
    """Copies of libcublas that the process has mapped, in the order of their names."""
    try:
        text = maps.read_text("utf-8", errors="surrogateescape")
    except OSError:
        return []
    return sorted(set(_LOADED.findall(text)), reverse=True)


def _by_pathfinder() -> list[str]:
    try:
        pathfinder = importlib.import_module("cuda.pathfinder")
    except ImportError:
        return []
    try:
        path = pathfinder.load_nvidia_dynamic_lib("cublas").abs_path
    except RuntimeError:  # not found; what the loader says of the plain names is kept instead
        return []
    return [] if path is None else [str(path)]
