"""Markdown tables as a terminal shows them: aligned, and long texts on several lines.

Bold cells keep their asterisks."""

from __future__ import annotations

import re
import shutil
import textwrap

#: The last column, which holds the notes, and paragraphs get at least this many characters.
NARROWEST = 30
_PICTURE = re.compile(r"!\[.*\]\(.*\)\n+")


def plain(text, width=None):
    """Markdown of the suite as plain text, `width` characters wide, or as the terminal is."""
    width = width or max(NARROWEST, shutil.get_terminal_size((120, 24)).columns)
    blocks = []
    for block in _PICTURE.sub("", text).split("\n\n"):
        block = block.strip("\n")
        if block.startswith("|"):
            blocks.append(_aligned(block.splitlines(), width))
        elif block.startswith("#"):
            title = block.lstrip("# ")
            blocks.append(f"{title}\n{'=' * len(title)}")
        else:
            paragraph = block.replace("**", "").replace("\n", " ")
            blocks.append(textwrap.fill(paragraph, width, break_long_words=False))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _aligned(lines, width):
    """The rows of a table in columns, aligned as Markdown says; the last column may be folded."""
    header, align, *table = ([cell.strip() for cell in line[1:-1].split(" | ")] for line in lines)
    table = [header, *([cell.strip("`") for cell in row] for row in table)]
    *widths, _ = (max(map(len, column)) for column in zip(*table, strict=True))
    indent = " " * (sum(widths) + 2 * len(widths))
    room = max(NARROWEST, width - len(indent))
    text = []
    for row in table:
        cells = [
            cell.rjust(size) if side.endswith(":") else cell.ljust(size)
            for cell, size, side in zip(row, widths, align, strict=False)
        ]
        folded = textwrap.wrap(row[-1], room) or [""]
        if align[-1].endswith(":"):
            folded = [line.rjust(max(len(each[-1]) for each in table)) for line in folded]
        text.append("  ".join([*cells, folded[0]]).rstrip())
        text += [indent + line for line in folded[1:]]
    text.insert(1, "-" * min(width, max(map(len, text))))
    return "\n".join(text)
