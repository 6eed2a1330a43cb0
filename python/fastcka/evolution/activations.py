"""The activations of one layer over the steps of a run: CKA, sparsity, and what a verdict reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core import compare
from fastcka.evolution.phases import Phases
from fastcka.evolution.resampling import parts

Name = tuple[str, int]
Matrix = NDArray[np.float64]
Activations = NDArray[np.floating[Any]]

MEASURE = "unbiased CKA of the activations"
PERMUTATIONS = 39
#: Permuted examples are a subset of so many: more would make the null narrower, not different.
MOST_PERMUTED = 1000


def compared(by_step: Mapping[int, Activations], phases: Phases) -> dict[str, Any]:
    """CKA of all pairs of steps, in one pass, and the sparsity at each phase.

    Parameters
    ----------
    by_step
        Step -> (n_examples, n_features): the same examples in the same order at each.
    phases
        Those of the run; all of them have a step in ``by_step``.

    Returns
    -------
    dict
        ``n_examples``, ``n_features``; ``cka`` (unbiased) and ``cka_biased``: pair of phases ->
        CKA; ``steps``, ``cka_by_step``, ``cka_biased_by_step``: the matrices over all steps;
        ``sparsity``: phase -> see `sparsity`; ``undefined``: step -> why its CKA is NaN.
    """
    steps = sorted(by_step)
    found = compare({step: by_step[step] for step in steps})
    at = {step: position for position, step in enumerate(steps)}
    pairs = {name: (at[a], at[b]) for name, (a, b) in phases.pairs().items()}
    return {
        "n_examples": found.n_examples,
        "n_features": int(by_step[steps[0]].shape[1]),
        "cka": {name: float(found.unbiased[pair]) for name, pair in pairs.items()},
        "cka_biased": {name: float(found.biased[pair]) for name, pair in pairs.items()},
        "steps": steps,
        "cka_by_step": found.unbiased.tolist(),
        "cka_biased_by_step": found.biased.tolist(),
        "sparsity": {name: sparsity(by_step[step]) for name, step in phases.steps.items()},
        "undefined": {str(steps[i]): why for i, why in found.undefined.items()},
    }


def sparsity(activations: Activations) -> dict[str, float]:
    """How few of the units are active.

    Returns
    -------
    dict of str to float
        ``zeros``: share of activations that are exactly zero (0 for a layer without ReLU);
        ``constant_features``: share of features that have one value for all examples;
        ``treves_rolls``: mean over examples of 1 - (mean |a|)^2 / mean a^2 over the features, from
        0 (all alike) towards 1 (one alone); Treves and Rolls 1991, as turned by Rolls and Tovee
        1995. NaN if no example has an activation.
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
    """Which unit each feature of a flattened layer belongs to.

    Parameters
    ----------
    shape
        Of the layer's output without the examples: (n_units,), (n_tokens, n_units), or
        (n_units, height, width) and the like: the convention of ``nn.Linear``, transformers and
        convolutions.

    Returns
    -------
    ndarray of int64, shape (n_features,)
    """
    if len(shape) == 2:
        return np.tile(np.arange(shape[1]), shape[0])
    return np.repeat(np.arange(shape[0]), int(np.prod(shape[1:], dtype=np.int64)))


@dataclass(frozen=True)
class ActivationSimilarities:
    """CKA of one layer at several steps and in two runs, and the same without some of the data.

    Attributes
    ----------
    arrays
        ("own" or "other", step) -> (n_examples, n_features); the same examples in each.
    units
        (n_features,) the unit of each feature; see `units`.
    """

    arrays: Mapping[Name, Activations]
    units: NDArray[np.int64]
    seed: int = 0

    what = ("examples", "units")

    def matrices(self) -> tuple[list[Name], Matrix, list[Matrix]]:
        """Names; (M, M) CKA; without parts of the examples, and without parts of the units."""
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

    def permuted(self, a: Name, b: Name) -> dict[str, Any]:
        """CKA(a, b) with b's examples permuted: mean, standard deviation, and the share as high.

        ``p`` is (1 + number of permutations with at least the CKA of the pairing that is) over
        (1 + number of permutations).
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
