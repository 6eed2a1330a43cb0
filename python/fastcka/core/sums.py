"""The sums of a pass, from which the estimates follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """What a pass returns, of the data times 2**-exponent.

    Attributes
    ----------
    s0, norms
        (M, M): S0 and k_i.k_j.
    r_products, r_totals
        (M, M): r_i.r_j, and (M,): sum r_i.
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
    seconds
        Of the pass on the CPU by the clock, from its first read to its sums; 0 on a GPU.
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
    seconds: float = 0.0

    @classmethod
    def about_the_mean(
        cls,
        n_examples: int,
        *,
        s0: Matrix,
        norms: Matrix,
        traces: Vector,
        summed: Vector,
        exponent: NDArray[np.int32],
        constant: tuple[bool, ...],
        products: str,
        epsilon: float,
        seconds: float,
    ) -> Sums:
        """The sums of a pass whose centres are all means; `traces` (M,) are the sums of k."""
        return cls(
            n_examples=n_examples,
            s0=s0,
            norms=norms,
            r_products=norms,
            r_totals=traces,  # of -r: only products of two of them count
            summed=summed,
            near_norms=norms.diagonal(),
            exponent=exponent,
            constant=constant,
            products=products,
            epsilon=epsilon,
            seconds=seconds,
        )
