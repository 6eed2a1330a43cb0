"""Compiling regular expressions of users so that none can stall the process or fill its memory."""

from __future__ import annotations

import re
import warnings
from typing import Final

import regex

from fastcka.errors import InputError

Pattern = regex.Pattern[str]

MAX_PATTERN: Final = 512
"""Longest pattern, in characters."""

MAX_ELEMENTS: Final = 20_000
"""Largest pattern, in elements once its repeats are expanded; each takes 1 to 2 kB of memory."""

_TOKENS: Final = re.compile(r"(?P<repeat>(\+|\{(?P<least>\d+)(,\d*)?\})[+?]?)|.", re.DOTALL)
# `regex` reads these in another way than `re`: {e<=1} matches approximately, and with the x flag
# white space within {} would hide a count from `_TOKENS`.
_FUZZY: Final = re.compile(r"\{[^{}]*[a-zA-Z][^{}]*\}")
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z]*x")


def compiled(where: str, pattern: str, *, error: type[InputError] = InputError) -> Pattern:
    """Compile a pattern of `re` with `regex`, whose searches accept a ``timeout``.

    Parameters
    ----------
    where
        The beginning of each message.
    pattern
        A regular expression of Python's `re`.
    error
        The class of the error.

    Raises
    ------
    InputError
        If the pattern is not a regular expression, is too long, or would take too much memory.
    """
    if len(pattern) > MAX_PATTERN:
        raise error(
            f"{where}: expected a pattern of at most {MAX_PATTERN} characters, got {len(pattern)}: "
            f"{pattern[:60]}..."
        )
    plain = re.sub(r"\\.", "e", pattern, flags=re.DOTALL)  # without escapes
    if _FUZZY.search(plain) or _VERBOSE.search(plain):
        raise error(f"{where}: write a literal '{{' as \\{{; the x flag is not allowed")
    elements = _written_out(plain)
    if elements > MAX_ELEMENTS:
        raise error(
            f"{where}: expected a pattern of at most {MAX_ELEMENTS:,} elements, got {elements:,} "
            "once its repeats are expanded"
        )
    try:
        with warnings.catch_warnings():
            # FutureWarning: [[ and similar sets, whose meaning in `re` may change
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
            return regex.compile(pattern, regex.VERSION0, cache_pattern=False)
    except (re.error, regex.error, ValueError, OverflowError, FutureWarning) as cause:
        raise error(f"{where}: not a regular expression: {cause}") from None
    except (RecursionError, MemoryError):
        raise error(f"{where}: nested too deeply") from None


def _written_out(plain: str) -> int:
    """Return the number of elements of a pattern without escapes once its repeats are expanded.

    `regex` compiles x{m,n} as m copies of x and a loop. ((a+)+)+ therefore doubles with each level,
    and (?:a{1000}){1000} takes a gigabyte before anything is matched.
    """
    sizes, last = [0], 0  # sizes of the open groups, innermost last; size of the last element
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
