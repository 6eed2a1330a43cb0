"""Which examples take part: terms such as ``region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$``.

A filter is one or more terms ``field:pattern`` joined by ``&&``; an example is kept if every term
matches. ``&&`` always separates terms; white space around terms, fields and patterns is dropped.

- A field is a column of the examples, or ``id`` for the example id.
- A pattern is a regular expression of Python's `re`, matched from the start of the value's text.
  End it with ``$`` to match the whole text.
- The text of a number is its decimal form: ``17`` for an integer, ``repr`` for a float (``17.0``,
  ``1e-05``, ``nan``); that of a boolean is ``True`` or ``False``.
"""

from __future__ import annotations

import re
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import regex

from fastcka.errors import FilterError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fastcka.store.key import Examples

MAX_PATTERN: Final = 512
"""Characters of a pattern."""

MAX_ELEMENTS: Final = 20_000
"""Elements of a pattern once its repeats are written out, each of 1 to 2 kB of memory."""

SECONDS: Final = 1.0
"""Time for a term on up to 100,000 distinct values, and as much for each further 100,000."""

_VALUES_A_TURN: Final = 100_000
_TOKENS: Final = re.compile(r"(?P<repeat>(\+|\{(?P<least>\d+)(,\d*)?\})[+?]?)|.", re.DOTALL)
# `regex` gives these a meaning that `re` does not: {e<=1} matches approximately, and white space
# within {} would hide a count from `_TOKENS`.
_FUZZY: Final = re.compile(r"\{[^{}]*[a-zA-Z][^{}]*\}")
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z]*x")


@dataclass(frozen=True, slots=True)
class FilterTerm:
    """One ``field:pattern``."""

    field: str
    pattern: str

    def __str__(self) -> str:
        return f"{self.field}:{self.pattern}"


Verdicts = dict[FilterTerm, dict[str, bool]]
"""For each term, whether it keeps a value with this text."""


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """What a filter keeps of some examples.

    Attributes
    ----------
    mask
        True for the examples that are kept, (n_examples,).
    dropped
        For each term, how many examples it drops of those that the terms before it keep.
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
        Its terms, in the order of the text.

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
        """Return the filter that a text stands for.

        Raises
        ------
        FilterError
            If a term is not ``field:pattern``, or a pattern is no regular expression, longer than
            512 characters, or would take too much memory; the message names it.
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
            Their ids and columns.
        verdicts
            What the terms said of values before; what they say now is added. With one for all the
            files of a store, a value that stands in each of them is matched once.

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
    limit = SECONDS * max(1.0, len(texts) / _VALUES_A_TURN)
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
            f"{len(texts)} distinct values); repeats within repeats, as in (a+)+, are the usual "
            "cause"
        ) from None


def _written_out(plain: str) -> int:
    """Return how many elements a pattern without escapes has once its repeats are written out.

    `regex` compiles x{m,n} as m times x and a loop, so that ((a+)+)+ doubles with each level and
    (?:a{1000}){1000} takes a gigabyte before anything is matched.
    """
    sizes, last = [0], 0  # of the open groups, the innermost last; and of the last element
    for token in _TOKENS.finditer(re.sub(r"\[\^?\]?[^\]]*\]", "c", plain)):
        if token["repeat"]:
            least = int(token["least"] or 1)
            sizes[-1] += last * least
            last *= least + 1
        elif token[0] == "(":
            sizes.append(1)
        elif token[0] == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif token[0] not in "*?":
            last = 1
            sizes[-1] += 1
    return sum(sizes)


def _compiled(term: FilterTerm) -> regex.Pattern[str]:
    """Compile a pattern that `re` accepts by `regex`, which can be stopped."""
    where = f"filter term '{term}'"
    if len(term.pattern) > MAX_PATTERN:
        raise FilterError(
            f"filter term on '{term.field}': a pattern of {len(term.pattern)} characters; at most "
            f"{MAX_PATTERN}: {term.pattern[:60]}..."
        )
    plain = re.sub(r"\\.", "e", term.pattern, flags=re.DOTALL)  # without escapes
    if _FUZZY.search(plain) or _VERBOSE.search(plain):
        raise FilterError(
            f"{where}: a '{{' that is no repeat is written \\{{, and the x flag is not allowed"
        )
    elements = _written_out(plain)
    if elements > MAX_ELEMENTS:
        raise FilterError(
            f"{where}: its repeats within repeats come to {elements:,} elements; at most "
            f"{MAX_ELEMENTS:,}"
        )
    try:
        with warnings.catch_warnings():
            # [[ and its like, which `re` and `regex` may come to read in two ways
            warnings.simplefilter("error", FutureWarning)
            re.compile(term.pattern)
            return regex.compile(term.pattern, regex.VERSION0, cache_pattern=False)
    except (re.error, regex.error, ValueError, OverflowError, FutureWarning) as error:
        raise FilterError(f"{where}: not a regular expression: {error}") from None
    except (RecursionError, MemoryError):
        raise FilterError(f"{where}: nested too deeply") from None
