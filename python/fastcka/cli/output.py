"""Output of commands: JSON, tables, notes and progress bars."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

# In a pipe or a file, tables are as wide as their cells need, for grep and cut; rich would
# wrap them at 80 columns.
_PIPE_WIDTH = 10_000

# Control characters (C0, DEL, C1), lone surrogates (path bytes that are not UTF-8), line and
# paragraph separators, and direction marks.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return text for a terminal, with control characters and direction marks escaped.

    Names and messages can originate in files. An escape character in them could clear the screen
    or disguise a name. ``lines`` keeps line breaks.

    Examples
    --------
    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        if lines and character == "\n":
            return character
        return character.encode("unicode_escape").decode("ascii")

    return _UNSAFE.sub(escaped, text)


def stdout() -> Console:
    """Return a console for answers."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return a console for messages and progress."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    from rich.console import Console
    from rich.text import Text

    terminal = stream.isatty()

    class PrintableConsole(Console):
        """Prints strings through `printable`; `columns` and `facts` do the same for tables."""

        def print(self, *objects: Any, **options: Any) -> None:
            shown = (
                Text(printable(item, lines=True)) if isinstance(item, str) else item
                for item in objects
            )
            if terminal:
                super().print(*shown, **options)
                return
            # rich pads each line of a table to the width of its longest line.
            with self.capture() as captured:
                super().print(*shown, **options)
            stream.write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))
            stream.flush()  # as rich does: stdout and stderr may be one file

    width = None if terminal or "COLUMNS" in os.environ else _PIPE_WIDTH
    return PrintableConsole(file=stream, highlight=False, markup=False, width=width)


def note(kind: str, message: object) -> None:
    """Print ``kind: message`` on stderr; *kind* is "error" or "warning"."""
    from rich.text import Text

    style = {"error": "bold red", "warning": "bold yellow"}[kind]
    text = printable(str(message), lines=True)
    stderr().print(Text.assemble((f"{kind}:", style), f" {text}"), soft_wrap=True)


def print_json(value: object) -> None:
    """Print *value* as one strictly valid JSON document on stdout."""
    sys.stdout.write(json.dumps(jsonable(value), indent=2, allow_nan=False) + "\n")


def jsonable(value: object) -> Any:
    """Return *value* as JSON types: NaN and infinities become null, tuples lists, paths strings."""
    if isinstance(value, dict):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float):  # numpy.float64 is one as well
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    item = getattr(value, "item", None)  # the other NumPy scalars
    return jsonable(item()) if callable(item) else value


def facts(rows: Mapping[str, object]) -> Table:
    """Return a two-column table of names and values, without lines."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        shown = value if isinstance(value, Text) else Text(printable(str(value), lines=True))
        table.add_row(printable(name), shown)
    return table


def lines(texts: Iterable[str]) -> Text:
    """Return texts as the lines of one value of `facts`."""
    from rich.text import Text

    return Text("\n".join(printable(text) for text in texts))


def columns(*names: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table with columns *names*: *numbers* are right-aligned, text may wrap."""
    from rich import box
    from rich.table import Table

    class PrintableTable(Table):
        """Shows strings through `printable`."""

        def add_row(self, *cells: Any, **options: Any) -> None:
            shown = (printable(cell) if isinstance(cell, str) else cell for cell in cells)
            super().add_row(*shown, **options)

    table = PrintableTable(
        box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold"
    )
    for name in names:
        if name in numbers:
            table.add_column(name, justify="right", no_wrap=True)
        else:
            table.add_column(name, overflow="fold")
    return table


def counted(number: int, noun: str) -> str:
    """Return "1 group" or "12,345 groups"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show progress bars on stderr while the block runs, if stderr is a terminal."""
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = stderr()
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        # Otherwise rich redirects printed output from stdout to stderr.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bars:
        yield bars
