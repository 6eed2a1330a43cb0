"""The similarities of models as a matrix whose rows are named, not counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.stats.order import ordered
from fastcka.stats.table import PairTable


@dataclass(frozen=True, eq=False)
class ModelMatrix:
    """Similarities between models, by name.

    Attributes
    ----------
    models
        M names, in the order of the rows.
    labels
        M tuples: each model's labels in the fields that it was sorted by.
    cka
        (M, M) float64, symmetric; NaN on the diagonal and where a pair has no value.
    n_pairs
        Number of pairs with a value.
    """

    models: tuple[str, ...]
    labels: tuple[tuple[str | None, ...], ...]
    cka: NDArray[np.float64]
    n_pairs: int


def model_matrix(table: PairTable, *, by: Sequence[str] = ()) -> ModelMatrix:
    """Return the matrix of a table in which each pair of models stands at most once.

    Parameters
    ----------
    table
        One layer at one step; pairs of a model with itself are left out.
    by
        Fields to sort the models by, the slowest first: ``("variant", "seed")`` is variant-major.

    Raises
    ------
    InputError
        A pair of models stands there more than once: in several layers or steps.
    """
    table.require(*by)
    table = table.keep(table.a["model"] != table.b["model"])
    factors = table.models()
    ranks = {
        name: {label: at for at, label in enumerate(table.labels(name))} for name in (*by, "model")
    }

    def rank(model: str) -> tuple[int, ...]:
        own = {**factors[model], "model": model}
        return tuple(ranks[name][own[name]] for name in (*by, "model"))

    models = sorted(factors, key=rank)
    position = {model: at for at, model in enumerate(models)}
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
    """Raise `InputError` if a pair of models stands there twice."""
    codes = np.minimum(first, second) * len(models) + np.maximum(first, second)
    values, counts = np.unique(codes, return_counts=True)
    if (counts > 1).any():
        a, b = divmod(int(values[counts > 1][0]), len(models))
        raise InputError(
            f"the models '{models[a]}' and '{models[b]}' are compared more than once in the table: "
            "keep one layer and one step, table.where(layer=..., step=...)"
        )


def sorted_models(table: PairTable) -> list[str]:
    """Return the names of the models in the order of their names."""
    return [model for model in ordered(table.models()) if model is not None]
