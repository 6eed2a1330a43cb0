"""Numbers of each representation from which the null distribution of every pair follows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

Vector = NDArray[np.float64]


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
    cubes, triangles
        sum_ij U_ij^3 / |U|^3 and tr U^3 / |U|^3.
    weighted_squares, weighted_sum, diagonal_cubes
        sum_ij k_i U_ij^2 / (|k| |U|^2), sum_ij k_i k_j U_ij / (|k|^2 |U|), sum_i k_i^3 / |k|^3.
        These five are None unless third moments were asked for.
    """

    participation: Vector
    diagonal: Vector
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
        """Return the moments with these arrays; None if the first two are missing."""
        known = {name: arrays[name] for name in MOMENTS if name in arrays}
        return cls(**known) if {"participation", "diagonal"} <= known.keys() else None


#: The names of the numbers, in the order of the ledger's columns.
MOMENTS = tuple(field.name for field in fields(Moments))
