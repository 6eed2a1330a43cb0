"""Which groups of a sweep are read in blocks of rows, because they do not fit into memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastcka.core.streaming.plan import StreamPlan, plan_stream, times_text
from fastcka.errors import OutOfMemoryError
from fastcka.memory import usable_memory
from fastcka.sweep.planning.flights import FLIGHTS_IN_MEMORY
from fastcka.sweep.planning.memory import LIBRARY_BYTES, bytes_of_pass, memory_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.core.base_plan import Precision
    from fastcka.core.inference.options import Inference
    from fastcka.core.measures.measure import Measure
    from fastcka.sweep.planning.group import GroupPlan


def fitted(
    groups: Sequence[GroupPlan],
    *,
    memory: int | None,
    device: str,
    precision: Precision,
    threads: int,
    inference: Inference | None,
    measures: Sequence[Measure],
) -> tuple[GroupPlan, ...]:
    """Return the groups; those that make the sweep too large are planned in blocks of rows.

    If the sweep fits into ``memory`` bytes (None: a share of what is free), nothing is changed.
    Otherwise each group gets an equal share of it for every flight that is in memory. A group that
    does not fit in blocks either, or on a GPU, stays as it is; `SweepMemory.require` refuses it.
    """
    usable = usable_memory(memory)
    needed = memory_of(groups, threads)
    if device.startswith("cuda") or needed is None or needed.bytes <= usable.bytes:
        return tuple(groups)
    if measures or (inference is not None and inference.folds):
        return tuple(groups)  # measures and intervals need all examples in memory
    share = (usable.bytes - LIBRARY_BYTES) // min(len(groups), FLIGHTS_IN_MEMORY)
    planned = []
    for group in groups:
        in_memory = group.bytes_loaded + bytes_of_pass(group)
        if in_memory > share > 0:
            try:
                plan = plan_stream(
                    group.n_examples,
                    [r.n_features for r in group.representations],
                    itemsizes=[r.itemsize for r in group.representations],
                    budget=replace(usable, bytes=share),
                    bytes_in_memory=in_memory,
                    precision=precision,
                    threads=threads,
                    third_moments=inference is not None,
                )
                group = replace(group, pass_plan=plan, memory=share)
            except OutOfMemoryError:
                pass
        planned.append(group)
    return tuple(planned)


def blocks_text(groups: Sequence[GroupPlan]) -> str:
    """Return how many groups are read in blocks of rows, and how often; empty if none are."""
    reads = [group.pass_plan.reads for group in groups if isinstance(group.pass_plan, StreamPlan)]
    if not reads:
        return ""
    most = "" if max(reads) == 1 else "up to "
    return (
        f"{len(reads):,} of {len(groups):,} group{'s' * (len(groups) != 1)}, which would not fit "
        f"into memory; their data are read {most}{times_text(max(reads))}"
    )
