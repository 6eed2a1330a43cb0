"""The memory of a pass on the CPU in addition to its arrays, and a check that it is free."""

from __future__ import annotations

from collections.abc import Sequence

from fastcka.core.base_plan import Plan
from fastcka.core.plan import PassPlan
from fastcka.memory import UNCHECKED_BYTES, require_memory
from fastcka.out_of_memory import THREAD_BYTES, named_shortage, require_room

#: Number of (M, M) float64 matrices in memory while the estimates are computed, including the
#: positions of all pairs.
ESTIMATE_MATRICES = 14
#: Number of (M, M) float64 matrices that the values of a group take.
RESULT_MATRICES = 4


def bytes_of_results(plan: Plan) -> int:
    """Return the peak of the bytes for the estimates of a group."""
    # The values of all subsets, and once more while intervals follow from them.
    subsets = plan.subsets if isinstance(plan, PassPlan) else 0
    return plan.bytes_results + matrix_bytes(plan, ESTIMATE_MATRICES + 2 * subsets)


def additional_bytes(plan: Plan) -> int:
    """Return the bytes that a group needs in addition to its arrays."""
    return plan.bytes_centered + plan.bytes_workspace + bytes_of_results(plan)


def bytes_of_flight(plans: Sequence[PassPlan], threads: int) -> int:
    """Return the bytes that the groups of a flight need in addition to their arrays."""
    if len(plans) == 1:
        return additional_bytes(plans[0])
    # Each thread computes one group at a time; the sums of all are there before the first estimate.
    most = max(plan.bytes_centered + plan.bytes_workspace // plan.threads for plan in plans)
    sums = sum(plan.bytes_results for plan in plans)
    values = sum(matrix_bytes(plan, RESULT_MATRICES) for plan in plans)
    estimates = max(matrix_bytes(plan, ESTIMATE_MATRICES) for plan in plans)
    return min(threads, len(plans)) * most + sums + values + estimates


def matrix_bytes(plan: Plan, count: int) -> int:
    """Return the bytes of ``count`` float64 matrices of shape (M, M)."""
    return count * 8 * len(plan.n_features) ** 2


def require_memory_of(plan: PassPlan) -> None:
    """Raise `OutOfMemoryError`, with the figures, if a pass needs more memory than is free."""
    require_memory(
        additional_bytes(plan),
        f"comparing {_group_text(plan)}, in addition to the arrays,",
        _remedy(plan),
    )


def named_memory(plans: Sequence[PassPlan], threads: int) -> named_shortage:
    """Turn a failed allocation in the passes of a flight into an error with the figures.

    Before threads start, and before large allocations, this makes sure that there is room.
    """
    needed = bytes_of_flight(plans, threads)
    what = _group_text(plans[0]) if len(plans) == 1 else f"{len(plans)} groups"
    remedy = _remedy(max(plans, key=additional_bytes))
    what = f"comparing {what}, in addition to the arrays"
    if threads > 1 or needed >= UNCHECKED_BYTES:
        require_room(needed + threads * THREAD_BYTES, what, remedy)
    return named_shortage(what, remedy)


def _group_text(plan: PassPlan) -> str:
    m, n = len(plan.n_features), plan.n_examples
    return f"{m:,} representations of {n:,} examples"


def _remedy(plan: PassPlan) -> str:
    """Return how a pass can need less memory; the most effective remedy comes first."""
    remedies = ["compare fewer or smaller representations at once"]
    if plan.precision == "float64":
        remedies.append("precision='high' in place of 'float64'")
    if plan.threads > 1 and plan.bytes_workspace > additional_bytes(plan) // 8:
        remedies.append("fewer threads")
    return f"{', '.join(remedies)}, or raise the limit"
