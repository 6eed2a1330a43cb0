"""fastcka: Centered Kernel Alignment of all pairs of a sweep in one fused pass.

From arrays:

    fastcka.cka(x, y), fastcka.hsic(x, y)       one pair of representations -> a number
    fastcka.compare({"a": x, "b": y})           all pairs -> Comparison
    fastcka.compare(layers_a, layers_b)         each of one set with each of another
    fastcka.cka_matrix([x, y, z])               all pairs -> an array
    fastcka.curve([x, y])                       CKA over the number of examples
    fastcka.permutation_test([x, y])            p-values from permuted examples
    fastcka.Accumulator()                       CKA from batches of examples
    fastcka.Inference(...)                      options of p-values and intervals
    fastcka.Measure(...)                        a measure besides CKA, with its options

From files:

    fastcka.create_store, fastcka.open_store    representations on disk
    fastcka.run_sweep("sweep.yaml")             compare those of a store, by rules

Packages, imported on first use:

    fastcka.capture                             layers of networks, and checkpoints
    fastcka.stats                               means, tests and intervals of results
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastcka.core import Comparison, CrossComparison, Inference, cka, cka_matrix, compare, hsic
from fastcka.core.backend import version as __version__
from fastcka.memory import memory_check

if TYPE_CHECKING:
    from fastcka import capture, stats
    from fastcka.core import Accumulator, Measure, permutation_test
    from fastcka.core.curve import curve
    from fastcka.store import create_store, open_store
    from fastcka.sweep import run_sweep

__all__ = [
    "Accumulator",
    "Comparison",
    "CrossComparison",
    "Inference",
    "Measure",
    "__version__",
    "capture",
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
    "stats",
]

# Imported on first use: h5py and pydantic would double the time of `import fastcka`.
_PACKAGES = {"capture": "fastcka.capture", "stats": "fastcka.stats"}
_LAZY = {
    "Accumulator": "fastcka.core",
    "Measure": "fastcka.core",
    "create_store": "fastcka.store",
    "curve": "fastcka.core.curve",
    "open_store": "fastcka.store",
    "permutation_test": "fastcka.core",
    "run_sweep": "fastcka.sweep",
}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(_PACKAGES[name])
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fastcka' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
