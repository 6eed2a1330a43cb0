"""Sums over examples from which linear CKA follows exactly; they can be extended and merged.

Let x_i(a) be row a of representation i about any centre, scaled by a power of two, and
p_i(a) = |x_i(a)|^2. The sums over the examples are

    sum x_i    sum p_i    C_ij = sum x_i x_j^T    Q_ij = sum p_i x_j    P_ij = sum p_i p_j

and of each feature the sums of x^3 and x^4, for the feature correction.

About the centre c + s, with a_i = s_i.x_i, a row is x_i - s_i and its squared norm is
p_i - 2 a_i + |s_i|^2. So the sums about a new centre follow from those about the old one, and the
mean need not be known in advance. About the mean, S0_ij = |C_ij|^2 - P_ij and k_i.k_j = P_ij
(csrc/hsic.hpp).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastcka.core.sums import Matrix, Vector

_SUMS = ("rows", "products", "norms", "norm_rows", "norm_products", "cubes", "fourths")
#: The exponent while no feature varies.
_NO_SCALE = -1000


@dataclass
class Moments:
    """The sums of n examples; M representations have D features together.

    Attributes
    ----------
    widths
        Number of features of each representation.
    n_examples
        Number of examples.
    exponent
        (M,): the rows of representation i are multiplied by 2**-exponent[i].
    center
        (D,): the centre, in the units of the data.
    rows
        (D,): sum of x.
    products
        (D, D): C. Only the blocks (i, j) with i <= j are kept; the others are zero.
    norms, norm_rows, norm_products
        (M,): sum of p. (M, D): Q. (M, M): P.
    cubes, fourths
        (D,): sum of x^3 and of x^4.
    least, most
        (D,): the smallest and the largest value of each feature, in the units of the data.
    """

    ARRAYS: ClassVar = (*("exponent", "center", *_SUMS, "least", "most"),)

    widths: tuple[int, ...]
    n_examples: int
    exponent: NDArray[np.int64]
    center: Vector
    rows: Vector
    products: Matrix
    norms: Vector
    norm_rows: Matrix
    norm_products: Matrix
    cubes: Vector
    fourths: Vector
    least: Vector
    most: Vector

    @classmethod
    def empty(cls, widths: Sequence[int]) -> Moments:
        """Return the sums of no example."""
        m, width = len(widths), sum(widths)
        return cls(
            widths=tuple(widths),
            n_examples=0,
            exponent=np.full(m, _NO_SCALE),
            center=np.zeros(width),
            rows=np.zeros(width),
            products=np.zeros((width, width)),
            norms=np.zeros(m),
            norm_rows=np.zeros((m, width)),
            norm_products=np.zeros((m, m)),
            cubes=np.zeros(width),
            fourths=np.zeros(width),
            least=np.full(width, np.inf),
            most=np.full(width, -np.inf),
        )

    @staticmethod
    def bytes_of(widths: Sequence[int]) -> int:
        """Return the bytes of the sums, with those that adding examples needs in addition."""
        width = sum(widths)
        return 8 * width * (width + 2 * max(widths) + len(widths))

    def add(self, values: Matrix) -> None:
        """Add examples, (n, D) float64, all finite."""
        means = _means(values)
        self._scale_for(values.min(axis=0), values.max(axis=0))
        scales = self.scales(-self.exponent)
        variations = (((values - means) * scales) ** 2).sum(axis=0)
        self._center_for(len(values), means, variations)
        x = values - self.center
        x *= scales
        squares = x**2
        p = np.add.reduceat(squares, self.starts, axis=1)
        self.n_examples += len(x)
        self.rows += x.sum(axis=0)
        self.norms += p.sum(axis=0)
        self.norm_rows += p.T @ x
        self.norm_products += p.T @ p
        self.cubes += np.einsum("ab,ab->b", squares, x)
        self.fourths += np.einsum("ab,ab->b", squares, squares)
        for block in self.blocks():
            self.products[block, block.start :] += x[:, block].T @ x[:, block.start :]

    def merge(self, other: Moments) -> None:
        """Add the examples of another, which stays unchanged."""
        if other.n_examples == 0:
            return
        moved = copy.deepcopy(other)
        self._scale_for(moved.least, moved.most)
        moved._rescale(np.maximum(self.exponent, moved.exponent))
        self._rescale(moved.exponent)
        self._center_for(moved.n_examples, moved.mean(), moved.variations())
        moved._recenter(self.center)
        self.n_examples += moved.n_examples
        for name in _SUMS:
            getattr(self, name)[...] += getattr(moved, name)

    def products_about(self, shift: Vector) -> Iterator[tuple[slice, Matrix]]:
        """Yield for each i its features and the blocks C_ij, j >= i, about a shifted centre."""
        moved = self.rows - self.n_examples * shift
        for block in self.blocks():
            rest = slice(block.start, None)
            products = self.products[block, rest] - np.outer(shift[block], self.rows[rest])
            products -= np.outer(moved[block], shift[rest])
            yield block, products

    def powers_about(self, shift: Vector) -> Matrix:
        """Return (4, D): the sums of x, x^2, x^3 and x^4 about a shifted centre, scaled."""
        n, s = self.n_examples, shift
        p1, p2, p3, p4 = self.rows, self.products.diagonal(), self.cubes, self.fourths
        return np.stack(
            [
                p1 - n * s,
                p2 - 2 * s * p1 + n * s**2,
                p3 - 3 * s * p2 + 3 * s**2 * p1 - n * s**3,
                p4 - 4 * s * p3 + 6 * s**2 * p2 - 4 * s**3 * p1 + n * s**4,
            ]
        )

    @property
    def starts(self) -> NDArray[np.int64]:
        """(M,): the first feature of each representation."""
        return np.cumsum([0, *self.widths[:-1]])

    def blocks(self) -> Iterator[slice]:
        """Yield the features of each representation."""
        start = 0
        for width in self.widths:
            yield slice(start, start + width)
            start += width

    def scales(self, exponent: NDArray[np.int64]) -> Vector:
        """Return 2**exponent[i] for each feature of representation i."""
        return np.ldexp(1.0, np.repeat(exponent, self.widths))

    def mean(self) -> Vector:
        """Return the mean of each feature, in the units of the data."""
        return self.center + self.rows * self.scales(self.exponent) / self.n_examples

    def variations(self) -> Vector:
        """Sum of the squared differences from the mean, scaled, for each feature."""
        return np.maximum(self.products.diagonal() - self.rows**2 / self.n_examples, 0)

    def _scale_for(self, least: Vector, most: Vector) -> None:
        """Extend the ranges, and choose the scale for them."""
        self.least = np.minimum(self.least, least)
        self.most = np.maximum(self.most, most)
        spread = np.maximum.reduceat(self.most - self.least, self.starts)
        exponent = np.where(spread > 0, np.frexp(spread)[1], _NO_SCALE)
        self._rescale(np.where(exponent > self.exponent + 32, exponent, self.exponent))

    def _center_for(self, n: int, mean: Vector, variations: Vector) -> None:
        """Choose the centre before n examples are added; their variations are scaled."""
        if self.n_examples == 0:
            self.center = mean
            return
        total = self.n_examples + n
        old_mean = self.mean()
        combined = old_mean + (mean - old_mean) * (n / total)
        scales = self.scales(-self.exponent)
        between = ((mean - old_mean) * scales) ** 2 * (self.n_examples * n / total)
        offset = ((combined - self.center) * scales) ** 2 * total
        # Beyond that, sums of squares would contain more of the offset than of the variation.
        if (offset > self.variations() + variations + between).any():
            self._recenter(combined)

    def _rescale(self, exponent: NDArray[np.int64]) -> None:
        if (exponent == self.exponent).all():
            return
        factor = np.ldexp(1.0, self.exponent - exponent)
        wide = np.repeat(factor, self.widths)
        self.rows *= wide
        self.products *= wide
        self.products *= wide[:, None]
        self.norms *= factor**2
        self.norm_rows *= (factor**2)[:, None]
        self.norm_rows *= wide
        self.norm_products *= np.outer(factor**2, factor**2)
        self.cubes *= wide**3
        self.fourths *= wide**4
        self.exponent = exponent

    def _recenter(self, center: Vector) -> None:
        shift = (center - self.center) * self.scales(-self.exponent)
        moved = self.norms_about(shift)
        _, _, self.cubes, self.fourths = self.powers_about(shift)
        for block, products in self.products_about(shift):
            self.products[block, block.start :] = products
        self.rows, self.norms = moved.rows, moved.norms
        self.norm_rows, self.norm_products = moved.norm_rows, moved.norm_products
        self.center = center

    def norms_about(self, shift: Vector) -> Norms:
        """Return the other sums about a centre that is shifted, scaled."""
        n, starts = self.n_examples, self.starts
        along = np.zeros_like(self.norm_rows)  # (M, D): sum of a_i x
        for i, block in enumerate(self.blocks()):
            along[i, block.start :] += shift[block] @ self.products[block, block.start :]
            for j, other in enumerate(self.blocks()):
                if j > i:
                    along[j, block] = self.products[block, other] @ shift[other]
        square = np.add.reduceat(shift**2, starts)  # |s_i|^2
        inner = np.add.reduceat(shift * self.rows, starts)  # sum of a_i
        with_a = np.add.reduceat(self.norm_rows * shift, starts, axis=1)  # sum of p_i a_j
        both_a = np.add.reduceat(along * shift, starts, axis=1)  # sum of a_i a_j
        norms = self.norms - 2 * inner + n * square
        constants = self.norms - 2 * inner
        norm_products = (
            self.norm_products
            - 2 * (with_a + with_a.T)
            + 2 * (both_a + both_a.T)
            + np.outer(constants, square)
            + np.outer(square, constants)
            + n * np.outer(square, square)
        )
        rows = self.rows - n * shift
        norm_rows = (
            self.norm_rows - 2 * along + np.outer(square, self.rows) - np.outer(norms, shift)
        )
        return Norms(rows, norms, norm_rows, norm_products)


@dataclass
class Norms:
    """The sums about a centre; attributes as in `Moments`."""

    rows: Vector
    norms: Vector
    norm_rows: Matrix
    norm_products: Matrix


def _means(values: Matrix) -> Vector:
    means = values.mean(axis=0)
    means += (values - means).mean(axis=0)
    constant = values.min(axis=0) == values.max(axis=0)
    return np.asarray(np.where(constant, values[0], means))
