"""What a view yields: figures, tables, and reasons why something is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure; ``stem`` is the name of its files without suffix, ``about`` explains it."""

    stem: str
    title: str
    figure: Figure
    about: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table for a CSV file. None and NaN become empty cells.

    ``about`` explains the table. A table with this explanation is also shown on the page.
    """

    stem: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A PNG file that the results already contain; ``about`` explains it."""

    title: str
    about: str
    path: Path


@dataclass(frozen=True, slots=True)
class NotDrawn:
    """Something that the report does not show, and why; ``where`` lists slices or steps."""

    what: str
    reason: str
    where: tuple[str, ...] = ()


Item = Drawing | Image | Sheet | NotDrawn


def gathered(items: Sequence[NotDrawn]) -> list[NotDrawn]:
    """Merge the items with the same ``what`` and ``reason``."""
    places: dict[tuple[str, str], list[str]] = {}
    for item in items:
        places.setdefault((item.what, item.reason), []).extend(item.where)
    return [NotDrawn(what, reason, tuple(where)) for (what, reason), where in places.items()]
