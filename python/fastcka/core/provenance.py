"""The provenance of a `Comparison`, as values for JSON."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastcka.core.backend import version
from fastcka.core.plan import PassPlan
from fastcka.core.streaming.plan import StreamPlan

if TYPE_CHECKING:
    from fastcka.core.cuda.plan import CudaPlan

#: Variables that make cuBLAS and cupy compute products in another way than they are asked to.
OVERRIDES = (
    "NVIDIA_TF32_OVERRIDE",
    "CUPY_TF32",
    "CUBLAS_EMULATE_SINGLE_PRECISION",
    "CUBLAS_EMULATE_DOUBLE_PRECISION",
    "CUBLAS_EMULATION_STRATEGY",
)

_PLANNED = ("route", "tile", "chunk", "precision", "products", "implementation", "threads", "flops")


def provenance_of(
    plan: PassPlan | CudaPlan | StreamPlan, *, seconds: float, cublas_version: int = 0
) -> dict[str, Any]:
    """Return the versions, device, plan and seconds of a computation."""
    record: dict[str, Any] = {
        "fastcka": version,
        "device": "cpu",
        "device_reason": plan.device_reason,
        "kernel_function": "linear",
        "seconds": seconds,
        "n_features": list(plan.n_features),
        "plan": plan.explain(),
        **{name: getattr(plan, name) for name in _PLANNED},
    }
    if isinstance(plan, PassPlan):
        if plan.subsets:
            record["folds"] = plan.subsets
    elif isinstance(plan, StreamPlan):
        record["reads"] = plan.reads
    else:
        from fastcka.core.cuda.status import cublas_version_text

        record["device"] = str(plan.device)
        record["rank_chunk"] = plan.rank_chunk
        record["implementation"] += f" {cublas_version_text(cublas_version)}"
        record["overrides"] = {name: os.environ[name] for name in OVERRIDES if name in os.environ}
    return record
