"""Numbers: arrays in, CKA out. Knows no files but a saved Comparison.

arrays      what the caller has -> views (address, shape, strides, dtype), no copy if it can be
plan        shapes -> route, tile, memory, flops; pure
backend     views + plan -> S0 and k, by the compiled pass
estimators  S0, k, n -> HSIC and CKA, both estimators
compare     the four together -> Comparison (labels, matrices, provenance)
cka         the one-line functions on top
"""

from __future__ import annotations

from fastcka.core.arrays import StagedRepresentation
from fastcka.core.backend import plan_pass
from fastcka.core.cka import cka, cka_matrix, hsic
from fastcka.core.compare import compare
from fastcka.core.comparison import Comparison
from fastcka.core.plan import PassPlan

__all__ = [
    "Comparison",
    "PassPlan",
    "StagedRepresentation",
    "cka",
    "cka_matrix",
    "compare",
    "hsic",
    "plan_pass",
]
