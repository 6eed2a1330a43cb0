"""``fastcka capture``: run the checkpoints of training runs and store their representations."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastcka.cli import arguments, output
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastcka.capture.runs import CaptureOutcome

SHOWN_NAMES = 6
SHOWN_PAIRS = 10

CAPTURE_KEYS = """\
Keys of CONFIG.yaml (paths are relative to the file):

model: package.module:function, which builds the network. For pretrained models, the class that \
loads them (default: transformers:AutoModel).
probe: a .npz file with an array named inputs, or with one array for each keyword argument of the \
network, under its name. It may also contain the arrays ids and mask, and arrays named \
column_NAME, which become the columns NAME of the examples. Or texts for a tokenizer: \
{texts, max_length} with a .txt file (one text a line) or a .jsonl file, or {dataset, max_length} \
with a folder or name for the library datasets. Further keys: name, split, column (default text), \
ids, columns, tokenizer (default: that of the pretrained model), padding (longest or max_length), \
truncation (default false).
store: the folder of the representations; not needed with --compare. \
batch_size: 256. device: cpu (default), cuda and so on.
layers: module paths or patterns. * matches anything without a dot, ** matches anything. A ! in \
front excludes. @1 at the end selects the second call of a module (calls count from 0), @* all. \
block.output[1] or block.output.NAME selects one member of a module's output. hidden_states \
selects all hidden states of a Hugging Face model.
pool: none, flatten (default), mean_tokens, last_token, cls or spatial_mean; or {PATTERN: POOL}.
rows: what is an example of the store: examples (default); tokens, each real token of layers of \
shape (n_examples, n_tokens, n_features); or positions, each position of layers of shape \
(n_examples, n_channels, ...). Nothing is pooled then, and the store has the columns text_id (for \
positions: example_id), position and token_id.
side: output (default) or input.
masks: the mask of each layer, {PATTERN: NAME}. NAME is the name of an input that is a mask, or \
"mask" for the array mask of the probe. !NAME inverts a mask that is 1 at padding; null means no \
padding.
batch_axis: the axis of a layer that counts examples, 0 (default) or {PATTERN: AXIS}.
input_batch_axis: the axis along which the network expects the examples, 0 (default) or \
{INPUT: AXIS}.
check_rows: true (default) runs a few examples again and refuses a layer whose rows depend on \
other examples.
local_files_only: true loads pretrained models, tokenizers and datasets only from folders and the \
local cache (default false).
runs: a list of {name, checkpoints, steps, factors, options}. checkpoints is the folder of one \
training run; steps is a list (default: all steps in the folder); factors distinguish the run \
from the others; options are arguments of the function. {name, step} without checkpoints captures \
a network whose function loads the weights. {name, checkpoints, step} captures a single \
checkpoint. {name, pretrained, step} captures a Hugging Face model by its name or folder, \
{name, pretrained, revisions} its revisions (step143000 is step 143000), and {name, pretrained} \
with the folder of a transformers Trainer its checkpoints.

Keys for all runs, or for one of them:

