"""Regular expressions that users write: they cannot stall the process or fill its memory."""

from __future__ import annotations

import re
import warnings
from typing import Final

import regex

from fastcka.errors import InputError

Pattern = regex.Pattern[str]

MAX_PATTERN: Final = 512
"""Characters of a pattern."""

MAX_ELEMENTS: Final = 20_000
"""Elements of a pattern once its repeats are written out, each of 1 to 2 kB of memory."""

_TOKENS: Final = re.compile(r"(?P<repeat>(\+|\{(?P<least>\d+)(,\d*)?\})[+?]?)|.", re.DOTALL)
# `regex` gives these a meaning that `re` does not: {e<=1} matches approximately, and white space
# within {} would hide a count from `_TOKENS`.
_FUZZY: Final = re.compile(r"\{[^{}]*[a-zA-Z][^{}]*\}")
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z]*x")


def compiled(where: str, pattern: str, *, error: type[InputError] = InputError) -> Pattern:
    """Compile a pattern that `re` accepts by `regex`, whose searches take a ``timeout``.

    Parameters
    ----------
    where
        The beginning of each message.
    pattern
        A regular expression of Python's `re`.
    error
        What is raised.

    Raises
    ------
    InputError
        If the pattern is no regular expression, too long, or would take too much memory.
    """
    if len(pattern) > MAX_PATTERN:
        raise error(
            f"{where}: a pattern of {len(pattern)} characters; at most {MAX_PATTERN}: "
            f"{pattern[:60]}..."
        )
    plain = re.sub(r"\\.", "e", pattern, flags=re.DOTALL)  # without escapes
    if _FUZZY.search(plain) or _VERBOSE.search(plain):
        raise error(
            f"{where}: a '{{' that is no repeat is written \\{{, and the x flag is not allowed"
        )
    elements = _written_out(plain)
    if elements > MAX_ELEMENTS:
        raise error(
            f"{where}: its repeats within repeats come to {elements:,} elements; at most "
            f"{MAX_ELEMENTS:,}"
        )
    try:
        with warnings.catch_warnings():
            # [[ and its like, which `re` and `regex` may come to read in two ways
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
            return regex.compile(pattern, regex.VERSION0, cache_pattern=False)
    except (re.error, regex.error, ValueError, OverflowError, FutureWarning) as cause:
        raise error(f"{where}: not a regular expression: {cause}") from None
    except (RecursionError, MemoryError):
        raise error(f"{where}: nested too deeply") from None


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
