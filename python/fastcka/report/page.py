"""The page: one HTML file that contains all figures and loads nothing from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastcka.errors import MissingExtraError
from fastcka.report.items import NotDrawn, Sheet

_TEMPLATE = "page.html.j2"


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure on the page: its title, caption, data URI and file names."""

    title: str
    about: str
    data: str
    files: tuple[str, ...]


def page_text(
    *,
    title: str,
    summary: Mapping[str, str],
    pictures: Sequence[Picture],
    sheets: Sequence[tuple[str, Sheet]],
    not_drawn: Sequence[NotDrawn],
) -> str:
    """Return the page as HTML. All texts are escaped."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError.of("the page", "jinja2", "report") from error
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # for every template, regardless of its file name
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number_text
    return environment.get_template(_TEMPLATE).render(
        title=title,
        summary=summary,
        pictures=pictures,
        sheets=sheets,
        not_drawn=not_drawn,
    )


def number_text(value: Any) -> str:
    """Format a value for the page: floats with four decimals, a dash for a missing value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
