"""The examples that representations have in common and a filter keeps, matched by id.

Rows are matched by the ids of their examples, never by position. The examples have the order in
which the first representation holds them; rows of the others are read in that order. There are
four reasons to leave an example out:

- *outside the filter*: the filter drops it wherever it occurs;
- *not in every representation of the group*: the filter keeps it where it occurs;
- *outside the filter in some representations of the group only*: all have it, and their columns do
  not agree on it;
- *outside the sample*: it is none of those that a sample takes from the rest.

A store refuses a file in which an id occurs twice. Ids that only name positions match only ids of
the same kind from a representation with as many rows; anything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.core.estimators import MIN_EXAMPLES
from fastcka.errors import FilterError, InputError
from fastcka.store import ExampleFilter, ids_digest
from fastcka.store.joining import GIVE_IDS, NamedRows, join_refusal
from fastcka.sweep.planning.matched import (
    DISPUTED,
    NOT_EVERYWHERE,
    NOT_SAMPLED,
    OUTSIDE,
    MatchedExamples,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastcka.core.estimators import Estimator
    from fastcka.store.filters import Verdicts
    from fastcka.sweep.planning.source import RowsInfo, Source
    from fastcka.sweep.question.sample import Sample

    Member = tuple[Source, RowsInfo]


class SampleError(InputError):
    """A sample has more examples than representations have in common."""


class TooFewExamplesError(InputError):
    """Representations have fewer examples in common than the estimator needs."""


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """The examples of a file as numbers, and which of them the filter keeps."""

    numbers: NDArray[np.int64]
    inside: NDArray[np.bool_]


class ExampleMatcher:
    """Finds the examples that representations have in common.

    The ids of a file are parsed, and the filter is applied, once for each distinct list of examples
    (ids in their order, with the values of the filter's columns), however many representations have
    it. Nothing is parsed for representations with the same ids in the same order and no filter.

    Parameters
    ----------
    example_filter
        None keeps every example.
    estimator
        Sets how many examples representations must have in common.
    sample
        Taken from the examples that representations have in common; None takes all.
    """

    def __init__(
        self,
        example_filter: ExampleFilter | None,
        estimator: Estimator,
        sample: Sample | None = None,
    ) -> None:
        self._filter = example_filter
        self._sample = sample
        self._estimator = estimator
        fields = () if self._filter is None else self._filter.fields
        self._columns = [name for name in dict.fromkeys(fields) if name != "id"]
        self._verdicts: Verdicts = {}
        # Id -> number. Numbers keep the memory small for thousands of files in different orders.
        self._numbers: dict[str, int] = {}
        self._digests = np.empty(0, dtype=np.uint64)
        self._marks: dict[tuple[str, int], str] = {}
        self._listed: dict[str, _Listed] = {}
        self._matched: dict[tuple[str, ...], MatchedExamples] = {}

    def match(self, members: Sequence[Member], where: str) -> MatchedExamples:
        """Return the examples that all ``members``, called ``where`` in errors, have in common.

        Raises
        ------
        FilterError
            The filter cannot be applied to a representation, or keeps no example.
        InputError
            No example is in all representations, or ids that only name positions would be matched
            with other ids.
        TooFewExamplesError
            The representations have too few examples in common for the estimator.
        SampleError
            They have fewer in common than the sample.
        StoreError
            The examples of a file cannot be read.
        """
        refusal = join_refusal(
            [NamedRows(str(info.key), info.n_examples, info.positional_ids) for _, info in members]
        )
        if refusal is not None:
            raise InputError(f"{where}: {refusal}")
        marks = tuple(self._mark(*member) for member in members)
        if marks not in self._matched:
            if self._filter is None and self._sample is None and len(set(marks)) == 1:
                self._matched[marks] = _as_stored(members)
            else:
                self._matched[marks] = self._match(members, marks, where)
        self._require_enough(self._matched[marks], where)
        return self._matched[marks]

    def _require_enough(self, matched: MatchedExamples, where: str) -> None:
        needed = MIN_EXAMPLES[self._estimator]
        if matched.n_examples < needed:
            without = f" (without {matched.dropped_text})" if matched.dropped else ""
            raise TooFewExamplesError(
                f"'{self._estimator}' needs at least {needed} examples, and {where} has "
                f"{matched.n_examples}{without}"
            )

    def _mark(self, source: Source, info: RowsInfo) -> str:
        """Return a text that is equal only for equal lists of examples."""
        if not self._columns:
            return info.examples_digest
        model, step, _ = info.key
        if (model, step) not in self._marks:
            mark = source.examples_fingerprint(info.key, self._columns)
            self._marks[model, step] = mark
        return self._marks[model, step]

    def _match(
        self, members: Sequence[Member], marks: Sequence[str], where: str
    ) -> MatchedExamples:
        by_mark = dict(zip(marks, members, strict=True))
        lists = {mark: self._list(mark, *member) for mark, member in by_mark.items()}
        present = np.zeros(len(self._numbers), dtype=np.int64)
        inside = np.zeros_like(present)
        for listed in lists.values():
            present[listed.numbers] += 1
            inside[listed.numbers[listed.inside]] += 1
        reasons = {
            OUTSIDE: (present > 0) & (inside == 0),
            NOT_EVERYWHERE: (inside > 0) & (present < len(lists)),
            DISPUTED: (inside > 0) & (present == len(lists)) & (inside < len(lists)),
        }
        dropped = _counts(reasons)
        names = list(self._numbers)
        if members[0][1].positional_ids and DISPUTED in dropped:
            row = names[int(np.flatnonzero(reasons[DISPUTED])[0])]
            raise InputError(
                f"{where}: no representation has example ids, so rows are matched by "
                f"position, but the filter '{self._filter}' keeps row {row} in some of them only "
                f"({dropped[DISPUTED]} such rows): they are not of the same examples; {GIVE_IDS}"
            )
        first = lists[marks[0]].numbers
        kept = first[inside[first] == len(lists)]
        if not len(kept):
            if (present == len(lists)).any():
                raise FilterError(
                    f"the filter '{self._filter}' keeps no example of {where} that all its "
                    "representations have"
                )
            raise InputError(
                self._nothing_in_common(members, [lists[mark] for mark in marks], where)
            )
        if self._sample is not None:
            sampled = self._sampled(kept, self._sample, where)
            reasons[NOT_SAMPLED] = inside == len(lists)
            reasons[NOT_SAMPLED][sampled] = False
            kept, dropped = sampled, _counts(reasons)
        rows = {
            mark: _rows_of(listed.numbers, kept, len(present)) for mark, listed in lists.items()
        }
        counts = {
            mark: _counts({reason: mask[listed.numbers] for reason, mask in reasons.items()})
            for mark, listed in lists.items()
        }
        return MatchedExamples(
            n_examples=len(kept),
            digest=ids_digest([names[number] for number in kept.tolist()]),
            rows=tuple(rows[mark] for mark in marks),
            rows_dropped=tuple(counts[mark] for mark in marks),
            dropped=dropped,
            positional_ids=members[0][1].positional_ids,
            sample=self._sample,
        )

    def _sampled(self, kept: NDArray[np.int64], sample: Sample, where: str) -> NDArray[np.int64]:
        """Return a sample of some examples, in their order."""
        if sample.size > len(kept):
            raise SampleError(
                f"sample: expected at most {len(kept):,}, the examples that {where} has in common"
                f"{'' if self._filter is None else ' and the filter keeps'}; got {sample.size:,}"
            )
        new = list(self._numbers)[len(self._digests) :]
        self._digests = np.concatenate([self._digests, sample.digests(new)])
        smallest = np.argsort(self._digests[kept], kind="stable")[: sample.size]
        return kept[np.sort(smallest)]

    def _list(self, mark: str, source: Source, info: RowsInfo) -> _Listed:
        if mark not in self._listed:
            examples = source.examples(info.key)
            inside = np.ones(len(examples.ids), dtype=np.bool_)
            if self._filter is not None:
                try:
                    inside = self._filter.apply(examples, self._verdicts).mask
                except FilterError as error:
                    raise FilterError(f"{error}; in the examples of {info.key}") from None
            known = self._numbers
            numbers = [known.setdefault(name, len(known)) for name in examples.ids.tolist()]
            self._listed[mark] = _Listed(np.array(numbers, dtype=np.int64), inside)
        return self._listed[mark]

    def _nothing_in_common(
        self, members: Sequence[Member], lists: Sequence[_Listed], where: str
    ) -> str:
        first = lists[0].numbers
        shared = [len(np.intersect1d(first, listed.numbers)) for listed in lists]
        least = int(np.argmin(shared))
        names = list(self._numbers)
        return (
            f"{where}: no example is in all its representations; {members[least][1].key} has "
            f"{shared[least]} of the {len(first)} ids of {members[0][1].key} (the first of each: "
            f"'{names[lists[least].numbers[0]]}' and '{names[first[0]]}'); import them with the "
            "same ids"
        )


def _counts(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, int]:
    """Return the number of examples for each reason that occurs."""
    counts = {reason: int(np.count_nonzero(mask)) for reason, mask in masks.items()}
    return {reason: count for reason, count in counts.items() if count}


def _as_stored(members: Sequence[Member]) -> MatchedExamples:
    _, first = members[0]
    return MatchedExamples(
        n_examples=first.n_examples,
        digest=first.examples_digest,
        rows=(None,) * len(members),
        rows_dropped=({},) * len(members),
        dropped={},
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
