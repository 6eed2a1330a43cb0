"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SWEEP_FIELDS = """\
Fields of SWEEP.yaml (paths are relative to the file; FIELD is model, step, layer or a factor):

store, output: folders of the representations and of the results.
select: {FIELD: VALUE or LIST}; only representations with these values take part.
exclude: the same form; representations that match all of its entries are left out.
examples: a filter, COLUMN:REGEX && COLUMN:REGEX; COLUMN is a column of the examples, or id; \
or {filter: FILTER, sample: N, seed: S}, to take N of the examples by id.
compare.within: fields that are equal within a group. Groups are not compared with each other.
compare.differ: fields that must all differ within a pair.
compare.same: fields that must all be equal within a pair. Unlike compare.within, this only leaves \
out pairs: each pair still uses the examples that the whole group has.
compare.disjoint: fields whose lists on the two sides of a pair must have no common member.
compare.overlapping: fields whose lists on the two sides must have a common member.
compare.ascending: one side of a pair must be larger than the other in every one of these fields. \
compare.order: {FIELD: LIST of values, lowest first}, the order for compare.ascending. Numbers, \
and names that end in numbers, are ordered automatically.
compare.left, right: like select; one side of each pair matches left, the other right.
compare.steps: all (default), every stored step; final_each, the last step of each model; \
final_common, the last step that all models have; all_common, every step that all models have; \
a list of steps; {nearest: {step: S, tolerance: T}}, each model's step nearest to S, at most T \
away; or {fraction: F or LIST}, the steps nearest to these fractions of each model's last step.
estimator: unbiased (default), biased or feature_corrected. inference: true, or {alternative: \
two-sided or greater, level: 0.95, folds: 20, blocks: COLUMN}, for p-values, q-values and \
intervals. \
device: auto, cpu, cuda, cuda:<number> or cuda:all (groups are spread over all GPUs). \
precision: high (errors below 1e-6 on a CPU; up to 7e-6 on an H100), fast (16-bit products where \
the device gains by them) or float64. measures: a list of measures besides CKA, such as \
[cka, procrustes, {name: mutual_knn, k: 5}], computed on the CPU. export: null (default), or \
pairs, which also writes a folder for each pair."""

Json = Annotated[bool, typer.Option("--json", help="Print a JSON object on stdout.")]

TrustPickle = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Allow checkpoints that can execute code. Use only for files you trust.",
    ),
]

WeightsKey = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD",
        help="Field of a checkpoint that contains the weights, such as teacher. Default: "
        "model_state_dict, state_dict or model.",
    ),
]

Strip = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PREFIX",
        help="Prefix to remove from the names of weights. May be repeated.",
    ),
]

SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="File of the sweep.")]

StoreFolder = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the store.")]

Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of threads. Default: OMP_NUM_THREADS, or one for each available CPU."
    ),
]

NoMemoryCheck = Annotated[
    bool,
    typer.Option("--no-memory-check", help="Continue even if more memory is needed than is free."),
]

Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory to use, such as 2GB. Data that need more are read in blocks of rows. Default: "
        "75 % of what is free.",
    ),
]

Device = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda or cuda:<number>. auto picks whichever is predicted to be faster."
    ),
]
