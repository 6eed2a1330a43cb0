"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SWEEP_FIELDS = """\
Fields of SWEEP.yaml (paths are relative to the file):

store, output: folders of the representations and of the results.
select: {FIELD: VALUE or LIST}; what takes part. FIELD: model, step, layer or a factor.
exclude: the same; leaves out what fits all of its fields.
examples: a filter, FIELD:REGEX && FIELD:REGEX, on the examples' columns or id.
compare.within: fields that are equal in a group. Groups are not compared with each other.
compare.differ, same: fields that differ, or are equal, in every pair.
compare.disjoint, overlapping: list-valued fields that share no member, or some member, in a pair.
compare.ascending: fields that rise together in a pair, from one side to the other. \
compare.order: {FIELD: LIST}; their values from the lowest, where they are no numbers.
compare.left, right: like select; one side of each pair is in left, the other in right.
compare.steps: all (default), every stored step; final_each, each model's own last step; \
final_common, the last step that all models have; all_common, every step that all models have; \
a list of steps, which every model must have; {nearest: {step: S, tolerance: T}}; or \
{fraction: F or LIST} of each model's last step, the nearest stored one.
estimator: unbiased (default) or biased. device: auto, cpu, cuda or cuda:<number>. \
precision: high, fast (16-bit products where the device has them) or float64. \
export: pairs, for a folder for each pair beside the table."""

Json = Annotated[bool, typer.Option("--json", help="Print a JSON object on stdout.")]

TrustPickle = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Load checkpoints that hold more than tensors: their writer's code may run.",
    ),
]

WeightsKey = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD",
        help="The field of a checkpoint that contains the weights, such as teacher; else "
        "model_state_dict, state_dict or model.",
    ),
]

Strip = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PREFIX",
        help="Remove this from the names of weights that begin with it; may be repeated.",
    ),
]

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="The sweep's file.")]

StoreFolder = Annotated[Path, typer.Argument(metavar="STORE", help="The store's folder.")]

Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of threads; else OMP_NUM_THREADS, else every CPU of this process."
    ),
]

NoMemoryCheck = Annotated[
    bool,
    typer.Option("--no-memory-check", help="Go on where more memory is needed than is free."),
]

Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:<number>; auto takes what is predicted faster.")
]
