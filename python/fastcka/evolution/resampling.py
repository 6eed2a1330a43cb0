"""Intervals for differences of similarities, by leaving out parts of the data.

The jackknife (Quenouille 1949; Tukey 1958): with the part b left out, the difference is d_b; the
variance of the whole is (B - 1)/B sum_b (d_b - mean d)^2, and the interval is d -+ t sqrt(variance)
with Student's t of B - 1 degrees of freedom. It leaves out in place of drawing with replacement:
an example that is drawn twice lies at no distance from itself, which inflates CKA.

What an interval speaks about is what was resampled, and nothing else:

weights       the rows of the tensor (filters, output units): other units of this layer and run.
activations   the probe's examples *and* the layer's units, their variances added, which is not
              too small (crossed random effects: Owen 2007, Annals of Applied Statistics 1). With
              examples alone the noise of the weights, of which each unit has its own, would pass
              for a finding: it is the same for every example.

No interval here speaks about other training runs; another seed's run does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
#: Parts that the examples, and the units, are cut into.
PARTS = 16
#: With fewer parts, the spread between them says too little.
FEWEST_PARTS = 8
#: Similarities of float32 data are right to about this; a difference of less is none.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference of two similarities with its interval.

    Attributes
    ----------
    value
        The difference; NaN where a similarity is undefined.
    low, high
        Ends of the 95% interval; NaN where there is none.
    why_undefined
        Why there is no interval, or None.
    """

    value: float
    low: float
    high: float
    why_undefined: str | None = None

    @property
    def answer(self) -> str:
        """Say "yes" above zero, "no" below, "undecided" around it, "undefined" without interval."""
        if math.isnan(self.low):
            return "undefined"
        if self.low > 0:
            return "yes"
        return "no" if self.high < 0 else "undecided"

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        known = not math.isnan(self.low)
        return {
            "difference": None if math.isnan(self.value) else self.value,
            "interval": [self.low, self.high] if known else None,
            "answer": self.answer,
            **({} if self.why_undefined is None else {"why_undefined": self.why_undefined}),
        }


def parts(units: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Assign each unit to one of at most `PARTS` parts of the same size (to one), at random.

    Parameters
    ----------
    units
        (n,) the unit that each position belongs to; positions of a unit stay together.

    Returns
    -------
    ndarray of int64, shape (n,)
        The part of each position, from 0.
    """
    own, inverse = np.unique(units, return_inverse=True)
    count = min(PARTS, len(own))
    order = np.random.default_rng(seed).permutation(len(own))
    part: NDArray[np.int64] = (order % count).astype(np.int64)[inverse]
    return part


def variance(left_out: NDArray[np.float64]) -> float:
    """The jackknife's variance of an estimate from (B,) estimates with one part left out each."""
    n = len(left_out)
    return float((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())


def estimate(value: float, resamples: list[NDArray[np.float64]], what: list[str]) -> Estimate:
    """Return the difference with its interval.

    Parameters
    ----------
    value
        The difference of the whole data.
    resamples
        For each thing that is resampled, (B,) differences with one part left out each.
    what
        The plural names of these things, for the reason why there is no interval.
    """
    from scipy.special import stdtrit

    if math.isnan(value):
        return Estimate(value, math.nan, math.nan, "a similarity is undefined")
    for left_out, name in zip(resamples, what, strict=True):
        if len(left_out) < FEWEST_PARTS:
            why = f"{len(left_out)} {name}; an interval needs at least {FEWEST_PARTS}"
            return Estimate(value, math.nan, math.nan, why)
        if not np.isfinite(left_out).all():
            why = f"without some of the {name} a similarity is undefined"
            return Estimate(value, math.nan, math.nan, why)
    error = math.sqrt(sum(variance(left_out) for left_out in resamples))
    freedom = min(len(left_out) for left_out in resamples) - 1
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error + ROUNDING
    return Estimate(value, value - reach, value + reach)
