"""The order in which labels are shown: given, or as a person would write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_DIGITS = re.compile(r"(\d+)")


def ordered(labels: Iterable[str | None], given: Sequence[str] = ()) -> list[str | None]:
    """Return the different ``labels``: the ``given`` ones first, then numbers, then texts.

    Numbers go by value (2 before 10), texts with the numbers in them by value (``pt2`` before
    ``pt10``), an absent label (None) last.
    """
    place = {label: at for at, label in enumerate(given)}
    return sorted(set(labels), key=lambda label: _key(label, place))


def _key(label: str | None, place: dict[str, int]) -> tuple[int, float, list[tuple[int, str]]]:
    if label is None:
        return (3, 0.0, [])
    if label in place:
        return (0, place[label], [])
    try:
        number = float(label)
    except ValueError:
        number = float("nan")
    if number == number:  # "nan" is a text here
        return (1, number, [(0, label)])
    # Digits as numbers of any length; one kind of pair keeps texts and numbers comparable.
    parts = [
        (len(part.lstrip("0")) + 1, part) if part.isdigit() else (0, part)
        for part in _DIGITS.split(label)
    ]
    return (2, 0.0, parts)
