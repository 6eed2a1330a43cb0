"""Similarities of models: aggregates of the similarities of their layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastcka.core.comparison import label_text
from fastcka.core.inference.blocks import is_missing, missing_text
from fastcka.errors import InputError

Aggregate = Literal["max", "mean"] | Callable[[NDArray[np.float64]], float]


class ModelPairs:
    """The models of representations, and the aggregate of the layers of each pair of models.

    Attributes
    ----------
    names
        One for each of G models, in the order of their first representation.
    model_of
        (M,): the model of each representation.
    pairs
        (G(G-1)/2, 2): positions of models, a < b.
    """

    def __init__(
        self,
        labels: Sequence[Mapping[str, Any]],
        groups: str | Sequence[Any] | None,
        aggregate: Aggregate,
    ) -> None:
        if aggregate not in ("max", "mean") and not callable(aggregate):
            raise InputError(
                f"aggregate: expected 'max', 'mean' or a function of an array of shape (layers of "
                f"a, layers of b); got {aggregate!r}"
            )
        self._aggregate = aggregate
        models = _models(labels, groups)
        keys = [repr(model) for model in models]
        first = list(dict.fromkeys(keys))
        if len(first) < 2:
            raise InputError("groups: expected two models or more; all representations are of one")
        self.names = [label_text({"model": models[keys.index(key)]}) for key in first]
        self.model_of = np.array([first.index(key) for key in keys])
        self.pairs = np.stack(np.triu_indices(len(first), 1), axis=1)

    def aggregated(self, matrices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the aggregates, (K, pairs of models), of similarities (K, M, M)."""
        values = np.empty((len(matrices), len(self.pairs)))
        for column, (a, b) in enumerate(self.pairs):
            rows, columns = np.flatnonzero(self.model_of == a), np.flatnonzero(self.model_of == b)
            values[:, column] = self._of(matrices[:, rows[:, None], columns])
        return values

    def _of(self, layers: NDArray[np.float64]) -> NDArray[np.float64]:
        if not callable(self._aggregate):
            flat = layers.reshape(len(layers), -1)
            values: NDArray[np.float64] = flat.max(1) if self._aggregate == "max" else flat.mean(1)
            return values
        results = [self._aggregate(matrix) for matrix in layers]
        try:
            return np.array([float(value) for value in results])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"aggregate: expected a function that returns a number; got "
                f"{type(results[0]).__name__}: {error}"
            ) from error


def _models(labels: Sequence[Mapping[str, Any]], groups: str | Sequence[Any] | None) -> list[Any]:
    if groups is None:
        raise InputError(
            "groups: aggregate needs the model of each representation: pass a sequence with one "
            "for each, or the name of a label field"
        )
    if isinstance(groups, str):
        missing = [label for label in labels if groups not in label]
        if missing:
            fields = ", ".join(dict.fromkeys(name for label in labels for name in label))
            raise InputError(
                f"groups: expected a field of the labels ({fields}); got {groups!r}, which "
                f"'{label_text(missing[0])}' does not have"
            )
        return [label[groups] for label in labels]
    try:
        models = list(groups)
    except TypeError:
        raise InputError(
            f"groups: expected a field of the labels or one model for each representation; got "
            f"{groups!r}"
        ) from None
    if len(models) != len(labels):
        raise InputError(
            f"groups: expected one model for each of {len(labels)} representations; got "
            f"{len(models)}"
        )
    for position, model in enumerate(models):
        if is_missing(model):
            raise InputError(
                f"groups: expected a model for each representation; got {missing_text(model)} for "
                f"representation {position}"
            )
    return models
