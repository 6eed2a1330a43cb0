"""Similarities of models as a matrix with named rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.stats.given import as_table
from fastcka.stats.order import ordered
from fastcka.stats.printed import Printed, Table
from fastcka.stats.table import PairTable

if TYPE_CHECKING:
    import pandas as pd

    from fastcka.core import Comparison


@dataclass(frozen=True, eq=False, repr=False)
class ModelMatrix(Printed):
    """Similarities between models.

    Attributes
    ----------
    models
        M names, in the order of the rows.
    labels
        M tuples: each model's labels in the fields ``by``.
    cka
        (M, M) float64, symmetric. NaN on the diagonal and for pairs without a value.
    n_pairs
        Number of pairs with a value.
    """

    models: tuple[str, ...]
    labels: tuple[tuple[str | None, ...], ...]
    cka: NDArray[np.float64]
    n_pairs: int

    def _table(self) -> Table:
        rows = (
            (self.models[i], self.models[j], float(self.cka[i, j]))
            for i, j in combinations(range(len(self.models)), 2)
            if np.isfinite(self.cka[i, j])
        )
        heading = f"ModelMatrix: {len(self.models):,} models, {self.n_pairs:,} pairs with a value"
        return Table(heading, ["model_a", "model_b", "cka"], rows, self.n_pairs)


def model_matrix(
    table: PairTable | Comparison | pd.DataFrame, *, by: Sequence[str] = ()
) -> ModelMatrix:
    """Return the similarity matrix of a table that contains each pair of models at most once.

    Parameters
    ----------
    table
        As for `compare_pairs`: pairs at one layer and one step. Pairs of a model with itself are
        excluded.
    by
        Fields to sort the models by, the most significant first: ``("variant", "seed")``.

    Raises
    ------
    InputError
        The table contains a pair of models more than once, at several layers or steps.
    """
    table = as_table(table)
    table.require(*by)
    table = table.keep(table.a["model"] != table.b["model"])
    factors = table.models()
    ranks = {
        name: {label: i for i, label in enumerate(table.labels(name))} for name in (*by, "model")
    }

    def rank(model: str) -> tuple[int, ...]:
        labels = {**factors[model], "model": model}
        return tuple(ranks[name][labels[name]] for name in (*by, "model"))

    models = sorted(factors, key=rank)
    position = {model: i for i, model in enumerate(models)}
    first, second = (positions(side["model"], position) for side in (table.a, table.b))
    refuse_repeats(first, second, models)
    cka = np.full((len(models), len(models)), np.nan)
    cka[first, second] = cka[second, first] = table.cka
    return ModelMatrix(
        models=tuple(models),
        labels=tuple(
            tuple({**factors[model], "model": model}[name] for name in by) for model in models
        ),
        cka=cka,
        n_pairs=int(np.isfinite(table.cka).sum()),
    )


def positions(names: NDArray[np.object_], position: dict[str, int]) -> NDArray[np.int64]:
    """Return the position of each name, (n_pairs,)."""
    return np.array([position[name] for name in names], np.int64)


def refuse_repeats(
    first: NDArray[np.int64], second: NDArray[np.int64], models: Sequence[str]
) -> None:
    """Raise `InputError` if a pair of models occurs twice."""
    codes = np.minimum(first, second) * len(models) + np.maximum(first, second)
    values, counts = np.unique(codes, return_counts=True)
    if (counts > 1).any():
        a, b = divmod(int(values[counts > 1][0]), len(models))
        raise InputError(
            f"table: expected each pair of models once, got models '{models[a]}' and '{models[b]}' "
            "more than once; select one layer and one step with table.where(layer=..., step=...)"
        )


def sorted_models(table: PairTable) -> list[str]:
    """Return the names of the models in natural order."""
    return [model for model in ordered(table.models()) if model is not None]
