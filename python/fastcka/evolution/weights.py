"""Two states of a network beside each other, one parameter tensor at a time. No model is needed."""

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

Weights = Mapping[str, NDArray[Any]]
Matrix = NDArray[np.float64]
Name = tuple[str, int]
"""("own" or "other", step): a checkpoint of the run, or of another seed's."""

MEASURE = "cosine of the flattened weights"


@dataclass(frozen=True)
class States:
    """The states of a run, or two, at several steps: the same tensors in each.

    Attributes
    ----------
    tensors
        Name -> (run, step) -> the tensor as it is in the checkpoint.
    left_out
        Name -> why the tensor is not compared.
    """

    tensors: dict[str, dict[Name, NDArray[Any]]]
    left_out: dict[str, str]

    def matrices(self, name: str) -> dict[Name, Matrix]:
        """Return (n_rows, n_columns) float64: a row a filter (first axis), the others flattened."""
        return {
            own: array.astype(np.float64).reshape(len(array), -1)
            for own, array in self.tensors[name].items()
        }


def states(by_name: Mapping[Name, Weights]) -> States:
    """Sort the tensors of several checkpoints by name.

    Parameters
    ----------
    by_name
        ("own" or "other", step) -> parameter name -> array.

    Raises
    ------
    InputError
        If a tensor is missing at a step, or its shape differs between steps.
    """
    first = next(iter(by_name))
    found = States({}, {})
    for own, weights in by_name.items():
        if missing := [name for name in by_name[first] if name not in weights]:
            raise InputError(f"{_said(own)} has no tensor {missing[0]!r}; {_said(first)} has it")
        if more := [name for name in weights if name not in by_name[first]]:
            raise InputError(f"{_said(own)} has a tensor {more[0]!r}; {_said(first)} has none")
    for name, reference in by_name[first].items():
        arrays = {own: np.asarray(weights[name]) for own, weights in by_name.items()}
        for own, array in arrays.items():
            if array.shape != reference.shape:
                raise InputError(
                    f"tensor {name!r} is {array.shape} at {_said(own)} and {reference.shape} at "
                    f"{_said(first)}: checkpoints of one architecture are expected"
                )
        bad = [own for own, array in arrays.items() if not np.isfinite(array).all()]
        if reference.dtype.kind != "f":
            found.left_out[name] = f"{reference.dtype} numbers are not weights"
        elif reference.size < 2:
            found.left_out[name] = "a single number has no direction"
        elif bad:
            found.left_out[name] = f"NaN or infinite values at {_said(bad[0])}"
        else:
            found.tensors[name] = arrays
    return found


def cosine(a: Matrix, b: Matrix) -> float:
    """Cosine of two flattened tensors; NaN if either is zero."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / norm if norm > 0 else math.nan


def row_cosines(a: Matrix, b: Matrix) -> Matrix:
    """(n_rows,) cosine of each row of ``a`` with that of ``b``; NaN for a row of zeros."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norms > 0, (a * b).sum(axis=1) / norms, np.nan)


def compared(
    tensors: Mapping[int, Matrix], shape: Sequence[int], phases: Phases, *, permutations: int
) -> dict[str, Any]:
    """What one tensor did between the phases.

    Parameters
    ----------
    tensors
        Step -> (n_rows, n_columns) float64.
    shape
        Of the tensor in the checkpoint.
    phases
        Those to compare; all of them have a step in ``tensors``.
    permutations
        Of the null beside the diversity.

    Returns
    -------
    dict
        ``shape``; ``similarity``: pair of phases -> cosine of the flattened tensor;
        ``relative_change``: pair -> norm of the difference over the norm at the earlier step;
        ``filters`` (tensors of two axes or more): pair -> cosine of each filter; ``diversity`` (the
        same, with three filters or more): phase -> see `diversity.diversity`. NaN where undefined.
    """
    pairs = phases.pairs()
    result: dict[str, Any] = {
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
    """|b - a| / |a| (Frobenius); NaN if ``a`` is zero."""
    norm = float(np.linalg.norm(a))
    return float(np.linalg.norm(b - a)) / norm if norm > 0 else math.nan


@dataclass(frozen=True)
class WeightSimilarities:
    """Cosines of one tensor at several steps and in two runs, and the same without some rows.

    A representation is named by ("own" or "other", step).
    """

    tensors: Mapping[Name, Matrix]
    seed: int = 0

    what = ("rows (filters)",)

    def matrices(self) -> tuple[list[Name], Matrix, list[Matrix]]:
        """Names; (M, M) cosines; and (B, M, M) cosines with one part of the rows left out each."""
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

    def permuted(self, a: Name, b: Name) -> dict[str, Any]:
        """Mean and standard deviation of cos(a, b) over all permutations of b's entries.

        They are exact: Wald and Wolfowitz 1944, Annals of Mathematical Statistics 15.
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
    """(..., M, M) cosines from inner products; NaN where a norm is zero."""
    squares = np.diagonal(products, axis1=-2, axis2=-1)
    # Differences of sums: what is left of a tensor that was one row is rounding.
    norms = np.sqrt(np.where(squares > 0, squares, np.nan))
    return np.asarray(products / (norms[..., :, None] * norms[..., None, :]))


def _said(name: Name) -> str:
    return f"step {name[1]}" + (" of the other run" if name[0] == "other" else "")
