"""How the tables write numbers, and rows in Markdown."""

from __future__ import annotations

MB = 1e6


def rows(header, lines):
    """A table; columns of numbers are aligned to the right."""
    columns = zip(*lines, strict=True) if lines else [[] for _ in header]
    align = ["---:" if _are_numbers(column) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, align, *lines)) + "\n"


def _are_numbers(column):
    filled = [cell.strip("*") for cell in column if cell]
    return bool(filled) and sum(cell[:1].isdigit() for cell in filled) > len(filled) / 2


def seconds(value):
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def pairs(count):
    return f"{count:,} pair{'s' * (count != 1)}"


def times(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def megabytes(value):
    return "" if value is None else f"{value / MB:,.0f}"


def error(value):
    return value if isinstance(value, str) else f"{value:.0e}"


def bold_if(condition, text):
    return f"**{text}**" if condition else text
