"""Shared parts of the interactive figures: colours, markers, and texts that stay text."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

# Okabe and Ito's colours without black and yellow, so that each is distinct on white and on black.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C8C8C")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")


def plotly_text(text: object) -> str:
    """Escape a text, in which plotly would read tags such as <b>; line breaks are kept."""
    return html.escape(str(text), quote=False).replace("\n", "<br>")


def color(position: int) -> str:
    """Return the colour of a series."""
    return _COLORS[position % len(_COLORS)]


def marker(position: int, *, size: int = 7) -> dict[str, Any]:
    """Return the marker of a series: its shape changes when the colours repeat."""
    symbol = _SYMBOLS[position // len(_COLORS) % len(_SYMBOLS)]
    return {"color": color(position), "symbol": symbol, "size": size}


def numbers(values: Iterable[float]) -> list[float | None]:
    """Return numbers for JSON: six decimals, None for NaN."""
    return [round(float(value), 6) if math.isfinite(value) else None for value in values]


def mean_text(mean: float, sem: float) -> str:
    """Return a mean and its standard error, which is NaN for a single pair."""
    return f"{mean:.4f}" + (f" ± {sem:.4f}" if math.isfinite(sem) else "")


def line(
    position: int,
    name: str,
    x: Sequence[Any],
    y: Iterable[float],
    texts: Sequence[str],
    *,
    connected: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Return a series of points; ``texts`` are shown when the pointer is on them."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if connected else "markers",
        "name": plotly_text(name),
        "legendgroup": plotly_text(name),
        "x": list(x),
        "y": numbers(y),
        "text": list(map(plotly_text, texts)),
        "hoverinfo": "text+name",
        "marker": marker(position),
        "line": {"color": color(position), "width": 2},
        **options,
    }


def band(
    position: int, name: str, x: Sequence[Any], low: Iterable[float], high: Iterable[float]
) -> dict[str, Any]:
    """Return the area between two series."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": numbers([*high, *reversed([*low])]),
        "fill": "toself",
        "fillcolor": f"{color(position)}33",  # the last two digits are the opacity
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": plotly_text(name),
    }


def figure(
    data: Sequence[dict[str, Any]],
    *,
    value: str | None = None,
    choice: str | None = None,
    **layout: Any,
) -> dict[str, Any]:
    """Return one figure of a "plot" chart.

    ``value`` is the name of the similarity that it shows, None if it is the same for all of them;
    ``choice`` its name in the chart's list of choices, None if there is one.
    """
    return {"value": value, "choice": choice, "data": list(data), "layout": layout}
