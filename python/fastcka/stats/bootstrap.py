"""An interval for a difference between groups of pairs, by resampling models.

Pairs that share a model are not independent, so models are resampled, never pairs. The plain way
(Snijders and Borgatti 1999, Connections 22): draw models with replacement, take all pairs of the
draw, drop those of a model with itself. Measured here (benchmarks/null_simulation.py), its 95%
intervals hold the truth in up to 100% of cases: the noise of a single pair enters threefold (Owen
2007, Annals of Applied Statistics 1), and an effect of a model on all of its pairs, which cancels
in the difference, does not cancel in an unbalanced draw. With few models it also falls short.

So the models' *shares* in the difference are resampled in place of the pairs:

1. y_ij = mean of its kind + u_i + u_j + e_ij by least squares: what a model does to all its pairs,
   apart from the rest (as Menzel 2021, Econometrica 89, does, with his correction of the variance
   of u for the noise in its estimate).
2. With c_ij the weight of a pair in the difference, model i has the shares (sum_j c_ij) u_i and
   sum_j c_ij e_ij. The second are scaled so that their variance is that of the sum over pairs that
   share a model, each counted once (Fafchamps and Gubert 2007; Aronow, Samii and Assenova 2015,
   Political Analysis 23), and at least that of independent e_ij.
3. Models are drawn with replacement; the interval is that of the studentized sum (bootstrap-t:
   Hall 1992), which is right for few models, where percentiles are too narrow.

No pair of a model with itself ever arises. The interval is about *other models of the same labels*
(new seeds of these variants): labels are taken as given, not as a sample of labels. It takes models
to add to their similarities; where they multiply (a noisier network is less like every other in
proportion) it is somewhat narrow for few models: the benchmark prints by how much.
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
        Its ends; NaN where there is none.
    standard_error
        Of the difference.
    why_undefined
        Why there is none, or None.
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
    """Return the interval for mean(kind 0) - mean(kind 1).

    Parameters
    ----------
    values
        (P,) one value a pair of models.
    ends
        (2, P) positions of the models of each pair.
    kinds
        (P,) 0: first group; 1: second group; 2: neither (helps to tell the models' own effects).
    strata
        (M,) models whose effects have a mean of their own: the two families of a comparison
        between families; all the same else.
    confidence, draws, rng
        Level, number of resamples, and the source of chance.
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
        why = f"{n_models} models with {len(values)} pairs leave nothing to tell noise from models"
        return Interval(math.nan, math.nan, math.nan, why)
    fitted: NDArray[np.float64] = inverse @ values
    noise = (values - design @ fitted) * math.sqrt(len(values) / spare)
    own = _own_shares(fitted, inverse, weights, ends, strata, float((noise**2).mean()))
    product = weights * noise
    common = _per_model(product, ends, n_models)
    once = float((product**2).sum())  # every pair stands in the shares of two models
    both = float((common**2).sum())
    variance = float((own**2).sum()) + max(both - once, once)
    shares = own + common * math.sqrt(max(both - once, once) / both if both > 0 else 0.0)
    shares = shares - shares.mean()
    spread = float((shares**2).sum())
    # Exactly additive values leave rounding alone: no noise to resample.
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


def _own_shares(
    fitted: NDArray[np.float64],
    inverse: NDArray[np.float64],
    weights: NDArray[np.float64],
    ends: NDArray[np.int64],
    strata: NDArray[np.int64],
    noise: float,
) -> NDArray[np.float64]:
    """Return (M,): the share of each model's effect on all its pairs in the difference."""
    n_models = len(strata)
    totals = _per_model(weights, ends, n_models)
    shares = np.zeros(n_models)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        if len(rows) < 2:
            continue  # its effect cannot be told from its stratum's mean
        effects = fitted[rows] - fitted[rows].mean()
        variance = float((effects**2).sum()) / (len(rows) - 1)
        if variance == 0:
            continue
        # The estimates are noisy; without the noise in them their variance would be smaller.
        centred = inverse[rows] - inverse[rows].mean(axis=0)
        excess = noise * float((centred**2).sum()) / (len(rows) - 1)
        kept = math.sqrt(max(0.0, 1 - excess / variance))
        shares[rows] = totals[rows] * effects * kept * math.sqrt(len(rows) / (len(rows) - 1))
    return shares


def _per_model(
    values: NDArray[np.float64], ends: NDArray[np.int64], n_models: int
) -> NDArray[np.float64]:
    return np.bincount(ends.ravel(), np.tile(values, 2), n_models).astype(np.float64)
