"""What every command needs in order to speak: JSON, tables, notes and progress bars."""

from __future__ import annotations

import json
import math
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

# A table written to a pipe or a file is for grep and cut: it takes the width that its cells need,
# in place of the 80 columns at which rich would break it.
_PIPE_WIDTH = 10_000


def stdout() -> Console:
    """Return a console for answers."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return a console for messages and progress."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    narrow = stream.isatty() or "COLUMNS" in os.environ
    width = None if narrow else _PIPE_WIDTH
    return Console(file=stream, highlight=False, markup=False, width=width)


def note(kind: str, message: object) -> None:
    """Print ``kind: message`` on stderr; *kind* is "error" or "warning"."""
    from rich.text import Text

    style = {"error": "bold red", "warning": "bold yellow"}[kind]
    stderr().print(Text.assemble((f"{kind}:", style), f" {message}"), soft_wrap=True)


def print_json(value: object) -> None:
    """Print *value* as one JSON document on stdout, valid for every strict reader."""
    sys.stdout.write(json.dumps(jsonable(value), indent=2, allow_nan=False) + "\n")


def jsonable(value: object) -> Any:
    """Return *value* in JSON's types: NaN and infinities become null, tuples lists, paths text."""
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
        table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return table


def columns(*names: str, numbers: Sequence[str] = ()) -> Table:
    """Return an empty table headed by *names*: *numbers* are set right, text may wrap."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
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
        # Else rich would send what is printed to stdout meanwhile to stderr.
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bars:
        yield bars
