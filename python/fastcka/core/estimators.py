"""HSIC and CKA from the sums of a pass; csrc/estimate.cpp contains the formulas.

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
features, and infinite where HSIC_1(x, x) is zero: squared distances are then sums b_i + b_j. The
relative error of HSIC_1 is the rounding of the products times the condition number. For float32
products on the CPU, rounding is at most 2^-22 = 2.4e-7: a centred value is rounded by at most 2^-24
of itself, and an HSIC contains four of them; sums are of at most 128 terms before they continue in
float64, and their errors average out over the pairs of examples (measured: 1e-9 to 1e-7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import compiled_estimate
from fastcka.core.sums import EPSILON, Matrix, Sums
from fastcka.errors import InternalError

HsicEstimator = Literal["biased", "unbiased"]
HSIC_ESTIMATORS: tuple[HsicEstimator, ...] = get_args(HsicEstimator)
Estimator = Literal["biased", "unbiased", "feature_corrected"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)

#: Smallest number of examples for which an estimator is defined.
MIN_EXAMPLES = {"biased": 2, "unbiased": 4, "feature_corrected": 4}

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


@dataclass(slots=True)
class Estimates:
    """HSIC (units of x squared times y squared) and CKA, each (M, M); NaN where undefined.

    Attributes
    ----------
    undefined
        Position -> why the row and column of a representation are NaN.
    imprecise
        Positions of representations that need products of higher precision.
    """

    hsic: Matrix
    cka: Matrix
    undefined: dict[int, str]
    imprecise: frozenset[int] = frozenset()


def estimate(sums: Sums, estimator: HsicEstimator) -> Estimates:
    """Return HSIC and CKA of all pairs.

    CKA is NaN, with a reason, for a representation whose self-HSIC is zero (within rounding) or
    has lost too many digits; everything is NaN below `MIN_EXAMPLES`. Rounding beyond the range of a
    similarity is clipped.

    Raises
    ------
    InternalError
        If a similarity is out of its range by more than rounding explains.
    """
    m = len(sums.constant)
    if sums.n_examples < MIN_EXAMPLES[estimator]:
        nothing = np.full((m, m), np.nan)
        return Estimates(nothing, nothing.copy(), _reasons(sums, estimator, nothing))
    hsic, cka, undefined, worst = _computed(sums, estimator, sums.exponent)
    if worst is not None:
        i, j, value = worst
        raise InternalError(
            f"the {estimator} CKA of representations {i} and {j} is {value}, which "
            f"rounding does not explain ({sums.products} products, {sums.n_examples} examples): "
            f"this is a fault of fastcka, please report it with the data if you can"
        )
    if not undefined:
        return Estimates(hsic, cka, {})
    imprecise = frozenset(
        i for i in undefined if not sums.constant[i] and sums.products != "float64"
    )
    return Estimates(hsic, cka, _reasons(sums, estimator, cka), imprecise)


def _computed(
    sums: Sums, estimator: HsicEstimator, exponent: NDArray[np.int32]
) -> tuple[Matrix, Matrix, list[int], tuple[int, int, float] | None]:
    zero = ROUNDINGS * sums.epsilon
    return compiled_estimate(
        estimator,
        sums.n_examples,
        sums.s0,
        sums.norms,
        sums.r_products,
        sums.r_totals,
        sums.q_products,
        sums.q_totals,
        sums.summed,
        sums.near_norms,
        exponent,
        zero,
        CONDITION_LIMIT[sums.products],
        4 * zero,
    )


def _reasons(sums: Sums, estimator: HsicEstimator, cka: Matrix) -> dict[int, str]:
    """Return why similarities are NaN, from HSIC in units without overflow and underflow."""
    unscaled = np.zeros_like(sums.exponent)
    hsic: dict[HsicEstimator, Matrix] = {
        name: _computed(sums, name, unscaled)[0]
        if sums.n_examples >= MIN_EXAMPLES[name]
        else np.full_like(sums.s0, np.nan)
        for name in HSIC_ESTIMATORS
    }
    return nan_reasons(
        estimator,
        cka=cka,
        hsic_biased=hsic["biased"],
        hsic_unbiased=hsic["unbiased"],
        n_examples=sums.n_examples,
        products=sums.products,
    )


def nan_reasons(
    estimator: HsicEstimator,
    *,
    cka: Matrix,
    hsic_biased: Matrix,
    hsic_unbiased: Matrix,
    n_examples: int,
    products: str,
) -> dict[int, str]:
    """Return why similarities are NaN, from the values alone, such as stored ones.

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
    # As in csrc/estimate.cpp: S0 + k.k is (n - 1)^2 times the biased self-HSIC.
    share = (n_examples - 1) ** 2 / max(n_examples * (n_examples - 3), 1)
    rounding = ROUNDINGS * EPSILON.get(products, 0.0) * share
    return {
        i: _nan_reason(
            estimator, float(hsic_biased[i, i]), float(hsic_unbiased[i, i]), rounding, products
        )
        for i in undefined
    }


def _nan_reason(
    estimator: HsicEstimator, biased: float, unbiased: float, rounding: float, products: str
) -> str:
    if math.isnan(biased if estimator == "biased" else unbiased):
        return f"the {estimator} estimator needs at least {MIN_EXAMPLES[estimator]} examples"
    if estimator == "biased" or not biased > 0:
        return "zero variance: no feature varies over the examples"
    if unbiased <= rounding * biased:
        reason = (
            "its unbiased self-HSIC is zero within rounding, for example because all examples are "
            "equally far from each other"
        )
        remedy = "tells whether it is exactly zero"
    else:
        reason = (
            f"digits were lost: its unbiased self-HSIC is the small difference of large sums (its "
            f"biased one is {biased / unbiased:.3g} times as large), too small for {products} "
            f"products"
        )
        remedy = "keeps more digits"
    return reason if products == "float64" else f"{reason} (precision 'float64' {remedy})"
