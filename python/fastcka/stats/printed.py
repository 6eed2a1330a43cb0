"""Results that print as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import islice
from typing import NamedTuple

MOST_ROWS = 30
"""Rows that are printed; a last line counts the others."""


class Table(NamedTuple):
    """What is printed: a heading, the columns, an iterator over rows, and the number of rows."""

    heading: str
    columns: Sequence[str]
    rows: Iterator[Sequence[object]]
    total: int


class Printed:
    """A result whose text and HTML are a table of at most 30 rows."""

    __slots__ = ()

    def _table(self) -> Table:
        raise NotImplementedError

    def __repr__(self) -> str:
        table = self._table()
        rows = [list(table.columns), *_shown(table)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([table.heading, *lines, *_rest(table)])

    def _repr_html_(self) -> str:
        table = self._table()
        head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>"
            for row in _shown(table)
        )
        rest = "".join(f"<p>{escape(line)}</p>" for line in _rest(table))
        heading = f"<p>{escape(table.heading)}</p>"
        return f"<div>{heading}<table><tr>{head}</tr>{body}</table>{rest}</div>"


def _shown(table: Table) -> list[list[str]]:
    return [[_text(value) for value in row] for row in islice(table.rows, MOST_ROWS)]


def _rest(table: Table) -> list[str]:
    left = table.total - MOST_ROWS
    return [f"and {left:,} more"] if left > 0 else []


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)
