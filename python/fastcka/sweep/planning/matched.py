"""The examples that representations have in common, and the reasons for leaving others out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastcka.sweep.question.sample import Sample

OUTSIDE = "outside the filter"
NOT_EVERYWHERE = "not in every representation of the group"
DISPUTED = "outside the filter in some representations of the group only"


NOT_SAMPLED = "outside the sample"


@dataclass(frozen=True, slots=True, eq=False)
class MatchedExamples:
    """The examples that some representations have in common.

    Attributes
    ----------
    n_examples
        Number of examples.
    digest
        Digest of their ids in order, equal to the one that a store has for these examples.
    rows
        For each representation, the positions of their rows in its file, (n_examples,); None for
        all rows in the order of the file.
    rows_dropped
        For each representation, reason -> number of its rows that are left out.
    dropped
        Reason -> number of examples that are left out, each id counted once.
    positional_ids
        Whether rows are matched by position, because none of the representations has ids.
    sample
        The sample that was taken, or None.
    """

    n_examples: int
    digest: str
    rows: tuple[NDArray[np.int64] | None, ...]
    rows_dropped: tuple[Mapping[str, int], ...]
    dropped: Mapping[str, int]
    positional_ids: bool
    sample: Sample | None = None

    @property
    def n_dropped(self) -> tuple[int, ...]:
        """For each representation, the number of its rows that are left out."""
        return tuple(sum(counts.values()) for counts in self.rows_dropped)

    @property
    def shared(self) -> bool:
        """Whether any two of the representations, compared alone, would use the same examples."""
        return not any(self.dropped.get(reason) for reason in (NOT_EVERYWHERE, DISPUTED))

    @property
    def dropped_text(self) -> str:
        """The reasons in one line, ``87 outside the filter``; empty if nothing is left out."""
        return "; ".join(f"{count} {reason}" for reason, count in self.dropped.items())


def examples_text(matched: Iterable[MatchedExamples]) -> str:
    """Return how many examples the groups of a sweep use and leave out, in words."""
    groups = list(matched)
    text = f"{_span([examples.n_examples for examples in groups])} in each group"
    for reason in (OUTSIDE, NOT_EVERYWHERE, DISPUTED, NOT_SAMPLED):
        counts = [examples.dropped.get(reason, 0) for examples in groups]
        if any(counts):
            text += f"\n{_span(counts)} left out: {reason}"
    if groups[0].sample is not None:
        text += f"\nsample: {groups[0].sample}"
    by_position = sum(examples.positional_ids for examples in groups)
    if by_position:
        text += f"\nno ids in {by_position:,} of {len(groups):,} groups: rows matched by position"
    return text


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
