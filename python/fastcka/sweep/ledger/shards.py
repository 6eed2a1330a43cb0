"""Shards: a sweep divided among processes or machines that share its output folder.

What is divided are whole groups. A group's pairs stay together: each of its parts would read nearly
all of its files again, and a pass over fewer representations may take another route, so that the
last bits of the values, and with them results.csv, would depend on the division.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.sweep.planning.group import GroupPlan

FLOPS_PER_BYTE = 100
"""The cost of reading one byte, in flops: a disk of 1 GB/s against 100 Gflop/s."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (from 1) of ``count``.

    Raises
    ------
    InputError
        There is no such part.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise InputError(
                f"shard: expected one of 1/{self.count} to {self.count}/{self.count}, "
                f"got {self.index}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text such as ``"2/4"`` names."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not int(match[2]):
            raise InputError(f"shard: expected a part and a number of parts, as 2/4; got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """A name for its files."""
        return f"{self.index}-of-{self.count}"

    def groups(self, groups: Sequence[GroupPlan]) -> list[GroupPlan]:
        """Return its groups of a plan, in their order."""
        return divided(groups, self.count)[self.index - 1]


def divided(groups: Sequence[GroupPlan], count: int) -> list[list[GroupPlan]]:
    """Divide groups into ``count`` parts of about the same cost, and of these the same pairs.

    The dearest first, each to the part that has least. It depends on the plan alone, not on what a
    ledger holds nor on the machine: shards that start at different times, in different places,
    neither overlap nor leave anything out.
    """
    parts: list[list[GroupPlan]] = [[] for _ in range(count)]
    loads = [(0, 0, part) for part in range(count)]
    for group in sorted(groups, key=lambda each: (-_cost(each), -len(each.pairs), each.position)):
        cost, comparisons, lightest = min(loads)
        parts[lightest].append(group)
        loads[lightest] = (cost + _cost(group), comparisons + len(group.pairs), lightest)
    return [sorted(part, key=lambda each: each.position) for part in parts]


def _cost(group: GroupPlan) -> int:
    """Return flops of the cheaper route, roughly, and what reading counts for."""
    total = sum(r.n_features for r in group.representations)
    flops = group.n_examples * total * min(group.n_examples, total)
    return flops + FLOPS_PER_BYTE * group.bytes_to_read
