"""Divide the groups of a sweep into the tasks of a cluster.

Groups are tasks; small groups go together. A group that would keep one worker busy while the others
have nothing left to do is divided: its representations are cut into blocks, and each two blocks are
a part, so that every pair is in a part. With more than two blocks, representations are read and
multiplied by several parts. So a group is only divided if this is predicted to end the run earlier.
"""

from __future__ import annotations

import heapq
from itertools import combinations
from typing import TYPE_CHECKING

from fastcka.core import PassPlan
from fastcka.sweep.ledger.shards import FLOPS_PER_BYTE
from fastcka.sweep.planning.flights import flights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastcka.sweep.planning.flights import Flight
    from fastcka.sweep.planning.group import GroupPlan

Members = tuple[int, ...]

TASKS_PER_WORKER = 4
"""Small groups are joined only so far that each worker has this many tasks."""

MOST_BLOCKS = 8
"""More blocks gain little: every representation is multiplied by all parts that contain it."""

LEAST_GAIN = 0.9
"""A division is used if it is predicted to take less than this share of the time."""


def flights_for(groups: Sequence[GroupPlan], threads: int, workers: int) -> list[Flight]:
    """Join small neighbouring groups into flights, and leave several tasks for each worker."""
    most = max(1, len(groups) // (TASKS_PER_WORKER * workers))
    return [
        flight[start : start + most]
        for flight in flights_of(groups, threads)
        for start in range(0, len(flight), most)
    ]


def parts_for(groups: Sequence[GroupPlan], workers: int) -> dict[int, list[Members]]:
    """Return the groups to divide: position in the plan -> the representations of each part."""
    costs = [_cost(group) for group in groups]
    # Smaller groups fill up the time of the workers evenly.
    large = [place for place, cost in enumerate(costs) if 2 * workers * cost > sum(costs)]
    filled = (sum(costs) - sum(costs[place] for place in large)) / workers
    pieces = {place: [costs[place]] for place in large}
    divided: dict[int, list[Members]] = {}
    end = _last_end(pieces.values(), workers, filled)
    for place in sorted(large, key=costs.__getitem__, reverse=True):
        if not _is_divisible(groups[place]):
            continue
        for blocks in range(3, MOST_BLOCKS + 1):
            parts = parts_of(groups[place], blocks)
            tried = pieces | {place: [_cost(groups[place], part) for part in parts]}
            sooner = _last_end(tried.values(), workers, filled)
            if sooner < LEAST_GAIN * end:
                end, pieces = sooner, tried
                divided[groups[place].position] = parts
    return divided


def parts_of(group: GroupPlan, blocks: int) -> list[Members]:
    """Return the positions of the representations in each part, for a number of blocks."""
    m = len(group.representations)
    edges = [m * block // blocks for block in range(blocks + 1)]
    return [
        (*range(edges[a], edges[a + 1]), *range(edges[b], edges[b + 1]))
        for a, b in combinations(range(blocks), 2)
    ]


def _is_divisible(group: GroupPlan) -> bool:
    # On a GPU, the bits of a sum may depend on what else is in the pass.
    return isinstance(group.pass_plan, PassPlan) and len(group.representations) >= 2 * MOST_BLOCKS


def _cost(group: GroupPlan, members: Members | None = None) -> float:
    """Return the predicted cost of a group or part in flops, with reading."""
    if members is None:
        return group.pass_plan.flops + FLOPS_PER_BYTE * group.bytes_to_read
    n, m = group.n_examples, len(members)
    every = sum(group.pass_plan.n_features)
    total = sum(group.pass_plan.n_features[member] for member in members)
    if group.pass_plan.route == "F":
        flops = group.pass_plan.flops * (total / every) ** 2
    else:
        flops = float(n) ** 2 * total + float(m * n) ** 2 / 2
    return flops + FLOPS_PER_BYTE * group.bytes_to_read * total / every


def _last_end(pieces: Iterable[list[float]], workers: int, filled: float) -> float:
    """Return when the last task ends, if each worker takes the largest that is left."""
    ends = [filled] * workers
    for cost in sorted((cost for costs in pieces for cost in costs), reverse=True):
        heapq.heapreplace(ends, ends[0] + cost)
    return max(ends)
