"""Shards: a sweep divided among processes or machines that share its output folder.

A shard takes whole groups. A group is not divided, for two reasons: each part would read nearly all
of the group's files, and a pass over fewer representations may take another route. The last bits of
the values, and so results.csv, would then depend on the number of shards.
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
    """One of the parts of a sweep: part ``index`` (from 1) of ``count``.

    Raises
    ------
    InputError
        ``index`` is not between 1 and ``count``.
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
        """Return the shard for a text such as ``"2/4"``."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not int(match[2]):
            raise InputError(f"shard: expected a part and a number of parts, as 2/4; got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """The stem of the shard's file names."""
        return f"{self.index}-of-{self.count}"

    def groups(self, groups: Sequence[GroupPlan]) -> list[GroupPlan]:
        """Return the shard's groups of a plan, in the order of the plan."""
        return divided(groups, self.count)[self.index - 1]


def divided(groups: Sequence[GroupPlan], count: int) -> list[list[GroupPlan]]:
    """Divide groups into ``count`` parts of about equal cost and, at equal cost, equal pairs.

    The most expensive group comes first, and each group goes to the cheapest part so far. The
    result depends only on the plan, not on ledgers or the machine. So shards that start at
    different times and in different places neither overlap nor leave out a group.
    """
    parts: list[list[GroupPlan]] = [[] for _ in range(count)]
    loads = [(0, 0, part) for part in range(count)]
    for group in sorted(groups, key=lambda each: (-_cost(each), -len(each.pairs), each.position)):
        cost, comparisons, lightest = min(loads)
        parts[lightest].append(group)
        loads[lightest] = (cost + _cost(group), comparisons + len(group.pairs), lightest)
    return [sorted(part, key=lambda each: each.position) for part in parts]


def _cost(group: GroupPlan) -> int:
    """Return the approximate cost in flops: the cheaper route, plus reading."""
    total = sum(r.n_features for r in group.representations)
    flops = group.n_examples * total * min(group.n_examples, total)
    return flops + FLOPS_PER_BYTE * group.bytes_to_read
