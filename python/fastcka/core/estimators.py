"""From the sums of a pass to HSIC and CKA: the formulas, once.

With rows x_a about any centre, S0_ij the inner product of two Gram matrices without their
diagonals, k_i(a) = |x_a|^2, q_i the row sums of a Gram matrix and r_i = q_i - k_i those without its
diagonal (csrc/hsic.hpp):

    biased    HSIC_0 = (S0_ij + k_i.k_j - 2/n q_i.q_j
                        + (sum q_i)(sum q_j)/n^2) / (n-1)^2            n >= 2
              Gretton, Bousquet, Smola and Schoelkopf 2005, eq. 9
    unbiased  HSIC_1 = (S0_ij - 2/(n-2) r_i.r_j
                        + (sum r_i)(sum r_j)/((n-1)(n-2))) / (n(n-3))  n >= 4
              Song, Smola, Gretton, Bedo and Borgwardt 2012, eq. 5
    CKA_ij  = HSIC_ij / sqrt(HSIC_ii HSIC_jj)
              Kornblith, Norouzi, Lee and Hinton 2019, eq. 4; with HSIC_1: Nguyen et al. 2021

The centre is the mean (q = 0, r = -k) unless some examples are far from all others. The denominator
contains no epsilon: it would make the similarity depend on the scale of the data.

Rounding. HSIC_1(x, x) is a difference; its condition number is S0_ii (route F: S0_ii + k_i.k_i)
divided by n(n-3) HSIC_1(x, x). It is near 1 for most data, about 1 + d/n^2 for d independent
features, and infinite where all examples are equally far from each other. The relative error of
HSIC_1 is the rounding of the products times the condition number. For float32 products on the CPU,
rounding is at most 2^-22 = 2.4e-7: a centred value is rounded by at most 2^-24 of itself, and an
HSIC contains four of them; sums are of at most 128 terms before they continue in float64, and their
errors average out over the pairs of examples (measured: 1e-9 to 1e-7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fastcka.core.sums import Matrix, Sums, Vector
from fastcka.errors import InternalError

Estimator = Literal["biased", "unbiased"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)

#: Fewest examples that an estimator is defined for.
MIN_EXAMPLES = {"biased": 2, "unbiased": 4}

#: Relative rounding of a sum of products, by what is multiplied: machine epsilon for float32 and
#: float64; its square for bfloat16, because the norms are computed from the rounded rows (measured
#: on orthogonal and one-hot rows: 6e-6). Two fp16 numbers (float16x3) have 22 bits. One has 11, but
#: for the same reason far less of its rounding is left (2e-5 of CKA for 64 examples of 4096
#: features).
EPSILON = {
    "float32": 2.0**-23,
    "float64": 2.0**-52,
    "bfloat16": 2.0**-16,
    "float16x3": 2.0**-21,
    "float16": 2.0**-15,
}
#: An unbiased self-HSIC is zero if it is below this multiple of the rounding error of its sum.
ROUNDINGS = 16
#: By what is multiplied: the largest condition number at which an unbiased estimate is given.
#: Beyond it, too many digits are lost. With float32 and float64 products, errors of CKA are below
#: 1e-6 up to this limit.
CONDITION_LIMIT = {
    "float32": 16.0,
    "float64": 1e9,
    "bfloat16": 64.0,
    "float16x3": 16.0,
    "float16": 64.0,
}

_LOWEST = {"biased": 0.0, "unbiased": -1.0}


@dataclass(frozen=True)
class Estimates:
    """HSIC in the units of the data (squared, twice) and CKA, each (M, M); NaN where undefined.

    Attributes
    ----------
    undefined
        Position -> why the row and column of a representation are NaN.
    imprecise
        Positions whose values wider products would give, or show to be undefined.
    """

    hsic: Matrix
    cka: Matrix
    undefined: dict[int, str]
    imprecise: frozenset[int] = frozenset()


def estimate(sums: Sums, estimator: Estimator) -> Estimates:
    """HSIC and CKA of all pairs.

    CKA is NaN, with a reason, for a representation whose self-HSIC is zero (within rounding) or
    has lost too many digits; everything is NaN below `MIN_EXAMPLES`. Rounding beyond the range of a
    similarity is clipped.

    Raises
    ------
    InternalError
        If a similarity is out of its range by more than rounding explains.
    """
    m, n = len(sums.constant), sums.n_examples
    if n < MIN_EXAMPLES[estimator]:
        nothing = np.full((m, m), np.nan)
        return Estimates(nothing, nothing.copy(), _reasons(sums, estimator, nothing))
    scaled = _biased(sums) if estimator == "biased" else _unbiased(sums)
    self_hsic = scaled.diagonal()
    condition = _condition(sums, self_hsic, estimator)
    undefined = _undefined(sums, self_hsic, condition, estimator)
    if undefined.size:
        self_hsic = self_hsic.copy()
        self_hsic[undefined] = np.nan
    scale = 2 * (sums.exponent[:, None] + sums.exponent)
    with np.errstate(over="ignore", under="ignore"):
        hsic = np.ldexp(scaled, scale)
    cka = scaled / np.sqrt(self_hsic[:, None] * self_hsic)
    if np.fmax.reduce(cka, axis=None) > 1.0 or np.fmin.reduce(cka, axis=None) < _LOWEST[estimator]:
        cka = _clipped(cka, sums, condition, estimator)
    imprecise = frozenset(
        i for i in undefined.tolist() if not sums.constant[i] and sums.products != "float64"
    )
    reasons = _reasons(sums, estimator, cka) if undefined.size else {}
    return Estimates(hsic, cka, reasons, imprecise)


def _reasons(sums: Sums, estimator: Estimator, cka: Matrix) -> dict[int, str]:
    n, nothing = sums.n_examples, np.full_like(sums.s0, np.nan)
    return nan_reasons(
        estimator,
        cka=cka,
        hsic_biased=_biased(sums) if n >= MIN_EXAMPLES["biased"] else nothing,
        hsic_unbiased=_unbiased(sums) if n >= MIN_EXAMPLES["unbiased"] else nothing,
        n_examples=n,
        products=sums.products,
    )


def _condition(sums: Sums, self_hsic: Vector, estimator: Estimator) -> Vector:
    """By how much the rounding of the sums is larger in a self-HSIC."""
    if estimator == "biased":
        return np.ones(len(self_hsic))
    n = sums.n_examples
    with np.errstate(divide="ignore", invalid="ignore"):
        condition: Vector = sums.summed / (self_hsic * (n * (n - 3)))
    condition[~(self_hsic > 0)] = np.inf
    return condition


def _undefined(
    sums: Sums, self_hsic: Vector, condition: Vector, estimator: Estimator
) -> NDArray[np.intp]:
    """Positions of the representations whose similarities are undefined."""
    if estimator == "biased":
        return np.flatnonzero(~(self_hsic > 0))
    n = sums.n_examples
    # What is left of a self-HSIC that is zero is the rounding of S0 and of the norms.
    rounding = ROUNDINGS * sums.epsilon / (n * (n - 3)) * (sums.summed + sums.near_norms)
    too_large = condition > CONDITION_LIMIT[sums.products]
    return np.flatnonzero(~(self_hsic > rounding) | too_large)


def nan_reasons(
    estimator: Estimator,
    *,
    cka: Matrix,
    hsic_biased: Matrix,
    hsic_unbiased: Matrix,
    n_examples: int,
    products: str,
) -> dict[int, str]:
    """Why similarities are NaN, from the values alone: they may have been stored.

    Parameters
    ----------
    estimator
        Of the similarities.
    cka
        (M, M): the similarities by this estimator.
    hsic_biased, hsic_unbiased
        (M, M), in any units.
    n_examples
        Number of examples.
    products
        What was multiplied.

    Returns
    -------
    dict
        Position -> why the row and column of a representation are NaN.
    """
    undefined = np.flatnonzero(np.isnan(cka.diagonal())).tolist()
    # As in `_undefined`: S0 + k.k is (n - 1)^2 times the biased self-HSIC.
    share = (n_examples - 1) ** 2 / max(n_examples * (n_examples - 3), 1)
    rounding = ROUNDINGS * EPSILON.get(products, 0.0) * share
    return {
        i: _nan_reason(
            estimator, float(hsic_biased[i, i]), float(hsic_unbiased[i, i]), rounding, products
        )
        for i in undefined
    }


def _nan_reason(
    estimator: Estimator, biased: float, unbiased: float, rounding: float, products: str
) -> str:
    if math.isnan(biased if estimator == "biased" else unbiased):
        return f"the {estimator} estimator needs at least {MIN_EXAMPLES[estimator]} examples"
    if estimator == "biased" or not biased > 0:
        return "zero variance: no feature varies over the examples"
    if unbiased <= rounding * biased:
        reason = (
            "its unbiased self-HSIC is zero within rounding: "
            "the examples are all equally far from each other"
        )
        remedy = "tells whether they exactly are"
    else:
        reason = (
            f"digits were lost: its unbiased self-HSIC is the small difference of large sums (its "
            f"biased one is {biased / unbiased:.3g} times as large), too small for {products} "
            f"products"
        )
        remedy = "keeps more digits"
    return reason if products == "float64" else f"{reason} (precision 'float64' {remedy})"


def _clipped(cka: Matrix, sums: Sums, condition: Vector, estimator: Estimator) -> Matrix:
    """Rounding beyond the range of a similarity taken off; a larger excess is an error."""
    excess = np.maximum(cka - 1.0, _LOWEST[estimator] - cka)
    condition = np.maximum(condition, 1.0)
    rounding = 4 * ROUNDINGS * sums.epsilon * np.sqrt(condition[:, None] * condition)
    if (excess > rounding).any():
        i, j = np.unravel_index(np.nanargmax(excess - rounding), cka.shape)
        raise InternalError(
            f"the {estimator} CKA of representations {i} and {j} is {cka[i, j]}, which "
            f"rounding does not explain ({sums.products} products, {sums.n_examples} examples): "
            f"this is a fault of fastcka, please report it with the data if you can"
        )
    return np.clip(cka, _LOWEST[estimator], 1.0)


def _biased(sums: Sums) -> Matrix:
    n = sums.n_examples
    whole: Matrix = sums.s0 + sums.norms
    if sums.q_products is not None and sums.q_totals is not None:
        total = sums.q_totals
        whole = whole - 2 / n * sums.q_products + total[:, None] * total / n**2
    return whole / (n - 1) ** 2


def _unbiased(sums: Sums) -> Matrix:
    n = sums.n_examples
    total = sums.r_totals
    hsic: Matrix = (
        sums.s0 - 2 / (n - 2) * sums.r_products + total[:, None] * total / ((n - 1) * (n - 2))
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
