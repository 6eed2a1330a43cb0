"""The order in which labels are shown: the order you give, or natural order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_DIGITS = re.compile(r"(\d+)")


def ordered(labels: Iterable[str | None], given: Sequence[str] = ()) -> list[str | None]:
    """Return the distinct ``labels``: the ``given`` ones first, then numbers, then texts.

    Numbers are sorted by value (2 before 10). Texts are sorted by the value of the numbers in them
    (``pt2`` before ``pt10``). An absent label (None) is last.
    """
    ranks = {label: rank for rank, label in enumerate(given)}
    return sorted(set(labels), key=lambda label: _key(label, ranks))


def _key(label: str | None, ranks: dict[str, int]) -> tuple[int, float, list[tuple[int, str]]]:
    if label is None:
        return (3, 0.0, [])
    if label in ranks:
        return (0, ranks[label], [])
    try:
        number = float(label)
    except ValueError:
        number = float("nan")
    if number == number:  # "nan" is a text here
        return (1, number, [(0, label)])
    # Numbers of any length sort by their number of digits first. Every part becomes a pair of the
    # same types, so that texts and numbers can be compared.
    parts = [
        (len(part.lstrip("0")) + 1, part) if part.isdigit() else (0, part)
        for part in _DIGITS.split(label)
    ]
    return (2, 0.0, parts)
