"""``fastcka capture``: the checkpoints of training runs into a store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fastcka.cli import arguments, output

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
the arguments of the function."""


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
        outcomes = capture_runs(
            asked,
            overwrite=overwrite,
            trust_pickle=trust_pickle,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    failed = [own for own in outcomes if own.outcome == "failed"]
    for own in failed:
        output.note("error", f"{own.model}, step {own.step}: {own.message}")
    if json:
        checkpoints = [asdict(own) for own in outcomes]
        output.print_json({"store": asked.store, "checkpoints": checkpoints})
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
