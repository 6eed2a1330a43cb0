"""Compare the weights of several checkpoints, tensor by tensor, without a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.evolution.diversity import diversity
from fastcka.evolution.phases import Phases
from fastcka.evolution.resampling import parts
from fastcka.evolution.schema import MAIN, Name, Permuted, Tensor

Weights = Mapping[str, NDArray[Any]]
Matrix = NDArray[np.float64]

MEASURE = "cosine of the flattened weights"


@dataclass(frozen=True)
class States:
    """The weights of one or two runs at several steps, with the same tensors in each checkpoint.

    Attributes
    ----------
    tensors
        Tensor -> checkpoint -> the array as in the checkpoint.
    left_out
        Tensor -> why it is not compared.
    """

    tensors: dict[str, dict[Name, NDArray[Any]]]
    left_out: dict[str, str]

    def matrices(self, name: str) -> dict[Name, Matrix]:
        """Return checkpoint -> (n_rows, n_columns) float64: a row for each filter (first axis)."""
        return {
            checkpoint: array.astype(np.float64).reshape(len(array), -1)
            for checkpoint, array in self.tensors[name].items()
        }


def states(by_name: Mapping[Name, Weights]) -> States:
    """Group the weights of several checkpoints by tensor.

    Parameters
    ----------
    by_name
        Checkpoint, ("main" or "other", step) -> tensor name -> array.

    Raises
    ------
    InputError
        If a tensor is missing from a checkpoint, or its shape differs between checkpoints.
    """
    first = next(iter(by_name))
    result = States({}, {})
    for checkpoint, weights in by_name.items():
        for name in by_name[first]:
            if name not in weights:
                raise _unlike(name, present=first, absent=checkpoint)
        for name in weights:
            if name not in by_name[first]:
                raise _unlike(name, present=checkpoint, absent=first)
    for name, reference in by_name[first].items():
        arrays = {checkpoint: np.asarray(weights[name]) for checkpoint, weights in by_name.items()}
        for checkpoint, array in arrays.items():
            if array.shape != reference.shape:
                raise InputError(
                    f"tensor {name!r}: expected checkpoints of one architecture, got shape "
                    f"{array.shape} at {_text(checkpoint)} and {reference.shape} at {_text(first)}"
                )
        bad = [checkpoint for checkpoint, array in arrays.items() if not np.isfinite(array).all()]
        if reference.dtype.kind != "f":
            result.left_out[name] = f"{reference.dtype} numbers are not weights"
        elif reference.size < 2:
            result.left_out[name] = "a single number has no direction"
        elif bad:
            result.left_out[name] = f"NaN or infinite values at {_text(bad[0])}"
        else:
            result.tensors[name] = arrays
    return result


def cosine(a: Matrix, b: Matrix) -> float:
    """Return the cosine of two flattened tensors; NaN if either is zero."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / norm if norm > 0 else math.nan


def row_cosines(a: Matrix, b: Matrix) -> Matrix:
    """Return (n_rows,): the cosine of each row of ``a`` with the same row of ``b``.

    NaN for a row of zeros.
    """
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norms > 0, (a * b).sum(axis=1) / norms, np.nan)


def compared(
    tensors: Mapping[int, Matrix], shape: Sequence[int], phases: Phases, *, permutations: int
) -> Tensor:
    """Compare one tensor between the phases.

    Parameters
    ----------
    tensors
        Step -> (n_rows, n_columns) float64.
    shape
        Shape of the tensor in the checkpoint.
    phases
        The phases to compare. ``tensors`` contains their steps.
    permutations
        Number of permutations for the null of the diversity.

    Returns
    -------
    Tensor
        ``shape``. ``similarity``: pair of phases -> cosine of the flattened tensor.
        ``relative_change``: pair -> norm of the difference, divided by the norm at the earlier
        step. ``filters`` (for two or more axes): pair -> cosine of each filter. ``diversity`` (for
        two or more axes and three or more filters): phase -> see `diversity.diversity`. Undefined
        numbers are NaN.
    """
    pairs = phases.pairs()
    result: Tensor = {
        "shape": list(shape),
        "similarity": {name: cosine(tensors[a], tensors[b]) for name, (a, b) in pairs.items()},
        "relative_change": {
            name: relative_change(tensors[a], tensors[b]) for name, (a, b) in pairs.items()
        },
    }
    if len(shape) < 2:
        return result
    result["filters"] = {
        name: row_cosines(tensors[a], tensors[b]).round(6).tolist()
        for name, (a, b) in pairs.items()
    }
    if shape[0] > 2:
        result["diversity"] = {
            name: diversity(tensors[step], permutations=permutations)
            for name, step in phases.steps.items()
        }
    return result


def relative_change(a: Matrix, b: Matrix) -> float:
    """Return |b - a| / |a| (Frobenius norms); NaN if ``a`` is zero."""
    norm = float(np.linalg.norm(a))
    return float(np.linalg.norm(b - a)) / norm if norm > 0 else math.nan


@dataclass(frozen=True)
class WeightSimilarities:
    """Cosines of one tensor between checkpoints, for all rows and without some rows.

    Attributes
    ----------
    tensors
        Checkpoint -> (n_rows, n_columns) float64.
    """

    tensors: Mapping[Name, Matrix]
    seed: int = 0

    what = ("rows (filters)",)

    def matrices(self) -> tuple[list[Name], Matrix, list[Matrix]]:
        """M checkpoints; (M, M) cosines; (B, M, M) cosines, each without one part of the rows."""
        names = list(self.tensors)
        rows = len(next(iter(self.tensors.values())))
        part = parts(np.arange(rows), self.seed)
        count = int(part.max()) + 1
        products = np.zeros((count, len(names), len(names)))
        for i, a in enumerate(names):
            for j, b in enumerate(names[: i + 1]):
                by_row = np.einsum("rc,rc->r", self.tensors[a], self.tensors[b])
                products[:, i, j] = products[:, j, i] = np.bincount(part, by_row, count)
        whole = products.sum(axis=0)
        return names, _cosines(whole), [_cosines(whole - products)]

    def permuted(self, a: Name, b: Name) -> Permuted:
        """Mean and standard deviation of cos(a, b) over all permutations of the entries of b.

        Both are exact (Wald and Wolfowitz 1944, Annals of Mathematical Statistics 15).
        """
        x, y = self.tensors[a].ravel(), self.tensors[b].ravel()
        norm = float(np.linalg.norm(x) * np.linalg.norm(y))
        if norm == 0:
            return {"available": False, "why": "a tensor is zero"}
        return {
            "available": True,
            "what": "the entries of the late weights, permuted (exact, over all permutations)",
            "mean": x.size * float(x.mean() * y.mean()) / norm,
            "sd": x.size * float(x.std() * y.std()) / math.sqrt(x.size - 1) / norm,
        }


def _cosines(products: Matrix) -> Matrix:
    """Return (..., M, M) cosines from inner products; NaN if a norm is zero."""
    squares = np.diagonal(products, axis1=-2, axis2=-1)
    # `products` may be differences of sums, so that rounding makes a zero norm slightly negative.
    norms = np.sqrt(np.where(squares > 0, squares, np.nan))
    return np.asarray(products / (norms[..., :, None] * norms[..., None, :]))


def _unlike(name: str, *, present: Name, absent: Name) -> InputError:
    return InputError(
        f"tensor {name!r}: expected checkpoints of one architecture, got the tensor at "
        f"{_text(present)} and none at {_text(absent)}"
    )


def _text(checkpoint: Name) -> str:
    run, step = checkpoint
    return f"step {step}" + ("" if run == MAIN else " of the other run")
