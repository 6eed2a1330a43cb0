"""Moments of most examples, and the few examples that are far from all others.

About a mean that a few far examples have moved, the digits of HSIC_1 cancel (csrc/hsic.hpp). So
the examples that are far from the mean of the others in any representation (csrc/far_rule.hpp) are
kept as they are. The centre is then the mean of the others, and with the sum s of all rows about it

    S0_ij   = |C_ij|^2 - P_ij + 2 sum_e x_i(e)^T C_ij x_j(e) + sum_{e != f} K_i(e,f) K_j(e,f)
    q_i(a)  = x_i(a).s_i    r_i = q_i - k_i

where C and P are sums over the other examples, and e and f are far ones.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import FAR_FROM, most_far
from fastcka.core.column_terms import column_terms
from fastcka.core.moments import Moments
from fastcka.core.sums import EPSILON, Matrix, Sums, Vector

#: Examples that are collected before the first of them are added: their medians are robust.
FIRST = 64
#: Most examples that are kept as far, whatever the number of all.
MOST_KEPT = 512


class FarMoments:
    """The sums of examples, from which those of a pass follow, far examples or not.

    Attributes
    ----------
    near
        The moments of the examples that are not far.
    far
        (F, D) float64: the far examples. Until `FIRST` examples were added, all of them.
    """

    ARRAYS = (*Moments.ARRAYS, "far")
    """The names of the arrays of `to_arrays`."""
    COUNTS = ("widths", "n_near")
    """The names of its values for JSON."""

    def __init__(self, near: Moments, far: Matrix) -> None:
        self.near = near
        self.far = far

    @classmethod
    def empty(cls, widths: Sequence[int]) -> FarMoments:
        """Return the sums of no example."""
        return cls(Moments.empty(widths), np.empty((0, sum(widths))))

    @staticmethod
    def bytes_of(widths: Sequence[int]) -> int:
        """Return the bytes of the sums, with those that adding examples needs in addition."""
        return Moments.bytes_of(widths) + 8 * MOST_KEPT * sum(widths)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the sums as values for JSON and arrays."""
        arrays = {name: getattr(self.near, name) for name in Moments.ARRAYS}
        counts = {"widths": self.near.widths, "n_near": self.near.n_examples}
        return counts, {**arrays, "far": self.far}

    @classmethod
    def of_arrays(cls, counts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> FarMoments:
        """Return the sums from what `to_arrays` returned."""
        of_near = {name: arrays[name] for name in Moments.ARRAYS}
        return cls(Moments(tuple(counts["widths"]), counts["n_near"], **of_near), arrays["far"])

    @property
    def n_examples(self) -> int:
        """Number of examples."""
        return self.near.n_examples + len(self.far)

    def add(self, values: Matrix) -> None:
        """Add examples, (n, D) float64, all finite."""
        if self.near.n_examples == 0:
            self.far = np.vstack([self.far, values])
            if len(self.far) >= FIRST:
                self._begin()
            return
        is_far = self._ratios(values) > FAR_FROM
        if not is_far.all():
            self.near.add(values[~is_far])
        if is_far.any():
            self._keep(np.vstack([self.far, values[is_far]]))

    def merge(self, other: FarMoments) -> None:
        """Add the examples of another, which stays unchanged."""
        if self.near.n_examples == 0:
            waiting, self.far = self.far, other.far.copy()
            self.near = copy.deepcopy(other.near)
            if len(waiting):
                self.add(waiting)
        elif other.near.n_examples == 0:
            self.add(other.far)
        else:
            self.near.merge(other.near)
            self._keep(np.vstack([self.far, other.far]))

    def sums(self, seconds: float) -> Sums:
        """Return the sums of all examples."""
        if self.near.n_examples == 0:
            started = FarMoments(Moments.empty(self.near.widths), self.far)
            started._begin()
            return started.sums(seconds)
        near, starts = self.near, self.near.starts
        x = self.far - near.mean()
        largest = np.maximum.reduceat(np.abs(x).max(axis=0, initial=0), starts)
        # The fourth power of what is far must not overflow.
        high = np.where(largest > 0, np.frexp(largest)[1] - 100, near.exponent)
        exponent = np.maximum(near.exponent, high)
        factor = np.ldexp(1.0, near.exponent - exponent)
        x *= near.scales(-exponent)
        shrunk = x * near.scales(near.exponent - exponent)
        shift = near.rows / near.n_examples
        about = near.norms_about(shift)

        m = len(starts)
        squares, cross, along = np.empty((m, m)), np.empty((m, m)), np.empty((m, m))
        s = shrunk.sum(axis=0)
        for i, (block, products) in enumerate(near.products_about(shift)):
            columns, start = starts[i:] - block.start, block.start
            squares[i, i:] = np.add.reduceat((products**2).sum(axis=0), columns)
            far_products = (shrunk[:, block] @ products) * shrunk[:, start:]
            cross[i, i:] = np.add.reduceat(far_products.sum(axis=0), columns)
            along[i, i:] = np.add.reduceat((s[block] @ products) * s[start:], columns)
        for matrix in (squares, cross, along):
            matrix[...] = np.triu(matrix) + np.triu(matrix, 1).T
        scale = np.outer(factor**2, factor**2)
        squares *= scale
        near_products = about.norm_products * scale
        s0 = squares - near_products
        constant = tuple(self._constant(block) for block in near.blocks())
        powers = near.powers_about(shift)
        powers *= np.repeat(factor, near.widths) ** np.arange(1, 5)[:, None]
        grams = np.stack([x[:, block] @ x[:, block].T for block in near.blocks()])
        k = np.einsum("iaa->ia", grams).copy()
        np.einsum("iaa->ia", grams)[...] = 0
        s0 += 2 * cross + np.einsum("iab,jab->ij", grams, grams)
        # r = q - k, of the near examples and of the far ones.
        q_norms = (about.norm_rows * s) * (factor**2)[:, None]
        q_norms = np.add.reduceat(q_norms, starts, axis=1)  # sum of k_i q_j
        q = np.add.reduceat(x * x.sum(axis=0), starts, axis=1).T
        q_products, q_totals = along + q @ q.T, np.add.reduceat(x.sum(axis=0) ** 2, starts)
        norms = near_products + k @ k.T
        r_products = along - q_norms - q_norms.T + near_products + (q - k) @ (q - k).T
        return Sums(
            n_examples=self.n_examples,
            s0=s0,
            norms=norms,
            r_products=r_products,
            r_totals=q_totals - about.norms * factor**2 - k.sum(axis=1),
            summed=squares.diagonal(),
            near_norms=near_products.diagonal(),
            exponent=exponent.astype(np.int32),
            constant=constant,
            products="float64",
            epsilon=EPSILON["float64"],
            q_products=q_products,
            q_totals=q_totals,
            column_terms=np.array(
                [column_terms(powers[:, b], x[:, b], self.n_examples) for b in near.blocks()]
            ),
            seconds=seconds,
        )

    def _constant(self, block: slice) -> bool:
        least = self.near.least[block]
        return bool((least == self.near.most[block]).all() and (self.far[:, block] == least).all())

    def _begin(self) -> None:
        """Decide which of the first examples are far."""
        values, starts = self.far, self.near.starts
        spread = np.maximum.reduceat(np.ptp(values, axis=0), starts)
        scales = self.near.scales(np.where(spread > 0, -np.frexp(spread)[1], 0))
        distances = _distances(values, np.median(values, axis=0), scales, starts)
        is_far = _beyond(distances, np.median(distances, axis=0)) > FAR_FROM
        if np.count_nonzero(is_far) > most_far(len(values)):
            is_far[:] = False
        self.far = values[is_far]
        self.near.add(values[~is_far])

    def _keep(self, far: Matrix) -> None:
        """Keep these examples as far, but those that are too many or near by now."""
        ratios = self._ratios(far)
        order = np.argsort(-ratios, kind="stable")
        most = min(most_far(self.near.n_examples + len(far)), MOST_KEPT)
        # Where there are too many, only the farther half is kept, so that this happens rarely.
        kept = order[: len(far) if len(far) <= most else most // 2]
        is_far = np.zeros(len(far), bool)
        is_far[kept] = ratios[kept] > FAR_FROM
        self.far = far[is_far]
        if not is_far.all():
            self.near.add(far[~is_far])

    def _ratios(self, values: Matrix) -> NDArray[np.float64]:
        """Return the squared distance of each example from the mean, in typical ones."""
        near, starts = self.near, self.near.starts
        typical = np.add.reduceat(near.variations(), starts) / near.n_examples
        return _beyond(
            _distances(values, near.mean(), near.scales(-near.exponent), starts), typical
        )


def _distances(values: Matrix, center: Vector, scales: Vector, starts: NDArray[np.int64]) -> Matrix:
    """Return (n, M): the squared distances of the rows of each representation from a centre."""
    with np.errstate(over="ignore"):  # beyond any limit, as infinity is
        return np.add.reduceat(((values - center) * scales) ** 2, starts, axis=1)


def _beyond(distances: Matrix, typical: Vector) -> Vector:
    """Return (n,): the largest ratio over the representations that vary."""
    ratios = np.zeros_like(distances)
    np.divide(distances, typical, out=ratios, where=np.broadcast_to(typical > 0, ratios.shape))
    return np.asarray(ratios.max(axis=1))
