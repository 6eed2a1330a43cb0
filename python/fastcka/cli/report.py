"""``fastcka report``: the results of a sweep or of `evolve` as figures, tables and one page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastcka.cli import arguments, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

_SHOWN = 3
"""Number of slices or steps listed for each view that is not shown; --json lists all."""


def report(
    results: Annotated[
        Path,
        typer.Argument(metavar="RESULTS", help="The output folder of `run` or `evolve`."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the report (default: report/ in RESULTS)."),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Factor of the experimental condition, such as task (default: variant).",
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="Factor that numbers the repeats of a variant (default: seed)."
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="Factor on the x axis of the trend figures, such as size (default: family).",
        ),
    ] = None,
    all_steps: Annotated[
        bool,
        typer.Option("--all-steps", help="Draw all steps, even if there are more than three."),
    ] = False,
    permutations: Annotated[
        int, typer.Option(min=99, help="Number of relabellings in each permutation test.")
    ] = 9_999,
    json: arguments.Json = False,
) -> None:
    """Write an HTML page of figures and tables from the results of `run` or `evolve`."""
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
        "page": f"{result.page} (open it in a browser)",
        "figures": _counted_by_folder(result.figures),
        "tables": _counted_by_folder(result.tables),
    }
    for name, applies in (("not shown", True), ("does not apply", False)):
        items = [item for item in result.not_drawn if item.applies == applies]
        if items:
            rows[name] = output.lines(
                f"{item.what}: {item.reason}" + (f" ({_listed(item.where)})" if item.where else "")
                for item in items
            )
    output.stdout().print(output.facts(rows))


def _counted_by_folder(files: Sequence[Path]) -> Text | str:
    """Return a line for each folder: its path, and the number of files and their type."""
    folders = Counter((file.parent, file.suffix[1:].upper()) for file in files)
    if not folders:
        return "none"
    return output.lines(
        f"{folder} ({output.counted(count, f'{kind} file')})"
        for (folder, kind), count in folders.items()
    )


def _listed(where: tuple[str, ...]) -> str:
    shown = "; ".join(where[:_SHOWN])
    return shown if len(where) <= _SHOWN else f"{shown}; and {len(where) - _SHOWN} more"
