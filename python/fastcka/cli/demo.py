"""``fastcka demo``: train small networks on real data and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastcka.cli import output


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for all files of the demo.")
    ] = Path("fastcka-demo"),
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Training steps to compare (default: 0,30,120,600). 0,20,100 is faster.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds of each architecture (default: 3).")
    ] = None,
) -> None:
    """Train small networks on handwritten digits, and compare all their layers in a report.

    The demo takes a minute or two. A second run resumes.
    """
    from fastcka.demo import DEFAULT_SEEDS, DEFAULT_STEPS, print_report, run_demo

    with output.progress_bars() as bars:
        result = run_demo(
            directory,
            steps=DEFAULT_STEPS if steps is None else _whole_numbers(steps),
            seeds=DEFAULT_SEEDS if seeds is None else tuple(range(seeds)),
            progress=bars,
        )
    print_report(output.stdout(), result)


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"expected whole numbers separated by commas, such as 0,20,100, got {text!r}",
            param_hint="--steps",
        ) from None
