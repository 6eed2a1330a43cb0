"""The peak memory of a sweep, and a check that it is free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.core.cuda.plan import CudaPlan
from fastcka.core.memory import (
    ESTIMATE_MATRICES,
    RESULT_MATRICES,
    additional_bytes,
    bytes_of_flight,
)
from fastcka.core.plan import PassPlan
from fastcka.errors import OutOfMemoryError
from fastcka.heatmap import bytes_of_heatmap
from fastcka.memory import free_memory, require_memory, size_text
from fastcka.sweep.planning.flights import flights_in_memory, flights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.sweep.planning.flights import Flight
    from fastcka.sweep.planning.group import GroupPlan

FLIGHTS_TO_COMMIT = 2
"""Flights whose values wait for the ledger: one being written, one queued."""

LIBRARY_BYTES = 240 << 20
"""Bytes for the libraries of a run: pyarrow with pandas, which it imports (90 MiB), matplotlib with
its fonts (80 MiB), threads with their heaps, and buffers of chunks."""

COMMIT_MATRICES = 8
"""(M, M) float64 matrices that a group's values need until they are in the ledger."""

PAIR_BYTES = 160
"""Bytes for each pair of a group while its rows are written."""


@dataclass(frozen=True)
class SweepMemory:
    """The predicted peak of a sweep's memory.

    Attributes
    ----------
    bytes
        The peak of additional memory.
    group
        The largest group in memory at the peak.
    """

    bytes: int
    group: GroupPlan

    def require(self, memory: int | None = None) -> None:
        """Raise `OutOfMemoryError`, which names remedies, if less memory is free or allowed."""
        group = self.group
        what = (
            f"the sweep, at group '{group.name}' ({len(group.representations):,} representations "
            f"of {group.n_examples:,} examples),"
        )
        if memory is not None and self.bytes > memory:
            raise OutOfMemoryError(
                f"{what} needs {size_text(self.bytes)}, and memory allows {size_text(memory)}: "
                f"{_remedy(self.group)}; a larger memory"
            )
        require_memory(self.bytes, what, _remedy(self.group))


def memory_of(
    groups: Sequence[GroupPlan], threads: int, device: str = "auto"
) -> SweepMemory | None:
    """Return the predicted peak of computing ``groups`` on ``device``; None if there are none.

    At the peak, memory contains the flight in the pass with its working memory, the flight that is
    read ahead, and the values of earlier flights that are not yet in the ledger.
    """
    if not groups:
        return None
    flights = flights_of(groups, threads)
    loaded = [sum(group.bytes_loaded for group in flight) for flight in flights]
    values = [sum(_matrices(group, RESULT_MATRICES) for group in flight) for flight in flights]
    needs, held = [], flights_in_memory(device)
    for position, flight in enumerate(flights):
        waiting = slice(max(position - FLIGHTS_TO_COMMIT, 0), position)
        committed = max(
            (_matrices(group, COMMIT_MATRICES) for flight in flights[waiting] for group in flight),
            default=0,
        )
        needs.append(
            sum(loaded[position : position + held])
            + _bytes_of_passes(flight, threads)
            + sum(values[waiting])
            + committed
        )
    computing = max(range(len(flights)), key=needs.__getitem__)
    near = [group for flight in flights[computing : computing + held] for group in flight]
    largest = max(near, key=lambda group: group.bytes_loaded + bytes_of_pass(group))
    exported = max(groups, key=_bytes_of_export)
    if _bytes_of_export(exported) > needs[computing]:
        return SweepMemory(LIBRARY_BYTES + _bytes_of_export(exported), exported)
    return SweepMemory(LIBRARY_BYTES + needs[computing], largest)


def memory_of_tasks(groups: Sequence[GroupPlan], at_once: int) -> SweepMemory:
    """Return the predicted peak of computing ``groups`` on workers of this machine.

    ``at_once`` is the number of groups that they compute at the same time.
    """
    needs = sorted(
        ((_bytes_of_task(group), group.position, group) for group in groups), reverse=True
    )
    computing = LIBRARY_BYTES * (1 + at_once) + sum(need for need, _, _ in needs[:at_once])
    exported = max(groups, key=_bytes_of_export)
    exporting = LIBRARY_BYTES + _bytes_of_export(exported)
    if exporting > computing:
        return SweepMemory(exporting, exported)
    return SweepMemory(computing, needs[0][2])


def memory_text(needed: int) -> str:
    """Return the needed and the free memory as text."""
    return f"needs {size_text(needed)}, {free_memory()}" if needed else "nothing to compute"


def bytes_of_pass(group: GroupPlan) -> int:
    """Return the bytes of host memory that a group's pass needs in addition to its arrays."""
    plan = group.pass_plan
    if isinstance(plan, CudaPlan):
        return _matrices(group, ESTIMATE_MATRICES)
    return max(additional_bytes(plan), group.measures_cost.bytes)  # measures precede the pass


def _bytes_of_passes(flight: Flight, threads: int) -> int:
    if len(flight) == 1:
        return bytes_of_pass(flight[0])
    plans = [group.pass_plan for group in flight if isinstance(group.pass_plan, PassPlan)]
    of_measures = max(group.measures_cost.bytes for group in flight)
    return max(bytes_of_flight(plans, threads), of_measures)


def _bytes_of_task(group: GroupPlan) -> int:
    values = _matrices(group, RESULT_MATRICES + COMMIT_MATRICES)
    return group.bytes_loaded + bytes_of_pass(group) + values


def _bytes_of_export(group: GroupPlan) -> int:
    drawing = bytes_of_heatmap(len(group.representations))
    writing = _matrices(group, COMMIT_MATRICES) + PAIR_BYTES * len(group.pairs)
    return _matrices(group, RESULT_MATRICES) + max(drawing, writing)


def _matrices(group: GroupPlan, count: int) -> int:
    count += len(group.measures)
    return count * 8 * len(group.representations) ** 2


def _remedy(group: GroupPlan) -> str:
    """Return how a group can be made to need less memory."""
    remedies = [
        "more fields in compare.within make smaller groups",
        "select, exclude and examples take less",
    ]
    if not all(r.staged for r in group.representations):
        remedies.append("precision: high reads float32 in place of float64")
    plan = group.pass_plan
    if isinstance(plan, PassPlan) and plan.threads > 1:
        workspace = plan.bytes_workspace
        if workspace > (group.bytes_loaded + bytes_of_pass(group)) // 8:
            remedies.append("fewer --threads")
    return "; ".join(remedies)
