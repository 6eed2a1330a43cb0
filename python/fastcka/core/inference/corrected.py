"""Unbiased CKA, corrected for a sample of features (Chun, Canatar, Chung and Lee 2025).

If the features of a representation are a sample, such as recorded neurons or some of the channels,
its self-similarity HSIC_1(K, K) is too large: it contains, for each feature, the similarity of the
feature with itself. For p features with K = sum_a k_a the corrected self-similarity is

    C = p/(p-1) (HSIC_1(K, K) - sum_a HSIC_1(k_a, k_a))

and the similarity HSIC_1(K, L)/sqrt(C C'). For features that are the same units in both
representations (``units="same"``), the numerator is corrected likewise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.core.estimators import Estimates
from fastcka.core.sums import Matrix, SelfSums, Vector

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A corrected self-similarity is zero if it is below this multiple of the rounding of its sum.
ROUNDINGS = 16


def self_ratios(sums: SelfSums, n_features: NDArray[np.int64]) -> Vector:
    """Return C / HSIC_1(K, K), (M,); NaN where C is not positive, or p < 2, or n < 4."""
    if sums.n_examples < 4 or sums.column_terms is None:
        return np.full(len(n_features), math.nan)
    whole = sums.centred
    p = n_features.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (1 - sums.column_terms / whole) * p / (p - 1)
        rounding = ROUNDINGS * sums.epsilon * sums.summed / whole
    return np.where((p >= 2) & (whole > 0) & (ratio > rounding), ratio, math.nan)


def corrected_matrix(unbiased: Matrix, ratios: Vector) -> Matrix:
    """Return the corrected CKA."""
    corrected: Matrix = unbiased / np.sqrt(np.outer(ratios, ratios))
    return corrected


def correct(unbiased: Estimates, ratios: Vector, n_features: Sequence[int]) -> Estimates:
    """Return the corrected CKA with the unbiased HSIC."""
    cka = corrected_matrix(unbiased.cka, ratios)
    return Estimates(unbiased.hsic, cka, reasons(unbiased.undefined, cka, n_features))


def reasons(unbiased: dict[int, str], cka: Matrix, n_features: Sequence[int]) -> dict[int, str]:
    """Return position -> why the corrected CKA is NaN, from the reasons of the unbiased one."""
    return {
        i: unbiased.get(i) or _reason(n_features[i])
        for i in np.flatnonzero(np.isnan(cka.diagonal())).tolist()
    }


def _reason(n_features: int) -> str:
    if n_features == 1:
        return "the feature correction needs at least 2 features"
    return (
        "its features are not detectably correlated with each other, so the feature correction is "
        "undefined: use more examples or features, or the unbiased estimator"
    )
