"""``fastcka checkpoints``: plan which training steps to save, and check that they were saved."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fastcka.cli import arguments, output
from fastcka.errors import InputError

checkpoints = typer.Typer(
    no_args_is_help=True,
    help="Plan which steps to save as checkpoints, or check saved ones against a plan.",
)


@checkpoints.command()
def plan(
    experiment: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="A training run. Repeat the option for more runs."),
    ],
    steps: Annotated[int, typer.Option(min=1, help="Length of the training, in updates.")],
    phases: Annotated[
        str,
        typer.Option(
            metavar="NAME=STEP,...",
            help="STEP is a whole number, a fraction of the training such as 0.5, or last.",
        ),
    ] = "early=0.05,mid=0.5,late=last",
    save: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="A new file for the plan (default: stdout)."),
    ] = None,
) -> None:
    """Write a plan file. Step 0, the network before training, is always planned."""
    from fastcka.capture import CheckpointPlan
    from fastcka.capture.steps import parse_phases

    if twice := next((name for name in experiment if experiment.count(name) > 1), None):
        raise InputError(f"--experiment {twice}: expected different names, got this name twice")
    named = parse_phases(phases, steps)
    planned = CheckpointPlan.of(dict.fromkeys(experiment, named), steps)
    if save is None:
        typer.echo(planned.to_json(), nl=False)
        return
    if save.exists():
        raise InputError(f"--output: {save} already exists; name a new file, or delete it")
    planned.save(save)
    total = sum(len(entry.checkpoint_steps) for entry in planned.experiments.values())
    count = output.counted(len(experiment), "experiment")
    output.stdout().print(f"{output.counted(total, 'checkpoint')} of {count} planned in {save}")


@checkpoints.command(
    epilog="Exit status: 0 if every planned checkpoint is present and correct, 1 otherwise. "
    "Checkpoints with the same weights are listed but do not change the status."
)
def verify(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's JSON file.")],
    directory: Annotated[
        Path,
        typer.Option("--dir", metavar="DIR", help="Contains a folder for each experiment."),
    ],
    weights_key: arguments.WeightsKey = None,
    strip: arguments.Strip = None,
    trust_pickle: arguments.TrustPickle = False,
    json: arguments.Json = False,
) -> None:
    """Read every planned checkpoint in full and check its content, step and run.

    Names in DIR/<experiment>: checkpoint_step_00100.pt (or .safetensors), checkpoint-100/ (Hugging
    Face trainer), epoch=1-step=100.ckpt (Lightning).
    """
    from fastcka.capture import same_weights, verify_checkpoints

    checked = verify_checkpoints(
        plan_file,
        directory,
        weights_key=weights_key,
        strip=strip or (),
        trust_pickle=trust_pickle,
    )
    doubtful = same_weights(checked)
    for line in doubtful:
        output.note("warning", line)
    wrong = [entry for entry in checked if not entry.ok]
    if json:
        rows = [asdict(entry) for entry in checked]
        output.print_json(
            {"directory": directory, "wrong": len(wrong), "checkpoints": rows, "doubtful": doubtful}
        )
    else:
        numbers = ("step", "size", "step inside")
        table = output.columns(
            "", "experiment", "step", "phase", "size", "step inside", "run", numbers=numbers
        )
        for entry in checked:
            inside = "" if entry.found_step is None else str(entry.found_step)
            size = "" if entry.size is None else f"{entry.size / 1e6:.1f} MB"
            name = (entry.experiment, str(entry.step), entry.phase or "")
            table.add_row(entry.status, *name, size, inside, entry.run_id or "")
        console = output.stdout()
        console.print(table)
        console.print()
        for entry in wrong:
            console.print(f"{entry.status}: {entry.detail}", soft_wrap=True)
        console.print(
            f"{len(checked) - len(wrong)} of {output.counted(len(checked), 'planned checkpoint')} "
            "as planned"
        )
    if wrong:
        raise typer.Exit(1)
