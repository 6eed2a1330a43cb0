"""Confidence intervals for differences of similarities, by the jackknife.

The jackknife (Quenouille 1949; Tukey 1958) leaves out one of B parts of the data at a time. Let d_b
be the difference without part b. The variance is (B - 1)/B sum_b (d_b - mean d)^2, and the interval
is d -+ t sqrt(variance) with Student's t of B - 1 degrees of freedom. A bootstrap would draw some
examples twice; an example has distance zero from its copy, which inflates CKA.

An interval covers only the variation that was resampled:

weights       rows of the tensor (filters, output units): other units of this layer and run.
activations   examples of the probe *and* units of the layer. The two variances are added, which is
              conservative (crossed random effects: Owen 2007, Annals of Applied Statistics 1).
              Resampling examples alone would ignore the noise of the weights, which is the same
              for all examples but differs between units.

No interval covers other training runs; use the run of another seed for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcka.evolution.schema import Difference

CONFIDENCE = 0.95
#: Number of parts into which the examples, and the units, are divided.
PARTS = 16
#: Fewer parts give no reliable variance.
FEWEST_PARTS = 8
#: Rounding error of similarities of float32 data, added to the width of every interval.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference of two similarities with its interval.

    Attributes
    ----------
    value
        The difference; NaN if a similarity is undefined.
    low, high
        Limits of the 95% interval; NaN if there is none.
    why_undefined
        Why there is no interval, or None.
    """

    value: float
    low: float
    high: float
    why_undefined: str | None = None

    @property
    def answer(self) -> str:
        """Whether the difference is above zero: "yes", "no", "undecided" or "undefined".

        "undecided": the interval contains zero. "undefined": there is no interval.
        """
        if math.isnan(self.low):
            return "undefined"
        if self.low > 0:
            return "yes"
        return "no" if self.high < 0 else "undecided"

    def to_dict(self) -> Difference:
        """Return the estimate as a dict for JSON."""
        known = not math.isnan(self.low)
        result: Difference = {
            "difference": None if math.isnan(self.value) else self.value,
            "interval": [self.low, self.high] if known else None,
            "answer": self.answer,
        }
        if self.why_undefined is not None:
            result["why_undefined"] = self.why_undefined
        return result


def parts(units: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Assign each unit at random to one of at most `PARTS` parts of (almost) equal size.

    Parameters
    ----------
    units
        (n,) unit of each position. All positions of a unit are in the same part.

    Returns
    -------
    ndarray of int64, shape (n,)
        The part of each position, from 0.
    """
    distinct, inverse = np.unique(units, return_inverse=True)
    count = min(PARTS, len(distinct))
    order = np.random.default_rng(seed).permutation(len(distinct))
    part: NDArray[np.int64] = (order % count).astype(np.int64)[inverse]
    return part


def variance(left_out: NDArray[np.float64]) -> float:
    """Return the jackknife variance from (B,) estimates, each without one part of the data."""
    n = len(left_out)
    return float((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())


def estimate(value: float, resamples: list[NDArray[np.float64]], what: list[str]) -> Estimate:
    """Return the difference with its interval.

    Parameters
    ----------
    value
        The difference for all data.
    resamples
        For each kind of resampled data, (B,) differences, each without one part of it.
    what
        Plural names of the kinds of data, for the reason why there is no interval.
    """
    from scipy.special import stdtrit

    if math.isnan(value):
        return Estimate(value, math.nan, math.nan, "a similarity is undefined")
    for left_out, name in zip(resamples, what, strict=True):
        if len(left_out) < FEWEST_PARTS:
            why = f"an interval needs at least {FEWEST_PARTS} {name}, got {len(left_out)}"
            return Estimate(value, math.nan, math.nan, why)
        if not np.isfinite(left_out).all():
            why = f"a similarity is undefined without some of the {name}"
            return Estimate(value, math.nan, math.nan, why)
    error = math.sqrt(sum(variance(left_out) for left_out in resamples))
    freedom = min(len(left_out) for left_out in resamples) - 1
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error + ROUNDING
    return Estimate(value, value - reach, value + reach)
