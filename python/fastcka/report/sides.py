"""The two sides of a sweep that compares one set of representations with another."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastcka.report.facts import RunFacts
from fastcka.report.pairs import Pairs
from fastcka.stats.cells import label_text

BOTH = 2
"""The side of a representation that is on the rows (0) and on the columns (1)."""


def two_sides(pairs: Pairs, facts: RunFacts) -> list[int] | None:
    """Return the side of each representation: 0 for the rows, 1 for the columns, or `BOTH`.

    The configuration of the sweep decides, so that pairs without a result change nothing:
    ``left`` and ``right``, or a field that differs in every pair and has two labels. Without
    either, there are two sides if each representation of one was compared with all of the other.
    None if the sweep has no two sides.
    """
    varying = [*zip(*map(pairs.labels_of, pairs.varying), strict=True)]
    if len({*varying}) < 3:
        return None
    for sides in (*_configured(pairs, facts), *_by_field(pairs, facts), _complete(pairs)):
        if sides is None or not _separates(pairs, sides):
            continue
        # The side may depend on nothing that the page shows one at a time, such as the step.
        if len({*zip(varying, sides, strict=True)}) == len({*varying}):
            return sides
    return None


def _configured(pairs: Pairs, facts: RunFacts) -> Iterator[list[int]]:
    """Yield the sides that ``left`` and ``right`` of the configuration define."""
    if facts.sides is None:
        return
    left, right = (_fitting(pairs, allowed) for allowed in facts.sides)
    fits = [*zip(left, right, strict=True)]
    if (False, False) not in fits:
        yield [BOTH if on_left and on_right else int(on_right) for on_left, on_right in fits]


def _fitting(pairs: Pairs, allowed: Mapping[str, Sequence[Any]]) -> list[bool]:
    """Return for each representation whether it has an allowed value of every field."""
    fits = [True] * len(pairs.keys)
    for name, values in allowed.items():
        texts = {label_text(value) for value in values}
        for i, label in enumerate(pairs.labels_of(name)):
            fits[i] &= not texts.isdisjoint(_members(label))
    return fits


def _members(label: str | None) -> list[str | None]:
    """Return a label as texts: the members of a list, or the label itself; none if it is absent."""
    try:
        value = json.loads(label or "null")  # results.csv contains lists and numbers as JSON
    except ValueError:
        value = label
    return [label_text(each) for each in value] if isinstance(value, list) else [label_text(value)]


def _by_field(pairs: Pairs, facts: RunFacts) -> Iterator[list[int]]:
    """Yield the sides that a field with two labels defines, if the sweep compares its labels."""
    for name in facts.differing:
        labels = [label for label in pairs.table.labels(name) if label is not None]
        if len(labels) == 2:
            yield [int(label == labels[1]) for label in pairs.labels_of(name)]


def _separates(pairs: Pairs, sides: Sequence[int]) -> bool:
    """Whether every pair has a representation on each side, and not all are on both."""
    both = [(sides[a], sides[b]) for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)]
    return {*sides} != {BOTH} and all(a == BOTH or b == BOTH or a != b for a, b in both)


def _complete(pairs: Pairs) -> list[int] | None:
    """Return the sides if each representation of one was compared with all of the other."""
    neighbors: list[set[int]] = [set() for _ in pairs.keys]
    for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True):
        neighbors[a].add(b)
        neighbors[b].add(a)
    sides = [-1] * len(neighbors)
    for start in range(len(neighbors)):
        if sides[start] >= 0:
            continue
        sides[start] = 0
        members, queue = [start], deque([start])
        while queue:
            here = queue.popleft()
            for other in neighbors[here]:
                if sides[other] < 0:
                    sides[other] = 1 - sides[here]
                    members.append(other)
                    queue.append(other)
                elif sides[other] == sides[here]:
                    return None
        second = sum(sides[member] for member in members)
        compared = sum(len(neighbors[member]) for member in members) // 2
        if len(members) < 3 or compared != second * (len(members) - second):
            return None
    return sides
