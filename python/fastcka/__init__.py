"""fastcka: Centered Kernel Alignment of all pairs of a sweep in one fused pass."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastcka.core import Comparison, Inference, cka, cka_matrix, compare, hsic
from fastcka.core.backend import version as __version__
from fastcka.memory import memory_check

if TYPE_CHECKING:
    from fastcka.core import Accumulator, permutation_test
    from fastcka.core.curve import curve
    from fastcka.store import create_store, open_store
    from fastcka.sweep import run_sweep

__all__ = [
    "Accumulator",
    "Comparison",
    "Inference",
    "__version__",
    "cka",
    "cka_matrix",
    "compare",
    "create_store",
    "curve",
    "hsic",
    "memory_check",
    "open_store",
    "permutation_test",
    "run_sweep",
]

# Imported on first use: h5py and pydantic would double the time of `import fastcka`.
_LAZY = {
    "Accumulator": "fastcka.core",
    "create_store": "fastcka.store",
    "curve": "fastcka.core.curve",
    "open_store": "fastcka.store",
    "permutation_test": "fastcka.core",
    "run_sweep": "fastcka.sweep",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fastcka' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
