"""The sums of a pass, from which the estimates follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

#: Relative rounding of a sum of products, by what is multiplied: machine epsilon for float32 and
#: float64; its square for bfloat16, because the norms are computed from the rounded rows (measured
#: on orthogonal and one-hot rows: 6e-6). Three bfloat16 numbers (bfloat16x3) have the 24 bits of
#: float32. Two fp16 numbers (float16x3) have 22 bits. One has 11, but for the same reason far less
#: of its rounding is left (2e-5 of CKA for 64 examples of 4096 features).
EPSILON = {
    "float32": 2.0**-23,
    "float64": 2.0**-52,
    "bfloat16x3": 2.0**-23,
    "bfloat16": 2.0**-16,
    "float16x3": 2.0**-21,
    "float16": 2.0**-15,
}


#: Larger values are refused where sums about a provisional centre could overflow.
LARGEST = 1e300

#: The third moments of a pass; csrc/cpu/third_moments.hpp defines them.
THIRD_MOMENTS = ("cubes", "triangles", "weighted_squares", "weighted_sum", "diagonal_cubes")


@dataclass(slots=True)
class Sums:
    """The sums that a pass returns, of the data times 2**-exponent.

    Attributes
    ----------
    s0, norms
        (M, M): S0 and k_i.k_j.
    r_products, r_totals
        (M, M): r_i.r_j, and (M,): sum r_i, or all of these negative: only products of two count.
    q_products, q_totals
        (M, M): q_i.q_j, and (M,): sum q_i; None where q = 0.
    summed
        (M,): S0_ii as the products were summed; in route F with the squared norms.
    near_norms
        (M,): k_i.k_i without the examples that are far from all others.
    constant
        For each representation, whether no feature varies.
    products
        What was multiplied.
    epsilon
        Relative rounding of the products.
    subsets
        The same sums over the examples of each subset (core/subsets.py), by name: (B, M, M) and
        (B, M), and ``near_norms`` (B, M, M); None where none are wanted.
    column_terms
        (M,): n(n-3) HSIC_1 of each feature with itself, summed over the features.
    third
        Each of `THIRD_MOMENTS`, (M,), in units of x^6; None unless they were asked for.
    seconds
        Wall time of the pass on the CPU, from its first read to its sums; 0 on a GPU.
    """

    n_examples: int
    s0: Matrix
    norms: Matrix
    r_products: Matrix
    r_totals: Vector
    summed: Vector
    near_norms: Vector
    exponent: NDArray[np.int32]
    constant: tuple[bool, ...]
    products: str
    epsilon: float
    q_products: Matrix | None = None
    q_totals: Vector | None = None
    subsets: dict[str, NDArray[np.float64]] | None = None
    column_terms: Vector | None = None
    third: dict[str, Vector] | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SelfSums:
    """The sums of each representation with itself: diagonals, and vectors as in `Sums`, (M,)."""

    n_examples: int
    s0: Vector
    norms: Vector
    r_products: Vector
    r_totals: Vector
    q_products: Vector | None
    q_totals: Vector | None
    summed: Vector
    epsilon: float
    column_terms: Vector | None
    third: dict[str, Vector] | None

    @classmethod
    def of_sums(cls, sums: Sums) -> SelfSums:
        """Return copies of the diagonals, without the matrices."""
        return cls(
            sums.n_examples,
            sums.s0.diagonal().copy(),
            sums.norms.diagonal().copy(),
            sums.r_products.diagonal().copy(),
            sums.r_totals,
            None if sums.q_products is None else sums.q_products.diagonal().copy(),
            sums.q_totals,
            sums.summed,
            sums.epsilon,
            sums.column_terms,
            sums.third,
        )

    @property
    def centred(self) -> Vector:
        """U_i.U_i, n(n-3) HSIC_1 with itself (`inference.products`), for 3 examples or more."""
        n = self.n_examples
        return (
            self.s0
            - 2 / (n - 2) * self.r_products
            + self.r_totals * self.r_totals / ((n - 1) * (n - 2))
        )


def non_finite_text(name: str, count: int, row: int, column: int) -> str:
    """Return why a representation cannot be summed; count 0: its values are too large."""
    if count == 0:
        return f"{name} holds values too large to sum in float64"
    return (
        f"{name} holds {count} NaN or infinite value{'s' * (count != 1)}, "
        f"the first at example {row}, feature {column}"
    )
