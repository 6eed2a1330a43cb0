"""Computation: arrays in, CKA out. The only files are saved Comparisons.

arrays      what the caller has -> views (address, shape, strides, dtype), no copy if it can be
base_plan   what the plans for the CPU and for CUDA have in common
plan        shapes -> route, tile, memory, flops; pure
moment_cost the same for third moments
device      on the CPU or on a GPU, and why: views -> plan
device_name how a caller names a device
backend     views + plan -> sums, by the compiled pass on the CPU
cuda/       the same on a CUDA device
estimators  sums -> HSIC and CKA, both estimators
flight      which small groups go through one call of the compiled pass
memory      what a pass needs in addition to its arrays, and whether that is free
work        a group begun and finished
inference/  chance levels, p-values and corrections
result      sums -> Comparison (labels, matrices, provenance)
cross       a Comparison of two sets, A x B
selection   some representations of a Comparison, by name, position or label
geometry    a Comparison -> distances, coordinates, a tree
pictures    the distances and pictures of a Comparison
drawing     heatmaps, maps and trees
html        a Comparison as HTML
members     what a caller passes -> labels and arrays
group_queue groups that wait for a flight, or are computed
compare     one group, two sets, or many groups
many_gpus   groups spread over all GPUs
cka         the one-line functions on top
kernels     kernels that are not linear, by NumPy
moments     sums over examples that can be extended and merged, by NumPy
accumulator batches of examples -> moments -> Comparison
streaming/  blocks of rows, where a group does not fit into memory
measures/   measures in addition to linear CKA, by NumPy
minibatch   batches -> minibatch CKA, an average of estimates
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastcka.core.arrays import StagedRepresentation
from fastcka.core.backend import cuda_status, release_memory
from fastcka.core.cka import cka, cka_matrix, hsic
from fastcka.core.compare import compare, compare_many
from fastcka.core.comparison import Comparison
from fastcka.core.cross import CrossComparison
from fastcka.core.device import plan_pass, require_device
from fastcka.core.device_name import Device, checked_device
from fastcka.core.inference.options import Inference
from fastcka.core.plan import PassPlan
from fastcka.core.request import Flight, Group
from fastcka.core.streaming.plan import StreamPlan

if TYPE_CHECKING:
    from fastcka.core.accumulator import Accumulator
    from fastcka.core.cuda.plan import CudaPlan
    from fastcka.core.cuda.status import CudaStatus
    from fastcka.core.inference.permutation_result import PermutationTest, PermutedMatrices
    from fastcka.core.inference.permutations import permutation_test
    from fastcka.core.kernels import kernel_cka
    from fastcka.core.measures.measure import Measure
    from fastcka.core.minibatch import minibatch_cka

__all__ = [
    "Accumulator",
    "Comparison",
    "CrossComparison",
    "CudaPlan",
    "CudaStatus",
    "Device",
    "Flight",
    "Group",
    "Inference",
    "Measure",
    "PassPlan",
    "PermutationTest",
    "PermutedMatrices",
    "StagedRepresentation",
    "StreamPlan",
    "checked_device",
    "cka",
    "cka_matrix",
    "compare",
    "compare_many",
    "cuda_status",
    "hsic",
    "kernel_cka",
    "minibatch_cka",
    "permutation_test",
    "plan_pass",
    "release_memory",
    "require_device",
]

# Imported on first use: `cka` and `compare` on a CPU need none of them.
_LAZY = {
    "Accumulator": "fastcka.core.accumulator",
    "CudaPlan": "fastcka.core.cuda.plan",
    "CudaStatus": "fastcka.core.cuda.status",
    "Measure": "fastcka.core.measures.measure",
    "PermutationTest": "fastcka.core.inference.permutation_result",
    "PermutedMatrices": "fastcka.core.inference.permutation_result",
    "kernel_cka": "fastcka.core.kernels",
    "minibatch_cka": "fastcka.core.minibatch",
    "permutation_test": "fastcka.core.inference.permutations",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'fastcka.core' has no attribute {name!r}")
