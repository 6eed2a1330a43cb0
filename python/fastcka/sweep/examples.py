"""The examples of a group: those that all its representations have and the filter keeps, by id.

Rows are matched by the ids of their examples, never by position. The order of a group's examples is
the order in which its first representation (the first in the store's order) holds them; rows of the
others are taken in that order. Which examples are left out, and why:

- *outside the filter*: the filter drops it wherever it occurs;
- *not in every representation of the group*: the filter keeps it where it occurs;
- *outside the filter in some representations of the group only*: all have it, and their columns do
  not agree on it.

An id that stands twice in a file is an error of the store. Ids that only name positions match only
others of that kind from a representation with as many rows; any other group is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import FilterError, SweepError
from fastcka.store import ExampleFilter, ids_digest
from fastcka.store.joining import GIVE_IDS, NamedRows, join_refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fastcka.store import LayerInfo, Store
    from fastcka.store.filters import Verdicts

OUTSIDE = "outside the filter"
NOT_EVERYWHERE = "not in every representation of the group"
DISPUTED = "outside the filter in some representations of the group only"


@dataclass(frozen=True, slots=True, eq=False)
class GroupExamples:
    """The examples that a group uses.

    Attributes
    ----------
    n_examples
        How many there are.
    digest
        Of their ids in their order: what the store would say of a file that held just these.
    rows
        For each representation the positions of their rows, (n_examples,), in their order; None
        where that is all rows as they are stored, which need no gathering.
    n_dropped
        For each representation, how many of its rows are left out.
    dropped
        Reason -> how many examples of the group are left out, each id counted once.
    positional_ids
        Whether rows are matched by position, because none of the representations has ids.
    """

    n_examples: int
    digest: str
    rows: tuple[NDArray[np.int64] | None, ...]
    n_dropped: tuple[int, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    positional_ids: bool = False

    @property
    def shared(self) -> bool:
        """Whether any two of the representations alone would use the same examples."""
        return not any(self.dropped.get(reason) for reason in (NOT_EVERYWHERE, DISPUTED))

    @property
    def dropped_text(self) -> str:
        """The reasons in one line, ``87 outside the filter``; empty where nothing is left out."""
        return "; ".join(f"{count} {reason}" for reason, count in self.dropped.items())


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """The examples of a file: their numbers in the vocabulary, and which the filter keeps."""

    numbers: NDArray[np.int64]
    inside: NDArray[np.bool_]


class Alignment:
    """Finds the examples of groups.

    The ids of a file are parsed, and the filter is matched, once for each distinct list of examples
    (ids in their order, with what the filter's columns hold), however many representations have it;
    where all of a group have the same ids in the same order and nothing is filtered, never.
    """

    def __init__(self, store: Store, text: str | None) -> None:
        self._store = store
        self._filter = None if text is None else ExampleFilter.parse(text)
        fields = () if self._filter is None else self._filter.fields
        self._columns = [name for name in dict.fromkeys(fields) if name != "id"]
        self._verdicts: Verdicts = {}
        # Each id as a small number: a store of thousands of files in as many orders stays small.
        self._numbers: dict[str, int] = {}
        self._marks: dict[tuple[str, int], str] = {}
        self._listed: dict[str, _Listed] = {}
        self._groups: dict[tuple[str, ...], GroupExamples] = {}

    def of(self, infos: Sequence[LayerInfo], group: str) -> GroupExamples:
        """Return the examples of a group, which ``group`` names in errors.

        Raises
        ------
        SweepError
            The filter cannot be applied to a representation, no example is left, or ids that only
            name positions would be matched with others.
        StoreError
            The examples of a file cannot be read.
        """
        refusal = join_refusal(
            [NamedRows(str(info.key), info.n_examples, info.positional_ids) for info in infos]
        )
        if refusal is not None:
            raise SweepError(
                f"group '{group}': {refusal}; or keep such representations apart by exclude or by "
                "a field of compare.within"
            )
        marks = tuple(self._mark(info) for info in infos)
        if marks not in self._groups:
            if self._filter is None and len(set(marks)) == 1:
                found = _as_stored(infos)
            else:
                found = self._aligned(infos, marks, group)
            self._groups[marks] = found
        return self._groups[marks]

    def _mark(self, info: LayerInfo) -> str:
        """Return what tells lists of examples apart."""
        if not self._columns:
            return info.examples_digest
        model, step, _ = info.key
        if (model, step) not in self._marks:
            mark = self._store.examples_fingerprint(info.key, self._columns)
            self._marks[model, step] = mark
        return self._marks[model, step]

    def _aligned(
        self, infos: Sequence[LayerInfo], marks: Sequence[str], group: str
    ) -> GroupExamples:
        by_mark = dict(zip(marks, infos, strict=True))
        lists = {mark: self._list(mark, info) for mark, info in by_mark.items()}
        present = np.zeros(len(self._numbers), dtype=np.int64)
        inside = np.zeros_like(present)
        for own in lists.values():
            present[own.numbers] += 1
            inside[own.numbers[own.inside]] += 1
        counts = {
            OUTSIDE: (present > 0) & (inside == 0),
            NOT_EVERYWHERE: (inside > 0) & (present < len(lists)),
            DISPUTED: (inside > 0) & (present == len(lists)) & (inside < len(lists)),
        }
        dropped = {reason: int(np.count_nonzero(where)) for reason, where in counts.items()}
        names = list(self._numbers)
        if infos[0].positional_ids and dropped[DISPUTED]:
            row = names[int(np.flatnonzero(counts[DISPUTED])[0])]
            raise SweepError(
                f"group '{group}': no representation has example ids, so rows are matched by "
                f"position, but the filter '{self._filter}' keeps row {row} in some of them only "
                f"({dropped[DISPUTED]} such rows): they are not of the same examples; {GIVE_IDS}"
            )
        first = lists[marks[0]].numbers
        kept = first[inside[first] == len(lists)]
        if not len(kept):
            raise SweepError(self._why_empty(infos, lists, marks, present, group))
        rows = {mark: _rows_of(own.numbers, kept, len(present)) for mark, own in lists.items()}
        return GroupExamples(
            n_examples=len(kept),
            digest=ids_digest([names[number] for number in kept.tolist()]),
            rows=tuple(rows[mark] for mark in marks),
            n_dropped=tuple(len(lists[mark].numbers) - len(kept) for mark in marks),
            dropped={reason: count for reason, count in dropped.items() if count},
            positional_ids=infos[0].positional_ids,
        )

    def _list(self, mark: str, info: LayerInfo) -> _Listed:
        if mark not in self._listed:
            examples = self._store.examples(info.key)
            inside = np.ones(len(examples.ids), dtype=np.bool_)
            if self._filter is not None:
                try:
                    inside = self._filter.apply(examples, self._verdicts).mask
                except FilterError as error:
                    raise SweepError(f"examples: {error}; in the examples of {info.key}") from None
            known = self._numbers
            numbers = [known.setdefault(name, len(known)) for name in examples.ids.tolist()]
            self._listed[mark] = _Listed(np.array(numbers, dtype=np.int64), inside)
        return self._listed[mark]

    def _why_empty(
        self,
        infos: Sequence[LayerInfo],
        lists: Mapping[str, _Listed],
        marks: Sequence[str],
        present: NDArray[np.int64],
        group: str,
    ) -> str:
        if (present == len(lists)).any():
            return (
                f"examples: the filter '{self._filter}' keeps no example of group '{group}' that "
                "all its representations have"
            )
        first = lists[marks[0]].numbers
        shared = [len(np.intersect1d(first, lists[mark].numbers)) for mark in marks]
        least = int(np.argmin(shared))
        names = list(self._numbers)
        return (
            f"group '{group}': no example is in all its representations; {infos[least].key} has "
            f"{shared[least]} of the {len(first)} ids of {infos[0].key} (the first of each: "
            f"'{names[lists[marks[least]].numbers[0]]}' and '{names[first[0]]}'); import them "
            "with the same ids, or keep them apart by a field of compare.within"
        )


def examples_text(groups: Iterable[GroupExamples]) -> str:
    """Return how many examples the groups use and leave out, in words."""
    groups = list(groups)
    text = f"{_span([own.n_examples for own in groups])} in each group"
    for reason in (OUTSIDE, NOT_EVERYWHERE, DISPUTED):
        counts = [own.dropped.get(reason, 0) for own in groups]
        if any(counts):
            text += f"\n{_span(counts)} left out: {reason}"
    by_position = sum(group.positional_ids for group in groups)
    if by_position:
        text += f"\nno ids in {by_position:,} of {len(groups):,} groups: rows matched by position"
    return text


def _as_stored(infos: Sequence[LayerInfo]) -> GroupExamples:
    first = infos[0]
    return GroupExamples(
        n_examples=first.n_examples,
        digest=first.examples_digest,
        rows=(None,) * len(infos),
        n_dropped=(0,) * len(infos),
        positional_ids=first.positional_ids,
    )


def _rows_of(
    numbers: NDArray[np.int64], kept: NDArray[np.int64], n_known: int
) -> NDArray[np.int64] | None:
    position = np.empty(n_known, dtype=np.int64)
    position[numbers] = np.arange(len(numbers))
    rows = position[kept]
    as_stored = len(rows) == len(numbers) and bool((rows == np.arange(len(rows))).all())
    return None if as_stored else rows


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
