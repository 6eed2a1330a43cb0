"""``fastcka pair``: one pair of models at one layer, with a folder of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastcka.cli import arguments, output

if TYPE_CHECKING:
    from fastcka.pair import PairRun

PAIR_KEYS = """\
Keys of CONFIG.yaml (unlike in other commands, paths are relative to the working directory):

exp1, exp2: {name, repr_dir}; repr_dir contains folders checkpoint-<step>, or is a store with a \
model of that name. The optional key task is copied to the summary.
layer: the number of the layer; in a store, its name. output_dir: the folder of the results.
checkpoint_steps: a list of steps, or null (default) for every step that both models have.
use_final_only: true takes only the last of these steps (default: false).
city_filter: null (default), or a filter, COLUMN:REGEX && COLUMN:REGEX; COLUMN is a column of the \
examples, or id.
kernel_type: linear (default) or rbf. center_kernels: must be true.
use_gpu: true allows a GPU (default: false). save_timeline_plot: true draws a PNG (default: \
false)."""


def pair(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="The configuration of the pair.")
    ],
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace earlier results when the new ones are complete."),
    ] = False,
    no_memory_check: arguments.NoMemoryCheck = False,
    json: arguments.Json = False,
) -> None:
    """Compare two models at one layer by biased CKA, and write a timeline and a summary."""
    from fastcka.memory import memory_check
    from fastcka.pair import load_pair, run_pair

    with memory_check(not no_memory_check), output.progress_bars() as bars:
        task = bars.add_task("comparing", total=None)
        run = run_pair(
            load_pair(config),
            overwrite=overwrite,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    for message in run.summary["notes"]:
        output.note("warning", message)
    if json:
        answer = {"output": str(run.output), "seconds": run.seconds, **run.summary}
        output.print_json(answer)
    else:
        output.stdout().print(output.facts(_facts(run)))


def _facts(run: PairRun) -> dict[str, object]:
    summary = run.summary
    steps = [point.step for point in run.result.points]
    rows: dict[str, object] = {
        "pair": f"{summary['exp1']} and {summary['exp2']}, layer {summary['layer']}",
        "steps": f"{steps[0]}" if len(steps) == 1 else f"{len(steps)}, {steps[0]} to {steps[-1]}",
        "last steps": f"{summary['exp1_last_step']} and {summary['exp2_last_step']}",
        "examples": f"{summary['n_cities']:,}",
    }
    for name, dropped in summary["dropped"].items():
        if dropped:
            counts = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
            rows[f"dropped of {name}"] = counts
    final = summary["final_cka"]
    rows[f"CKA at step {summary['final_step']}"] = "undefined" if final is None else f"{final:.6f}"
    for step, reason in summary["undefined"].items():
        rows[f"undefined at step {step}"] = reason
    rows["results"] = run.output
    rows["took"] = f"{run.seconds:.1f} s"
    return rows
