"""Compare the activations of one layer between steps: CKA, sparsity, and data for verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core import compare
from fastcka.evolution.phases import Phases
from fastcka.evolution.resampling import parts
from fastcka.evolution.schema import Layer, Name, Permuted

Matrix = NDArray[np.float64]
Activations = NDArray[np.floating[Any]]

MEASURE = "unbiased CKA of the activations"
PERMUTATIONS = 39
#: Largest number of examples to permute. More examples would only make the null narrower.
MOST_PERMUTED = 1000


def compared(by_step: Mapping[int, Activations], phases: Phases) -> Layer:
    """Return the CKA of all pairs of steps and the sparsity at each phase.

    Parameters
    ----------
    by_step
        Step -> (n_examples, n_features), with the same examples in the same order at each step.
    phases
        The phases to compare. ``by_step`` contains their steps.

    Returns
    -------
    Layer
        ``n_examples``, ``n_features``. ``cka`` (unbiased) and ``cka_biased``: pair of phases ->
        CKA. ``steps``, ``cka_by_step``, ``cka_biased_by_step``: matrices over all steps.
        ``sparsity``: phase -> see `sparsity`. ``undefined``: step -> why its CKA is NaN.
    """
    steps = sorted(by_step)
    comparison = compare({step: by_step[step] for step in steps})
    position = {step: i for i, step in enumerate(steps)}
    pairs = {name: (position[a], position[b]) for name, (a, b) in phases.pairs().items()}
    return {
        "n_examples": comparison.n_examples,
        "n_features": int(by_step[steps[0]].shape[1]),
        "cka": {name: float(comparison.unbiased[pair]) for name, pair in pairs.items()},
        "cka_biased": {name: float(comparison.biased[pair]) for name, pair in pairs.items()},
        "steps": steps,
        "cka_by_step": comparison.unbiased.tolist(),
        "cka_biased_by_step": comparison.biased.tolist(),
        "sparsity": {name: sparsity(by_step[step]) for name, step in phases.steps.items()},
        "undefined": {str(steps[i]): why for i, why in comparison.undefined.items()},
    }


def sparsity(activations: Activations) -> dict[str, float]:
    """Return three measures of sparsity.

    Returns
    -------
    dict of str to float
        ``zeros``: share of activations that are exactly zero (usually 0 without a ReLU).
        ``constant_features``: share of features with the same value for all examples.
        ``treves_rolls``: 1 - (mean |a|)^2 / mean a^2 over the features a of an example, averaged
        over the examples. It is 0 if all features are equally active, and close to 1 if only one
        of many is active (Treves and Rolls 1991, in the form of Rolls and Tovee 1995). NaN if all
        activations are zero.
    """
    wide = np.abs(activations, dtype=np.float64)
    squares = (wide**2).mean(axis=1)
    active = squares > 0
    ratios = wide.mean(axis=1)[active] ** 2 / squares[active]
    return {
        "zeros": float((activations == 0).mean()),
        "constant_features": float((activations == activations[:1]).all(axis=0).mean()),
        "treves_rolls": float(1 - ratios.mean()) if active.any() else float("nan"),
    }


def units(shape: Sequence[int]) -> NDArray[np.int64]:
    """Return the unit of each feature of a flattened layer.

    Parameters
    ----------
    shape
        Shape of the layer's output for one example: (n_units,) for linear layers, (n_tokens,
        n_units) for transformers, (n_units, height, width) and similar for convolutions.

    Returns
    -------
    ndarray of int64, shape (n_features,)
    """
    if len(shape) == 2:
        return np.tile(np.arange(shape[1]), shape[0])
    return np.repeat(np.arange(shape[0]), int(np.prod(shape[1:], dtype=np.int64)))


@dataclass(frozen=True)
class ActivationSimilarities:
    """CKA of one layer between checkpoints, for all data and without some of it.

    Attributes
    ----------
    arrays
        Checkpoint -> (n_examples, n_features), with the same examples in each array.
    units
        (n_features,) unit of each feature; see `units`.
    """

    arrays: Mapping[Name, Activations]
    units: NDArray[np.int64]
    seed: int = 0

    what = ("examples", "units")

    def matrices(self) -> tuple[list[Name], Matrix, list[Matrix]]:
        """M checkpoints; (M, M) CKA; (B, M, M) CKA without examples, and without units."""
        arrays = list(self.arrays.values())
        rows = parts(np.arange(len(arrays[0])), self.seed)
        columns = parts(self.units, self.seed + 1)
        without_rows = [
            _cka([array[rows != part] for array in arrays]) for part in range(rows.max() + 1)
        ]
        without_columns = [
            _cka([array[:, columns != part] for array in arrays])
            for part in range(columns.max() + 1)
            if columns.max() > 0
        ]
        whole = _cka(arrays)
        left_out = [np.array(without_rows), np.array(without_columns or [whole])]
        return list(self.arrays), whole, left_out

    def permuted(self, a: Name, b: Name) -> Permuted:
        """Mean and standard deviation of CKA(a, b) with the examples of b permuted, and a p-value.

        ``p`` is (1 + number of permutations with at least the observed CKA) / (1 + number of
        permutations).
        """
        rng = np.random.default_rng(self.seed)
        x, y = self.arrays[a], self.arrays[b]
        if len(x) > MOST_PERMUTED:
            rows = np.sort(rng.choice(len(x), MOST_PERMUTED, replace=False))
            x, y = x[rows], y[rows]
        observed = float(_cka([x, y])[0, 1])
        null = np.array([_cka([x, y[rng.permutation(len(y))]])[0, 1] for _ in range(PERMUTATIONS)])
        if not np.isfinite([observed, *null]).all():
            return {"available": False, "why": "the CKA of early and late is undefined"}
        return {
            "available": True,
            "what": f"the probe's examples, permuted at the late step ({len(x)} examples)",
            "mean": float(null.mean()),
            "sd": float(null.std(ddof=1)),
            "permutations": PERMUTATIONS,
            "p": float((1 + (null >= observed).sum()) / (1 + PERMUTATIONS)),
        }


def _cka(arrays: Sequence[Activations]) -> Matrix:
    return compare(list(arrays)).unbiased
