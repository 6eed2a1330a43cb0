"""Comparisons as HTML, for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.core.comparison import Comparison

_MOST_CELLS = 24
"""Rows and columns of the small heatmap; `Comparison.plot` draws all."""
_MOST_PAIRS = 10
_NUMBERS_UP_TO = 8
_COLORS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])
"""Red, green and blue of viridis at 0, 1/4, 1/2, 3/4 and 1."""
_STYLE = """<style>
.fastcka-cka {border-collapse: collapse}
.fastcka-cka td {min-width: 1.5em; height: 1.5em; padding: 0; text-align: center; font-size: 80%}
.fastcka-cka th {font-weight: normal; text-align: right; padding: 0 .5em; white-space: nowrap}
.fastcka-cka span {writing-mode: vertical-rl; white-space: nowrap; margin: .5em 0}
.fastcka-cka tr:last-child {vertical-align: top}
.fastcka-cka.numbers td {min-width: 2.8em}
.fastcka-pairs td, .fastcka-pairs th {padding: 0 .5em; text-align: left}
</style>"""


def html_of(comparison: Comparison, n_rows: int | None, heading: str) -> str:
    """Return a heading, a small heatmap and the pairs with the highest CKA.

    ``n_rows`` is None for the square matrix. Otherwise the first ``n_rows`` representations are
    the rows, and all others are the columns.
    """
    names, start = comparison.names, 0 if n_rows is None else n_rows
    rows, columns = names[:n_rows], names[start:]
    heatmap = _heatmap(comparison.cka[:n_rows, start:], rows, columns)
    return f"<div>{_STYLE}<p>{escape(heading)}</p>{heatmap}{_nearest(comparison)}</div>"


def _heatmap(matrix: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str]) -> str:
    shown_rows, shown_columns = rows[:_MOST_CELLS], columns[:_MOST_CELLS]
    with_numbers = max(len(rows), len(columns)) <= _NUMBERS_UP_TO
    lines = [
        f"<tr><th>{escape(row)}</th>"
        + "".join(
            _cell(float(matrix[i, j]), f"{row}, {column}", with_numbers)
            for j, column in enumerate(shown_columns)
        )
        + "</tr>"
        for i, row in enumerate(shown_rows)
    ]
    foot = "".join(f"<td><span>{escape(column)}</span></td>" for column in shown_columns)
    note = ""
    if len(rows) > _MOST_CELLS or len(columns) > _MOST_CELLS:
        note = (
            f"<p>The first {len(shown_rows)} of {len(rows)} rows and {len(shown_columns)} of "
            f"{len(columns)} columns; plot() draws all.</p>"
        )
    numbers = " numbers" if with_numbers else ""
    table = f'<table class="fastcka-cka{numbers}">{"".join(lines)}<tr><th></th>{foot}</tr></table>'
    return table + note


def _cell(value: float, title: str, with_number: bool) -> str:
    if np.isnan(value):
        return f'<td title="{escape(title)}: undefined" style="background:#eee">–</td>'
    at_corners = np.linspace(0, 1, len(_COLORS))
    color = ",".join(str(round(np.interp(value, at_corners, channel))) for channel in _COLORS.T)
    ink = ";color:" + ("black" if value > 0.6 else "white") if with_number else ""
    text = f"{value:.2f}" if with_number else ""
    return (
        f'<td title="{escape(title)}: {value:.3f}" style="background:rgb({color}){ink}">{text}</td>'
    )


def _nearest(comparison: Comparison) -> str:
    """Return a table of the listed pairs with the highest CKA."""
    a, b = comparison.pairs.T
    values = comparison.cka[a, b]
    order = np.argsort(-values, kind="stable")  # NaN last
    order = order[: min(_MOST_PAIRS, int(np.isfinite(values).sum()))]
    names, p_value = comparison.names, comparison.p_value
    lines = [
        f"<tr><td>{escape(names[i])}</td><td>{escape(names[j])}</td>"
        f"<td>{comparison.cka[i, j]:.3f}</td>"
        + ("" if p_value is None else f"<td>{p_value[i, j]:.2g}</td>")
        + "</tr>"
        for i, j in zip(a[order].tolist(), b[order].tolist(), strict=True)
    ]
    if not lines:
        return ""
    title = f"The {len(lines)} nearest of {len(a)} pairs" if len(a) > 1 else "The pair"
    head = "<th>CKA</th>" + ("" if p_value is None else "<th>p</th>")
    table = f"<tr><th></th><th></th>{head}</tr>{''.join(lines)}"
    return f'<p>{title}:</p><table class="fastcka-pairs">{table}</table>'
