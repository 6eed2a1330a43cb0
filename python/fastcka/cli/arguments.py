"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print a JSON object on stdout.")]

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="The sweep's file.")]

StoreFolder = Annotated[Path, typer.Argument(metavar="STORE", help="The store's folder.")]

Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of threads; else OMP_NUM_THREADS, else every CPU of this process."
    ),
]
