"""``fastcka capture``: the checkpoints of training runs into a store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastcka.cli import arguments, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.capture.runs import CaptureOutcome

SHOWN_NAMES = 6

CAPTURE_KEYS = """\
Keys of CONFIG.yaml (paths are relative to the file):

model: package.module:function, which builds the network.
probe: a .npz file with inputs (or the network's keyword arguments by name), and optionally ids, \
mask and column_NAME.
store: the folder of the representations. batch_size: 256. device: cpu (default), cuda and so on.
layers: module paths or patterns: * for anything without a dot, ** for anything, ! in front to \
leave out, @1 behind for the second call of a module, @* for all calls; block.output[1] or \
block.output.NAME for a member of what a module returns.
pool: none, flatten (default), mean_tokens, last_token, cls or spatial_mean; or {PATTERN: POOL}.
side: output (default) or input.
masks: which mask belongs to which layer, {PATTERN: NAME}: a mask among the inputs, or mask; \
!NAME takes its opposite (1 at padding), null means no padding.
batch_axis: which axis of a layer is the examples, 0 (default) or {PATTERN: AXIS}.
input_batch_axis: along which axis the network expects the examples, 0 (default) or {INPUT: AXIS}.
check_rows: true (default) runs a few examples again and refuses a layer whose rows depend on \
other examples.
runs: a list of {name, checkpoints, steps, factors, options}; checkpoints is the folder of one \
training run, steps a list (default: all there), factors what tells it from the others, options \
the arguments of the function. {name, step} without checkpoints captures a network whose function \
loads its weights, such as a pretrained one; {name, checkpoints, step} a single checkpoint.

Keys for all runs, or for one of them:

weights_key: the field of a checkpoint that contains the weights, such as teacher or ema.model \
(default: model_state_dict, state_dict or model). strip: a list of prefixes to remove from names, \
such as model.
strict: true (default); false ignores weights that the network does not have, and lists them. \
allow_missing: a list of patterns, such as head.*, of weights that a checkpoint may lack; they \
keep the values of the function.
step_pattern: a regular expression, such as "epoch=(\\\\d+)", that finds the step in other names.
check_step: true (default) refuses a checkpoint that contains another step than its name says."""


def capture(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="What to capture, and from where.")
    ],
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace rows that come from other weights, probe or settings."
        ),
    ] = False,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle", help="Load checkpoints that can run code, of people you trust."
        ),
    ] = False,
    json: arguments.Json = False,
) -> None:
    """Run networks on a probe set; what is in the store from the same weights is left alone."""
    from fastcka.capture.config import load_capture
    from fastcka.capture.runs import capture_runs

    with output.progress_bars() as bars:
        task = bars.add_task("capturing", total=None)
        asked = load_capture(config)
        result = capture_runs(
            asked,
            overwrite=overwrite,
            trust_pickle=trust_pickle,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    outcomes = result.checkpoints
    for line in [*_not_loaded(outcomes), *result.doubtful]:
        output.note("warning", line)
    failed = [own for own in outcomes if own.outcome == "failed"]
    for own in failed:
        output.note("error", f"{own.model}, step {own.step}: {own.message}")
    if json:
        checkpoints = [asdict(own) for own in outcomes]
        output.print_json(
            {"store": asked.store, "checkpoints": checkpoints, "doubtful": result.doubtful}
        )
    else:
        counts = {
            kind: sum(own.outcome == kind for own in outcomes)
            for kind in ("captured", "reused", "failed")
        }
        rows: dict[str, object] = {"store": asked.store}
        rows |= {
            kind: output.counted(count, "checkpoint") for kind, count in counts.items() if count
        }
        output.stdout().print(output.facts(rows))
    if failed:
        raise typer.Exit(1)


def _not_loaded(outcomes: Sequence[CaptureOutcome]) -> list[str]:
    """Return a line for all checkpoints of a run from which the same weights were not loaded."""
    steps: dict[tuple[str, str], list[int]] = {}
    for own in outcomes:
        for what, names in (
            ("not in the network, ignored", own.ignored),
            ("not in the checkpoint, as the function made them", own.missing),
        ):
            if names:
                more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
                line = f"{', '.join(names[:SHOWN_NAMES])}{more}: {what}"
                steps.setdefault((own.model, line), []).append(own.step)
    return [
        f"{model}, {output.counted(len(of), 'checkpoint')} from step {of[0]}: {line}"
        for (model, line), of in steps.items()
    ]
