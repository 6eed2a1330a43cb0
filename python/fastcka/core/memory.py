"""The memory that a pass on the CPU takes beside its arrays, and whether that is free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastcka.core.plan import PassPlan
from fastcka.memory import require_memory, size_text
from fastcka.out_of_memory import named_shortage

#: Matrices (M, M) of float64 that are there at once while the estimates are made of the sums, with
#: the positions of all pairs.
ESTIMATE_MATRICES = 14


def bytes_of_results(plan: PassPlan) -> int:
    """Bytes that become a group's `Comparison`, at their most."""
    m = len(plan.n_features)
    return plan.bytes_results + ESTIMATE_MATRICES * 8 * m * m


def bytes_beside_arrays(plan: PassPlan) -> int:
    """Bytes that a group needs beside its arrays."""
    return plan.bytes_centered + plan.bytes_workspace + bytes_of_results(plan)


def require_memory_of(plan: PassPlan) -> None:
    """Make sure that there is memory for a pass; `OutOfMemoryError` says what it needs."""
    require_memory(
        bytes_beside_arrays(plan),
        f"comparing {_group_text(plan)}, beside the arrays,",
        _remedy(plan),
    )


@contextmanager
def named_memory(plans: Sequence[PassPlan]) -> Iterator[None]:
    """Turn a failed allocation in the passes of a flight into an error that has the figures."""
    needed = sum(map(bytes_beside_arrays, plans))
    what = _group_text(plans[0]) if len(plans) == 1 else f"{len(plans)} groups"
    remedy = _remedy(max(plans, key=bytes_beside_arrays))
    with named_shortage(f"comparing {what} needs {size_text(needed)} beside the arrays", remedy):
        yield


def _group_text(plan: PassPlan) -> str:
    m, n = len(plan.n_features), plan.n_examples
    return f"{m:,} representations of {n:,} examples"


def _remedy(plan: PassPlan) -> str:
    """What makes the need of a pass smaller, in the order of how much."""
    remedies = ["compare fewer or smaller representations at once"]
    if plan.precision == "float64":
        remedies.append("precision='high' in place of 'float64'")
    if plan.threads > 1 and plan.bytes_workspace > bytes_beside_arrays(plan) // 8:
        remedies.append("fewer threads")
    return f"{', '.join(remedies)}, or raise the limit"
