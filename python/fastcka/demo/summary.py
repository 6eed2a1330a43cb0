"""Tables of the demo: mean CKA for each kind of pair and step, and accuracy."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.demo.networks import FAMILIES, LAYERS, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType
    from rich.table import Table


@dataclass(frozen=True)
class Place:
    """A layer of a network; ``depth`` is its position among the layers of the family, from 0."""

    family: Family
    seed: int
    depth: int


@dataclass(frozen=True)
class Pair:
    """One row of ``results.csv``."""

    step: int
    a: Place
    b: Place
    cka: float


@dataclass(frozen=True)
class Mean:
    """The mean CKA of ``n`` pairs of one kind at one step; NaN if n is 0."""

    step: int
    value: float
    n: int


@dataclass(frozen=True)
class SummaryRow:
    """The means of one kind of pair at all steps."""

    title: str
    means: tuple[Mean, ...]


LAST = len(LAYERS["mlp"]) - 1


def _same_network(pair: Pair) -> bool:
    return pair.a.family == pair.b.family and pair.a.seed == pair.b.seed


def _across_seeds(pair: Pair) -> bool:
    return pair.a.family == pair.b.family and pair.a.seed != pair.b.seed


def _across_families(pair: Pair) -> bool:
    return pair.a.family != pair.b.family


def _same_depth(pair: Pair) -> bool:
    return pair.a.depth == pair.b.depth


def _adjacent(pair: Pair) -> bool:
    return abs(pair.a.depth - pair.b.depth) == 1


def _first_and_last(pair: Pair) -> bool:
    return {pair.a.depth, pair.b.depth} == {0, LAST}


def _logits(pair: Pair) -> bool:
    return pair.a.depth == pair.b.depth == LAST


# A pair belongs to a row if all conditions of the row hold.
_ROWS: tuple[tuple[str, tuple[Callable[[Pair], bool], ...]], ...] = (
    ("one network, adjacent layers", (_same_network, _adjacent)),
    ("one network, first and last", (_same_network, _first_and_last)),
    ("two seeds, same layer", (_across_seeds, _same_depth)),
    ("two seeds, first and last", (_across_seeds, _first_and_last)),
    ("two families, same depth", (_across_families, _same_depth)),
    ("two families, logits", (_across_families, _logits)),
)


def read_pairs(results: Path, places: Mapping[tuple[str, str], Place]) -> list[Pair]:
    """Read the rows of ``results.csv``; ``places`` maps (model, layer) to its place."""
    with results.open(newline="", encoding="utf-8") as file:
        return [
            Pair(
                step=int(row["step_a"]),
                a=places[row["model_a"], row["layer_a"]],
                b=places[row["model_b"], row["layer_b"]],
                cka=float(row["cka"]),
            )
            for row in csv.DictReader(file)
        ]


def mean_cka(pairs: Iterable[Pair], step: int, *conditions: Callable[[Pair], bool]) -> Mean:
    """Return the mean over the defined CKA values of pairs at ``step`` that meet all conditions."""
    values = [
        pair.cka
        for pair in pairs
        if pair.step == step and all(condition(pair) for condition in conditions)
    ]
    defined = [value for value in values if not math.isnan(value)]
    return Mean(step, float(np.mean(defined)) if defined else math.nan, len(defined))


def summarize(pairs: Sequence[Pair], steps: Sequence[int]) -> tuple[SummaryRow, ...]:
    """Return the rows of the table, without kinds of pairs that do not occur."""
    rows = (
        SummaryRow(title, tuple(mean_cka(pairs, step, *conditions) for step in steps))
        for title, conditions in _ROWS
    )
    return tuple(row for row in rows if any(mean.n for mean in row.means))


def cka_table(rows: Sequence[SummaryRow], n_examples: int) -> RenderableType:
    """Return a table of mean CKA and number of pairs."""
    table = _table(f"Mean unbiased CKA of {n_examples} held-out images (pairs); step 0: untrained")
    table.add_column("pairs of layers", no_wrap=True)
    for mean in rows[0].means:
        table.add_column(f"step {mean.step}", justify="right", no_wrap=True)
    for row in rows:
        cells = (f"{mean.value:.2f} ({mean.n})" if mean.n else "-" for mean in row.means)
        table.add_row(row.title, *cells)
    return table


def accuracy_table(
    accuracy: Mapping[tuple[str, int], Mapping[int, float]], n_examples: int
) -> RenderableType:
    """Return a table of accuracy for each family and step: mean, worst and best seed."""
    table = _table(f"Accuracy in % on the {n_examples} held-out images (worst-best seed)")
    table.add_column("family", no_wrap=True)
    steps = next(iter(accuracy.values()))
    for step in steps:
        table.add_column(f"step {step}", justify="right", no_wrap=True)
    for family in FAMILIES:
        runs = [by_step for (name, _), by_step in accuracy.items() if name == family]
        if runs:
            table.add_row(family, *(_spread([run[step] for run in runs]) for step in steps))
    return table


def _spread(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.1f} ({100 * min(values):.1f}-{100 * max(values):.1f})"


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    # With these settings a table of four steps fits into 80 columns.
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
