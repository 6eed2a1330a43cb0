"""Filters of examples, such as ``region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$``.

A filter is one or more terms ``field:pattern`` joined by ``&&``. An example is kept if every term
matches. ``&&`` always separates terms. White space around terms, fields and patterns is dropped.

- A field is a column of the examples, or ``id`` for the example id.
- A pattern is a regular expression of Python's `re`, matched from the start of the value's text.
  End it with ``$`` to match the whole text.
- The text of an integer is its decimal form (``17``). The text of a float is its ``repr``
  (``17.0``, ``1e-05``, ``nan``). The text of a boolean is ``True`` or ``False``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from fastcka.errors import FilterError
from fastcka.near_misses import near_misses
from fastcka.store.patterns import MAX_PATTERN, compiled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fastcka.store.file.key import Examples
    from fastcka.store.patterns import Pattern

SECONDS: Final = 1.0
"""Time limit of a term for each 100,000 distinct values, and for fewer."""

_VALUES_PER_LIMIT: Final = 100_000


@dataclass(frozen=True, slots=True)
class FilterTerm:
    """One ``field:pattern``."""

    field: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.field}:{self.pattern}"


Verdicts = dict[FilterTerm, dict[str, bool]]
"""Term -> text of a value -> whether the term keeps the value."""


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """The examples that a filter keeps.

    Attributes
    ----------
    mask
        True for the examples that are kept, (n_examples,).
    dropped
        For each term, the number of examples that it drops among those that earlier terms keep.
    """

    mask: NDArray[np.bool_]
    dropped: tuple[int, ...]

    @property
    def n_kept(self) -> int:
        """Number of examples that every term matches."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, slots=True)
class ExampleFilter:
    """A parsed filter; made by `parse`.

    Attributes
    ----------
    terms
        The terms in the order of the text.

    Examples
    --------
    >>> ExampleFilter.parse("region:^(?!Atlantis).* && y:-").fields
    ('region', 'y')
    """

    terms: tuple[FilterTerm, ...]

    def __str__(self) -> str:
        return " && ".join(map(str, self.terms))

    @property
    def fields(self) -> tuple[str, ...]:
        """The field of each term."""
        return tuple(term.field for term in self.terms)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a filter.

        Raises
        ------
        FilterError
            If a term is not ``field:pattern``, or a pattern is not a regular expression, is longer
            than 512 characters, or would take too much memory. The message names the term.
        """
        terms = []
        for part in text.split("&&"):
            field, colon, pattern = (piece.strip() for piece in part.partition(":"))
            if not (field and colon and pattern):
                raise FilterError(
                    f"filter {text!r}: expected field:pattern terms joined by '&&', got "
                    f"{part.strip()!r}"
                )
            term = FilterTerm(field, pattern)
            _compiled(term)
            terms.append(term)
        return cls(tuple(terms))

    def mask(self, examples: Examples) -> NDArray[np.bool_]:
        """Return which examples are kept, (n_examples,); see `apply`."""
        return self.apply(examples).mask

    def apply(self, examples: Examples, verdicts: Verdicts | None = None) -> Filtered:
        """Return which examples are kept and how many each term drops.

        Parameters
        ----------
        examples
            The ids and columns of the examples.
        verdicts
            Earlier results of the terms; new results are added to it. If all files of a store share
            one dict, each distinct value is matched once.

        Raises
        ------
        FilterError
            If the examples have no such field, or a pattern takes longer than `SECONDS`.
        """
        known = ["id", *examples.columns]
        for term in self.terms:
            if term.field not in known:
                raise FilterError(
                    f"filter term '{term}': unknown field '{term.field}'"
                    f"{near_misses(term.field, known)}"
                )
        seen = {} if verdicts is None else verdicts
        mask = np.ones(len(examples.ids), dtype=np.bool_)
        dropped = []
        for term in self.terms:
            values = examples.ids if term.field == "id" else examples.columns[term.field]
            left = np.flatnonzero(mask)
            matched = _matched(term, values[left], seen.setdefault(term, {}))
            mask[left] = matched
            dropped.append(len(left) - int(np.count_nonzero(matched)))
        return Filtered(mask, tuple(dropped))


def _matched(
    term: FilterTerm, values: NDArray[np.generic], seen: dict[str, bool]
) -> NDArray[np.bool_]:
    """Return which values the term's pattern matches; each distinct value is matched once."""
    texts = [str(value) for value in values.tolist()]
    new = [text for text in dict.fromkeys(texts) if text not in seen]
    seen.update(zip(new, _matches(term, new), strict=True))
    return np.fromiter((seen[text] for text in texts), dtype=np.bool_, count=len(texts))


def _matches(term: FilterTerm, texts: list[str]) -> Iterable[bool]:
    match = _compiled(term).match
    limit = SECONDS * max(1.0, len(texts) / _VALUES_PER_LIMIT)
    end = time.perf_counter() + limit
    try:
        for text in texts:
            left = end - time.perf_counter()
            if left <= 0:
                raise TimeoutError
            yield match(text, timeout=left) is not None
    except (TimeoutError, MemoryError) as error:
        what = "memory" if isinstance(error, MemoryError) else "time"
        raise FilterError(
            f"filter term '{term}': the pattern takes too much {what} (limit {limit:.1f} s for "
            f"{len(texts)} distinct values); the usual cause is a repeat within a repeat, as in "
            "(a+)+"
        ) from None


def _compiled(term: FilterTerm) -> Pattern:
    short = len(term.pattern) <= MAX_PATTERN
    where = f"filter term '{term}'" if short else f"filter term on '{term.field}'"
    return compiled(where, term.pattern, error=FilterError)
