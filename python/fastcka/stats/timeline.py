"""Mean similarity over training steps, with the spread between seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import InputError
from fastcka.stats.given import as_table
from fastcka.stats.table import PairTable
from fastcka.stats.trend import mean_and_sem

if TYPE_CHECKING:
    import pandas as pd

    from fastcka.core import Comparison


@dataclass(frozen=True, slots=True)
class TimePoint:
    """One step of one line.

    Attributes
    ----------
    line, step
        Label of the line, and the step of both sides.
    mean, sem, n
        Mean, standard error and number of the pairs. ``sem`` is NaN for fewer than two pairs.
    low, high
        The band. Each combination of two seeds has a mean; these are the lowest and the highest.
        NaN for fewer than two combinations.
    combinations
        Number of combinations of two seeds.
    """

    line: str
    step: int
    mean: float
    sem: float
    n: int
    low: float
    high: float
    combinations: int


def timeline(
    table: PairTable | Comparison | pd.DataFrame,
    *,
    lines: str = "layer",
    seed: str | None = "seed",
) -> list[TimePoint]:
    """Return the points of each line, sorted by label and step.

    A pair counts if both sides have the same step and the same label in ``lines``. Pairs of a model
    with itself and pairs without a value are excluded.

    Parameters
    ----------
    table
        As for `compare_pairs`, at any number of steps.
    lines
        Field with one line per label.
    seed
        Field that defines the band. At each step, the pairs of seeds 1 and 2 have one mean, the
        pairs of seeds 1 and 3 another, and so on. None: no band.

    Raises
    ------
    InputError
        The table lacks a field, or a step is not a whole number.
    """
    table = as_table(table)
    table.require(lines, *([] if seed is None else [seed]))
    usable = table.defined()
    usable = usable.keep(usable.same("step") & usable.same(lines))
    points = []
    for line in usable.labels(lines):
        for step in usable.labels("step"):
            rows = (usable.a[lines] == line) & (usable.a["step"] == step)
            if line is None or step is None or not rows.any():
                continue
            here = usable.keep(rows)
            means = [] if seed is None else _means_of_combinations(here, seed)
            band = len(means) > 1
            points.append(
                TimePoint(
                    line,
                    _whole(step),
                    *mean_and_sem(here.cka),
                    n=len(here),
                    low=min(means) if band else float("nan"),
                    high=max(means) if band else float("nan"),
                    combinations=len(means),
                )
            )
    return points


def _whole(step: str) -> int:
    try:
        return int(step)
    except ValueError as error:
        raise InputError(
            f"table: expected steps that are whole numbers, got {step!r}: leave its pairs out, as "
            "in table.keep(...)"
        ) from error


def _means_of_combinations(table: PairTable, seed: str) -> list[float]:
    sums: dict[frozenset[str], list[float]] = {}
    for a, b, value in zip(table.a[seed], table.b[seed], table.cka, strict=True):
        if a is not None and b is not None:
            sums.setdefault(frozenset((a, b)), []).append(float(value))
    return [float(np.mean(values)) for values in sums.values()]
