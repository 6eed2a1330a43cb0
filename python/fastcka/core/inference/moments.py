"""Numbers of each representation from which the null distribution of every pair follows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from fastcka.core.sums import SelfSums, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Numbers of M representations, without units; each (M,) float64, NaN where undefined.

    K is the centred Gram matrix of a representation, k its diagonal minus the mean of the diagonal,
    and U the U-centred Gram matrix (Szekely and Rizzo 2014), whose diagonal and row sums are zero.

    Attributes
    ----------
    participation
        (tr K)^2 / <K, K>: the number of dimensions, if all had the same variance.
    diagonal
        sum_i K_ii^2 / <K, K>.
    self_ratio
        The feature-corrected self-similarity divided by HSIC_1(K, K); NaN where not positive.
    cubes, triangles
        sum_ij U_ij^3 / |U|^3 and tr U^3 / |U|^3.
    weighted_squares, weighted_sum, diagonal_cubes
        sum_ij k_i U_ij^2 / (|k| |U|^2), sum_ij k_i k_j U_ij / (|k|^2 |U|), sum_i k_i^3 / |k|^3.
        These five are None unless third moments were asked for.
    """

    participation: Vector
    diagonal: Vector
    self_ratio: Vector
    cubes: Vector | None = None
    triangles: Vector | None = None
    weighted_squares: Vector | None = None
    weighted_sum: Vector | None = None
    diagonal_cubes: Vector | None = None

    def arrays(self) -> dict[str, Vector]:
        """Return name -> array of those that were computed."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in values.items() if array is not None}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Vector]) -> Moments | None:
        """Return the moments with these arrays; None if one that every pass computes is missing."""
        known = {name: arrays[name] for name in MOMENTS if name in arrays}
        return cls(**known) if set(MOMENTS[:3]) <= known.keys() else None


def moments_of(sums: SelfSums, self_ratio: Vector) -> Moments:
    """Return the moments of the representations of a pass."""
    n = sums.n_examples
    s0, squares = sums.s0, sums.norms  # squares: k.k
    if sums.q_products is None or sums.q_totals is None:  # about the mean: q = 0, r = -k
        whole, trace, diagonal = s0 + squares, np.abs(sums.r_totals), squares
    else:
        q, totals = sums.q_products, sums.q_totals
        k_totals = totals - sums.r_totals
        products = (q + squares - sums.r_products) / 2  # k.q
        whole = s0 + squares - 2 / n * q + totals**2 / n**2
        trace = k_totals - totals / n
        # K_ii = k_i - 2 q_i/n + sum q/n^2
        diagonal = squares - 4 / n * products + 4 / n**2 * q
        diagonal = diagonal + 2 / n**2 * totals * k_totals - 3 / n**3 * totals**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return Moments(
            participation=np.where(whole > 0, trace**2 / whole, np.nan),
            diagonal=np.where(whole > 0, diagonal / whole, np.nan),
            self_ratio=self_ratio,
            **_third_moments(sums, diagonal - trace**2 / n),
        )


def _third_moments(sums: SelfSums, k_squared: Vector) -> dict[str, Vector]:
    """Return the third moments, divided by norms: |k|^2 is given."""
    if sums.third is None:
        return {}
    n = sums.n_examples
    if n < 4:
        return {name: np.full_like(k_squared, np.nan) for name in sums.third}
    u_squared = sums.centred
    # A norm of zero belongs to a term that is zero.
    u = np.sqrt(np.where(u_squared > 0, u_squared, np.inf))
    k = np.sqrt(np.where(k_squared > 0, k_squared, np.inf))
    norms = {
        "cubes": u**3,
        "triangles": u**3,
        "weighted_squares": u**2 * k,
        "weighted_sum": u * k**2,
        "diagonal_cubes": k**3,
    }
    # Rounding can take them beyond the bounds of Cauchy and Schwarz.
    return {name: np.clip(sums.third[name] / norm, -1, 1) for name, norm in norms.items()}


#: The names of the numbers, in the order of the ledger's columns.
MOMENTS = tuple(field.name for field in fields(Moments))
