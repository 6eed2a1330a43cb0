"""From the sums of a pass to HSIC and CKA: the formulas, once.

With S0_ij the off-diagonal inner product of two Gram matrices of column-centred features and k_i
the squared row norms (csrc/hsic.hpp):

    biased    HSIC_0 = (S0_ij + k_i.k_j) / (n-1)^2                 n >= 2
              Gretton, Bousquet, Smola and Schoelkopf 2005, eq. 9
    unbiased  HSIC_1 = (S0_ij - 2/(n-2) k_i.k_j
                        + (sum k_i)(sum k_j)/((n-1)(n-2))) / (n(n-3))    n >= 4
              Song, Smola, Gretton, Bedo and Borgwardt 2012, eq. 5
    CKA_ij  = HSIC_ij / sqrt(HSIC_ii HSIC_jj)
              Kornblith, Norouzi, Lee and Hinton 2019, eq. 4; with HSIC_1: Nguyen et al. 2021

No epsilon stands in the denominator: it would make the similarity depend on the scale of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Estimator = Literal["biased", "unbiased"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)

#: Fewest examples that an estimator is defined for.
MIN_EXAMPLES = {"biased": 2, "unbiased": 4}

_ROUNDINGS = 16
_ZERO_VARIANCE = "zero variance: no feature varies over the examples"
_EQUIDISTANT = (
    "its unbiased self-HSIC is zero within rounding: "
    "the examples are all equally far from each other"
)

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """What a pass returns, of the data times 2**-exponent: S0, k_i.k_j (M, M) and sum k_i (M,)."""

    n_examples: int
    s0: Matrix
    norms: Matrix
    traces: NDArray[np.float64]
    exponent: NDArray[np.int32]
    constant: tuple[bool, ...]
    epsilon: float  # spacing of the floating-point numbers that were multiplied


@dataclass(frozen=True)
class Estimates:
    """HSIC in the units of the data (squared, twice) and CKA, each (M, M); NaN where undefined."""

    hsic: Matrix
    cka: Matrix
    undefined: dict[int, str]


def estimate(sums: Sums, estimator: Estimator) -> Estimates:
    """HSIC and CKA of all pairs.

    CKA is NaN, with a reason, for a representation whose self-HSIC is zero (within rounding);
    everything is NaN below `MIN_EXAMPLES`.
    """
    m, n = len(sums.traces), sums.n_examples
    if n < MIN_EXAMPLES[estimator]:
        nothing = np.full((m, m), np.nan)
        reason = (
            f"the {estimator} estimator needs {MIN_EXAMPLES[estimator]} examples, there are {n}"
        )
        return Estimates(nothing, nothing.copy(), dict.fromkeys(range(m), reason))
    biased = _biased(sums)
    scaled = biased if estimator == "biased" else _unbiased(sums)
    own = scaled.diagonal()
    # The unbiased estimate is a difference of sums of the size of the biased one. It vanishes for
    # examples that are all equally far from each other, and what is left is rounding.
    rounding = 0.0 if estimator == "biased" else _ROUNDINGS * sums.epsilon * biased.diagonal()
    positive = own > rounding
    undefined = {}
    if not positive.all():
        undefined = {
            int(i): _ZERO_VARIANCE if sums.constant[i] else _EQUIDISTANT
            for i in np.flatnonzero(~positive)
        }
        own = np.where(positive, own, np.nan)
    scale = 2 * (sums.exponent[:, None] + sums.exponent)
    with np.errstate(over="ignore", under="ignore"):
        hsic = np.ldexp(scaled, scale)
    return Estimates(hsic, scaled / np.sqrt(own[:, None] * own), undefined)


def _biased(sums: Sums) -> Matrix:
    n = sums.n_examples
    hsic: Matrix = (sums.s0 + sums.norms) / (n - 1) ** 2
    return hsic


def _unbiased(sums: Sums) -> Matrix:
    n = sums.n_examples
    total = sums.traces
    hsic: Matrix = (
        sums.s0 - 2 / (n - 2) * sums.norms + total[:, None] * total / ((n - 1) * (n - 2))
    ) / (n * (n - 3))
    return hsic


def non_finite_text(name: str, count: int, row: int, column: int) -> str:
    """What is wrong with a representation that no pass can sum; a count of 0: its values."""
    if count == 0:
        return f"{name} holds values too large to sum in float64"
    return (
        f"{name} holds {count} NaN or infinite value{'s' * (count != 1)}, "
        f"the first at example {row}, feature {column}"
    )
