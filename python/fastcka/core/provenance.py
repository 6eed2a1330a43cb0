"""What ran, as a `Comparison` tells it: JSON values only."""

from __future__ import annotations

import os
from typing import Any

from fastcka.core.backend import version
from fastcka.core.cuda.plan import CudaPlan
from fastcka.core.cuda.status import cublas_version_text
from fastcka.core.plan import PassPlan

#: Variables by which cuBLAS and cupy can be told to compute products otherwise than they are asked.
OVERRIDES = (
    "NVIDIA_TF32_OVERRIDE",
    "CUPY_TF32",
    "CUBLAS_EMULATE_SINGLE_PRECISION",
    "CUBLAS_EMULATE_DOUBLE_PRECISION",
    "CUBLAS_EMULATION_STRATEGY",
)

_PLANNED = ("route", "tile", "chunk", "precision", "products", "implementation", "threads", "flops")


def provenance_of(
    plan: PassPlan | CudaPlan, *, reason: str, seconds: float, cublas_version: int = 0
) -> dict[str, Any]:
    """What ran where, why there, and in how many seconds."""
    told: dict[str, Any] = {
        "fastcka": version,
        "device": "cpu",
        "device_reason": reason,
        "kernel_function": "linear",
        "seconds": seconds,
        "plan": plan.explain(),
        **{name: getattr(plan, name) for name in _PLANNED},
    }
    if isinstance(plan, CudaPlan):
        told["device"] = str(plan.device)
        told["rank_chunk"] = plan.rank_chunk
        told["implementation"] += f" {cublas_version_text(cublas_version)}"
        told["overrides"] = {name: os.environ[name] for name in OVERRIDES if name in os.environ}
    return told
