"""Sums of powers of each feature, from which the correction for a sample of features follows.

For a feature with values x_a about any centre and s the sum of all, its Gram matrix has

    S0 = sum_{a != b} x_a^2 x_b^2    r_a = x_a (s - x_a)

without its diagonal, and n(n-3) HSIC_1 = S0 - 2/(n-2) sum r^2 + (sum r)^2/((n-1)(n-2)). Examples
that are far from all others are kept as they are: their fourth powers would leave nothing of the
rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastcka.core.sums import Matrix, Vector

#: Most far examples that are kept. Several of a size cancel no digits.
MOST_FAR = 8


class ColumnSums:
    """The sums of one representation of d features."""

    def __init__(self, n_features: int) -> None:
        self._powers = np.zeros((4, n_features))
        self._far = np.empty((0, n_features))
        self._distances = np.empty(0)

    def add(self, values: Matrix, columns: slice = slice(None)) -> None:
        """Add examples that are not far, (n, features of the slice)."""
        squares = values * values
        self._powers[0, columns] += values.sum(axis=0)
        self._powers[1, columns] += squares.sum(axis=0)
        self._powers[2, columns] += np.einsum("ab,ab->b", squares, values)
        self._powers[3, columns] += np.einsum("ab,ab->b", squares, squares)

    def add_far(self, values: Matrix, distances: Vector) -> None:
        """Add far examples, (n, d), with their squared distances; the farthest are kept."""
        far = np.vstack([self._far, values])
        distances = np.append(self._distances, distances)
        order = np.argsort(-distances, kind="stable")
        self.add(far[order[MOST_FAR:]])
        self._far, self._distances = far[order[:MOST_FAR]], distances[order[:MOST_FAR]]

    def terms(self, n_examples: int) -> float:
        """Return n(n-3) HSIC_1 of each feature with itself, summed over the features."""
        return column_terms(self._powers, self._far, n_examples)


def column_terms(powers: Matrix, far: Matrix, n_examples: int) -> float:
    """Return n(n-3) HSIC_1 of each feature with itself, summed over the features; 0 for n < 4.

    Parameters
    ----------
    powers
        (4, d): sums of x, x^2, x^3 and x^4 over the examples that are not far.
    far
        (F, d): the far examples.
    n_examples
        Number of all examples.
    """
    n = n_examples
    if n < 4:
        return 0.0
    p1, p2, p3, p4 = powers
    f2 = far**2
    before = sums_before(f2, axis=0)
    s = p1 + far.sum(axis=0)
    rest = p1 + sums_before(far, axis=0) + sums_before(far[::-1], axis=0)[::-1]
    s0 = p2**2 - p4 + 2 * p2 * f2.sum(axis=0) + 2 * (f2 * before).sum(axis=0)
    r = s * p1 - p2 + (far * rest).sum(axis=0)
    r2 = s**2 * p2 - 2 * s * p3 + p4 + (f2 * rest**2).sum(axis=0)
    return float((s0 - 2 / (n - 2) * r2 + r**2 / ((n - 1) * (n - 2))).sum())


def sums_before(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the sum of the values before each; a subtraction from the whole loses digits."""
    values = np.moveaxis(values, axis, 0)
    sums = np.zeros_like(values)
    np.cumsum(values[:-1], axis=0, out=sums[1:])
    return np.moveaxis(sums, 0, axis)
