"""The page: one HTML file with interactive figures, which loads nothing from elsewhere.

    sections, pairs --JSON--> a data block --page.js, matrix.js, ...--> plotly --> figures

The scripts are inlined: plotly.js from the package plotly, and the files of this folder, which
draw the first matrix and then start plotly.js. The content security policy allows these two scripts
by their hashes, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastcka.errors import MissingExtraError
from fastcka.report.items import Chart, Listing, NotDrawn, Shown

_FOLDER = Path(__file__).parent
_SCRIPTS = ("page.js", "sketch.js", "pivot.js", "matrix.js", "plot.js", "pairs.js", "start.js")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page, with a heading in the contents."""

    title: str
    items: Sequence[Shown]


@dataclass(frozen=True, slots=True)
class PageContent:
    """What the page shows.

    Attributes
    ----------
    title
        Its title.
    lead
        Sentences at the top: what the results show.
    reading
        Sentences on how to read the figures.
    data
        The data of all pairs for the scripts (see `fastcka.report.pairs.page_data`), or None.
    caption
        The numbers of examples and features, the estimator, the filter and the pooling.
    sections
        The figures and tables, in order.
    facts
        Name -> text: facts about the results.
    files
        The name, the contents and the number of rows (None for a figure) of each file.
    not_drawn
        What the page does not show, and why.
    """

    title: str
    lead: Sequence[str]
    reading: Sequence[str]
    data: Mapping[str, Any] | None
    caption: str
    sections: Sequence[Section]
    facts: Mapping[str, str]
    files: Sequence[tuple[str, str, int | None]]
    not_drawn: Sequence[NotDrawn]


def page_text(content: PageContent) -> str:
    """Return the page as HTML. All texts are escaped.

    Raises
    ------
    MissingExtraError
        jinja2 or plotly is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError.of("the page", "jinja2", "report") from error
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,  # for every template, regardless of its file name
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number_text
    environment.filters["data_uri"] = _data_uri
    environment.tests["chart"] = lambda item: isinstance(item, Chart)
    environment.tests["numeric"] = _is_numeric
    environment.tests["listing"] = lambda item: isinstance(item, Listing)
    charts = [item for part in content.sections for item in part.items if isinstance(item, Chart)]
    plotly, ours = (plotly_js(), _ours()) if charts else ("", "")
    data = {"pairs": content.data, "charts": [{"kind": c.kind, **c.spec} for c in charts]}
    return environment.get_template("page.html.j2").render(
        content=content,
        charts=charts,
        style=(_FOLDER / "page.css").read_text(encoding="utf-8"),
        plotly=plotly,
        ours=ours,
        hashes=" ".join(f"'sha256-{_digest(s)}'" for s in (ours, plotly) if s) or "'none'",
        data=script_json(data),
    )


def plotly_js() -> str:
    """Return the source of plotly.js, which the package plotly contains.

    Raises
    ------
    MissingExtraError
        plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtraError.of("the page", "plotly", "report") from error
    return str(get_plotlyjs())


def script_json(value: object) -> str:
    """Return JSON in which no text can end the script element that contains it."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


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


def _is_numeric(value: object) -> bool:
    """Whether a cell of a table is a number, a missing one, or a text that starts with one."""
    return not isinstance(value, str) or value[:1] in "0123456789-"


def _ours() -> str:
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
