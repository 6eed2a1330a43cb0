"""``fastcka report``: what a sweep or `evolve` found, as figures, tables and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastcka.cli import arguments, output


def report(
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", help="The folder that a sweep or `evolve` wrote."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the report goes; else report/ in RESULTS."),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The factor that is meant to differ.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The factor of repeats of a variant.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The factor that the trend goes over.")
    ] = None,
    all_steps: Annotated[
        bool, typer.Option("--all-steps", help="Draw every step, however many there are.")
    ] = False,
    permutations: Annotated[
        int, typer.Option(min=99, help="Relabellings of each comparison.")
    ] = 9_999,
    json: arguments.Json = False,
) -> None:
    """Put results on one page: a sweep's matrices and comparisons, a training's phases."""
    from fastcka.report import write_report

    with output.progress_bars() as bars:
        task = bars.add_task("reading", total=None)
        result = write_report(
            results,
            out=out,
            variant=variant,
            seed=seed,
            family=family,
            all_steps=all_steps,
            permutations=permutations,
            progress=lambda name: bars.update(task, description=f"wrote {name}"),
        )
    if json:
        output.print_json(result.to_dict())
        return
    rows: dict[str, object] = {
        "page": result.page,
        "figures": f"{len(result.figures):,}",
        "tables": f"{len(result.tables):,}",
    }
    if result.not_drawn:
        rows["not shown"] = "\n".join(
            f"{own.what}: {own.reason}" + (f" ({len(own.where)} places)" if own.where else "")
            for own in result.not_drawn
        )
    output.stdout().print(output.facts(rows))
