"""A table of docutils from rows of nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Cell = nodes.Node | list[nodes.Node]


def table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], *, widths: Sequence[int]
) -> nodes.table:
    """Return a table with a header; ``widths`` are relative."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=width) for width in widths]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([nodes.paragraph("", text) for text in header])
    body += [_row(cells) for cells in rows]
    group += [head, body]
    return nodes.table("", group, classes=["table", "colwidths-given"])


def _row(cells: Sequence[Cell]) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", *(cell if isinstance(cell, list) else [cell])) for cell in cells]
    return row
