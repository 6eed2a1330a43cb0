"""Confidence interval for the difference between two groups of pairs, by resampling models.

Pairs that share a model are not independent, so models are resampled, not pairs. The standard
method (Snijders and Borgatti 1999, Connections 22) draws models with replacement, takes all pairs
of the draw and drops pairs of a model with itself. In our simulation
(benchmarks/null_simulation.py) its 95% intervals cover the true difference in up to 100% of cases.
There are two reasons. The noise of a single pair is counted three times (Owen 2007, Annals of
Applied Statistics 1). And the effect of a model on all of its pairs cancels in the difference, but
not in an unbalanced draw. With few models, the coverage can also be too low.

This module therefore resamples the *contributions* of the models to the difference:

1. Fit y_ij = (mean of the group of pair ij) + u_i + u_j + e_ij by least squares. u_i is the effect
   of model i on all its pairs. Its variance is corrected for estimation noise (Menzel 2021,
   Econometrica 89).
2. Let c_ij be the weight of a pair in the difference. The contributions of model i are
   (sum_j c_ij) u_i and sum_j c_ij e_ij. The latter are scaled so that their variance equals the
   variance of the sum over pairs that share a model, each counted once (Fafchamps and Gubert 2007;
   Aronow, Samii and Assenova 2015, Political Analysis 23). It is at least the variance for
   independent e_ij.
3. Draw models with replacement and compute the interval from the studentized sum (bootstrap-t:
   Hall 1992). For few models, percentile intervals would be too narrow.

Pairs of a model with itself never occur. The interval describes *other models with the same labels*
(new seeds of these variants); it does not treat the labels as a sample. It assumes that effects of
models are additive. If they are multiplicative (a noisier network is less similar to every other in
proportion), the interval is somewhat too narrow for few models; the benchmark prints by how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes
    ----------
    low, high
        Limits of the interval; NaN if there is none.
    standard_error
        Standard error of the difference.
    why_undefined
        Why there is no interval, or None.
    """

    low: float
    high: float
    standard_error: float
    why_undefined: str | None = None


def model_bootstrap(
    values: NDArray[np.float64],
    ends: NDArray[np.int64],
    kinds: NDArray[np.int64],
    strata: NDArray[np.int64],
    *,
    confidence: float,
    draws: int,
    rng: np.random.Generator,
) -> Interval:
    """Return the confidence interval of mean(kind 0) - mean(kind 1).

    Parameters
    ----------
    values
        (P,) one value per pair of models.
    ends
        (2, P) positions of the two models of each pair.
    kinds
        (P,) 0: first group; 1: second group; 2: neither. Pairs of kind 2 help to estimate the
        effects of the models.
    strata
        (M,) stratum of each model; the effects of the models in a stratum have a common mean. A
        comparison of two families has two strata, other comparisons have one.
    confidence, draws, rng
        Level of the interval, number of bootstrap samples, and source of randomness.
    """
    n_models = len(strata)
    weights = np.where(kinds == 0, 1 / (kinds == 0).sum(), 0.0)
    weights[kinds == 1] = -1 / (kinds == 1).sum()
    effect = float(weights @ values)
    design = np.zeros((len(values), n_models + 3))
    design[np.arange(len(values)), ends] = 1.0
    design[np.arange(len(values)), n_models + kinds] = 1.0
    inverse = np.linalg.pinv(design).astype(np.float64)
    spare = len(values) - int(np.linalg.matrix_rank(design))
    if n_models < 4 or spare < 1:
        why = (
            f"{n_models} models with {len(values)} pairs are too few to separate noise from "
            "effects of models"
        )
        return Interval(math.nan, math.nan, math.nan, why)
    fitted: NDArray[np.float64] = inverse @ values
    noise = (values - design @ fitted) * math.sqrt(len(values) / spare)
    effects = _effect_shares(fitted, inverse, weights, ends, strata, float((noise**2).mean()))
    product = weights * noise
    common = _per_model(product, ends, n_models)
    once = float((product**2).sum())  # in `common`, every pair is part of the shares of two models
    both = float((common**2).sum())
    variance = float((effects**2).sum()) + max(both - once, once)
    shares = effects + common * math.sqrt(max(both - once, once) / both if both > 0 else 0.0)
    shares = shares - shares.mean()
    spread = float((shares**2).sum())
    # If the values are exactly additive, only rounding errors are left to resample.
    if variance <= 1e-24 * max(1.0, float((values**2).max())) or spread == 0:
        return Interval(effect, effect, 0.0)
    shares *= math.sqrt(variance / spread)
    counts = rng.multinomial(n_models, np.full(n_models, 1 / n_models), size=draws)
    sums = counts @ shares
    errors = np.sqrt(np.maximum(counts @ shares**2 - sums**2 / n_models, 0))
    studentized = sums[errors > 0] / errors[errors > 0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(studentized, [tail, 1 - tail])
    error = math.sqrt(variance)
    return Interval(effect - float(high) * error, effect - float(low) * error, error)


def _effect_shares(
    fitted: NDArray[np.float64],
    inverse: NDArray[np.float64],
    weights: NDArray[np.float64],
    ends: NDArray[np.int64],
    strata: NDArray[np.int64],
    noise: float,
) -> NDArray[np.float64]:
    """Return (M,): the contribution of each model's effect u_i to the difference."""
    n_models = len(strata)
    totals = _per_model(weights, ends, n_models)
    shares = np.zeros(n_models)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        if len(rows) < 2:
            continue  # one model: its effect cannot be separated from the mean of its stratum
        effects = fitted[rows] - fitted[rows].mean()
        variance = float((effects**2).sum()) / (len(rows) - 1)
        if variance == 0:
            continue
        # Estimation noise inflates the variance of the estimated effects; remove it.
        centred = inverse[rows] - inverse[rows].mean(axis=0)
        excess = noise * float((centred**2).sum()) / (len(rows) - 1)
        kept = math.sqrt(max(0.0, 1 - excess / variance))
        shares[rows] = totals[rows] * effects * kept * math.sqrt(len(rows) / (len(rows) - 1))
    return shares


def _per_model(
    values: NDArray[np.float64], ends: NDArray[np.int64], n_models: int
) -> NDArray[np.float64]:
    return np.bincount(ends.ravel(), np.tile(values, 2), n_models).astype(np.float64)
