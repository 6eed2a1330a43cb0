"""What a view yields: figures, tables, and reasons why something is not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure for a paper, written as PNG and PDF; ``stem`` is the name of its files."""

    stem: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table for a CSV file. None and NaN become empty cells."""

    stem: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Chart:
    """An interactive figure of the page.

    Attributes
    ----------
    title, about
        Its heading, and what it shows.
    kind
        The function of the page's script that draws it: "matrix" and "pairs" from the data of all
        pairs, "plot" from finished traces.
    spec
        What this function needs, for JSON.
    """

    title: str
    about: str
    kind: Literal["matrix", "pairs", "plot"]
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of the page.

    ``notes`` maps the position of a row to remarks on it, which become footnotes.
    """

    title: str
    about: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Mapping[int, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """A PNG file that the results already contain; ``about`` explains it."""

    title: str
    about: str
    path: Path


@dataclass(frozen=True, slots=True)
class NotDrawn:
    """Something that the report does not show.

    Attributes
    ----------
    what, reason
        The view or data, and why it is not shown.
    where
        The slices or steps without it; empty for all.
    applies
        False if a sweep of this design has nothing to show there, for example no timeline of one
        step. Otherwise the reason is a limit, a failure or a missing choice.
    """

    what: str
    reason: str
    where: tuple[str, ...] = ()
    applies: bool = True


Item = Drawing | Sheet | Chart | Listing | Image | NotDrawn
Shown = Chart | Listing | Image
"""An item of the page."""


def gathered(items: Sequence[NotDrawn]) -> list[NotDrawn]:
    """Merge the items that differ in ``where`` only; those that do not apply are last."""
    places: dict[tuple[str, str, bool], list[str]] = {}
    for item in sorted(items, key=lambda item: not item.applies):
        places.setdefault((item.what, item.reason, item.applies), []).extend(item.where)
    return [
        NotDrawn(what, reason, tuple(where), applies)
        for (what, reason, applies), where in places.items()
    ]