weights_key: the field of a checkpoint that contains the weights, such as teacher or ema.model \
(default: model_state_dict, state_dict or model).
strip: a list of prefixes to remove from the names of weights: "model." for model.fc.weight.
strict: true (default); false ignores weights that the network does not have, and lists them.
allow_missing: a list of patterns, such as head.*, of weights that a checkpoint may lack; the \
network keeps the values that the function gave them.
step_pattern: a regular expression, such as "epoch=(\\\\d+)", that finds the step in file names. \
It replaces the built-in patterns (such as checkpoint_step_00100.pt, checkpoint-100).
check_step: true (default) refuses a checkpoint whose step differs from the step in its name."""


def capture(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="The configuration; see the keys below.")
    ],
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Store no representations: compare the layers of all checkpoints batch by batch, "
            "and write comparison.npz, results.csv and heatmap.png into FOLDER.",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory that --compare may use for its sums, such as 2GB. Default: 75 % of what "
            "is free.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace rows made from different weights, probe, layers, factors or options.",
        ),
    ] = False,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="Allow checkpoints that can execute code. Use only for files you trust.",
        ),
    ] = False,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run the Python code in repositories of pretrained models. Use only for "
            "repositories you trust.",
        ),
    ] = False,
    json: arguments.Json = False,
) -> None:
    """Run networks on a probe set and store their representations. A second run resumes."""
    from fastcka.capture.config import load_capture
    from fastcka.capture.runs import capture_runs

    if compare is not None:
        if overwrite:
            raise InputError("--overwrite: --compare stores nothing; omit one of them")
        trust = {"trust_pickle": trust_pickle, "trust_remote_code": trust_remote_code}
        _compare(config, compare, memory, trust, json=json)
        return
    if memory is not None:
        raise InputError("--memory: only with --compare")
    with output.progress_bars() as bars:
        task = bars.add_task("capturing", total=None)
        settings = load_capture(config)
        result = capture_runs(
            settings,
            overwrite=overwrite,
            trust_pickle=trust_pickle,
            trust_remote_code=trust_remote_code,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    outcomes = result.checkpoints
    for line in [*_not_loaded(outcomes), *result.doubtful]:
        output.note("warning", line)
    failed = [checkpoint for checkpoint in outcomes if checkpoint.outcome == "failed"]
    for checkpoint in failed:
        output.note("error", f"{checkpoint.model}, step {checkpoint.step}: {checkpoint.message}")
    if json:
        checkpoints = [asdict(checkpoint) for checkpoint in outcomes]
        output.print_json(
            {"store": settings.store, "checkpoints": checkpoints, "doubtful": result.doubtful}
        )
    else:
        counts = {
            kind: sum(checkpoint.outcome == kind for checkpoint in outcomes)
            for kind in ("captured", "reused", "failed")
        }
        rows: dict[str, object] = {"store": settings.store}
        rows |= {
            kind: output.counted(count, "checkpoint") for kind, count in counts.items() if count
        }
        output.stdout().print(output.facts(rows))
    if failed:
        raise typer.Exit(1)


def _compare(
    config: Path, folder: Path, memory: str | None, trust: Mapping[str, bool], *, json: bool
) -> None:
    from fastcka.capture.compared_runs import compare_runs
    from fastcka.capture.config import load_capture
    from fastcka.cli.compared import most_similar, write_files

    with output.progress_bars() as bars:
        task = bars.add_task("comparing", total=None)
        comparison, checkpoints = compare_runs(
            load_capture(config),
            memory=memory,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
            **trust,
        )
    files = write_files(comparison, folder)
    for line in _not_loaded(checkpoints):
        output.note("warning", line)
    undefined = {comparison.names[i]: reason for i, reason in comparison.undefined.items()}
    for name, reason in undefined.items():
        output.note("warning", f"{name}: {reason}")
    if json:
        output.print_json(
            {
                "files": files,
                "n_examples": comparison.n_examples,
                "representations": list(comparison.labels),
                "undefined": undefined,
                "checkpoints": [asdict(checkpoint) for checkpoint in checkpoints],
            }
        )
        return
    facts: dict[str, object] = {
        "compared": f"{output.counted(len(comparison.labels), 'layer')} of "
        f"{output.counted(len(checkpoints), 'checkpoint')}",
        "rows": f"{comparison.n_examples:,}",
        **files,
    }
    output.stdout().print(output.facts(facts))
    output.stdout().print(most_similar(comparison, SHOWN_PAIRS))


def _not_loaded(outcomes: Sequence[CaptureOutcome]) -> list[str]:
    """Return a line for each run and set of weights that its checkpoints did not load."""
    steps_of: dict[tuple[str, str], list[int]] = {}
    for checkpoint in outcomes:
        for what, names in (
            ("not in the network, ignored", checkpoint.ignored),
            ("not in the checkpoint, initial values kept", checkpoint.missing),
        ):
            if names:
                more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
                line = f"{', '.join(names[:SHOWN_NAMES])}{more}: {what}"
                steps_of.setdefault((checkpoint.model, line), []).append(checkpoint.step)
    return [
        f"{model}, {output.counted(len(steps), 'checkpoint')} from step {steps[0]}: {line}"
        for (model, line), steps in steps_of.items()
    ]
