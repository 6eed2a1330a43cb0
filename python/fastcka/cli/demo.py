"""``fastcka demo``: the whole tool at work on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastcka.cli import output


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where everything is written.")
    ] = Path("fastcka-demo"),
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Training steps to compare, such as 0,20,100 for a shorter demo.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of seeds of each kind of network.")
    ] = None,
) -> None:
    """Train small networks on real handwritten digits and compare all their layers.

    Takes a minute or so. Run again, it takes up what is already in DIR.
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
            f"expected whole numbers with commas between, such as 0,20,100; came {text!r}",
            param_hint="--steps",
        ) from None
