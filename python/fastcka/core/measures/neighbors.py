"""Mutual k nearest neighbours and CKNNA (Huh, Cheung, Wang and Isola 2024).

The similarity of two examples is the cosine of their angle; examples are not centred. N_i(a) are
the k examples most similar to example a in representation i: a itself is excluded, and of equally
similar ones those with lower positions come first. Panels of rows of the n x n similarities are
formed and dropped: only the neighbours, n x k, and their similarities are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.core.measures.members import Values, embedded
from fastcka.core.sums import Matrix, Vector
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastcka.core.measures.measure import Measure
    from fastcka.core.measures.members import Member

Integers = NDArray[np.int64]

PANEL_BYTES = 16 << 20
"""Bytes of a panel; two of them are in memory."""
COSINE_ROUNDING = 64 * float(np.finfo(float).eps)
"""Cosines that differ by less are equal: rounding, also of sums over many features."""
REFERENCE_EPSILON = 1e-6
"""The reference code of CKNNA adds it to the denominator."""


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The neighbours of all examples in one representation.

    Attributes
    ----------
    codes
        (n k,) ascending: n a + b for every example a and neighbour b.
    similarities
        (n k,): their cosines.
    means
        (n,): the mean cosine of each example with all examples, itself included.
    """

    codes: Integers
    similarities: Vector
    means: Vector

    @property
    def centered(self) -> Vector:
        """The similarities minus the means of their examples."""
        n = len(self.means)
        return self.similarities - np.repeat(self.means, len(self.codes) // n)


def mutual_knn(members: Sequence[Member], measure: Measure) -> Values:
    """Return the mean share of common neighbours: mean_a |N_i(a) & N_j(a)| / k."""

    def align(x: Neighbors, y: Neighbors) -> float:
        return len(_common(x.codes, y.codes)[0])

    return _normalized(_all_neighbors(members, measure, least=2), align)


def cknna(members: Sequence[Member], measure: Measure) -> Values:
    """Return CKNNA as the paper defines it.

    With K and L the cosines of i and j, and sums over the common neighbours b of each a::

        align(i, j) = sum (K_ab - mean_c K_ac) (L_ab - mean_c L_ac)
        CKNNA = align(i, j) / sqrt(align(i, i) align(j, j))
    """

    def align(x: Neighbors, y: Neighbors) -> float:
        in_x, in_y = _common(x.codes, y.codes)
        value = float(x.centered[in_x] @ y.centered[in_y])
        return value if abs(value) > COSINE_ROUNDING**2 * len(x.codes) else 0.0

    return _normalized(_all_neighbors(members, measure, least=3), align)


def cknna_reference(members: Sequence[Member], measure: Measure) -> Values:
    """Return CKNNA as the authors' code computes it.

    With A and B the cosines of i and j at the common neighbours of each example, and 0 elsewhere::

        h(A, B) = [ sum_ab A_ab B_ba + (sum A) (sum B) / ((n-1)(n-2))
                    - 2/(n-2) sum_ab (A B)_ab ] / (n (n-3))
        CKNNA = h(A, B) / (sqrt(h_i h_j) + 1e-6)

    where h_i = h(A, A) with the neighbours of i alone. Neighbours are not mutual, so that A and B
    are not symmetric, and neither is the result: row i is the first argument.
    """

    def align(x: Neighbors, y: Neighbors) -> float:
        in_x, in_y = _common(x.codes, y.codes)
        a, b = x.similarities[in_x], y.similarities[in_y]
        return _unbiased_hsic(x.codes[in_x], a, b, len(x.means))

    neighbors = _all_neighbors(members, measure, least=4)
    return _normalized(neighbors, align, epsilon=REFERENCE_EPSILON, symmetric=False)


def _unbiased_hsic(codes: Integers, a: Vector, b: Vector, n: int) -> float:
    """Return h(A, B), where the entries of both are at ``codes``; see `cknna_reference`."""
    rows, columns = np.divmod(codes, n)
    # Sorted by the transposed code, so that entry (a, b) meets entry (b, a).
    here, there = _common(codes, np.sort(columns * n + rows))
    order = np.argsort(columns * n + rows)
    crossed = float(a[here] @ b[order[there]])
    through = float(np.bincount(columns, a, n) @ np.bincount(rows, b, n))
    whole = float(a.sum() * b.sum())
    total = crossed + whole / ((n - 1) * (n - 2)) - 2 / (n - 2) * through
    return total / (n * (n - 3))


def _common(codes: Integers, others: Integers) -> tuple[Integers, Integers]:
    """Return the positions of the codes that both ascending arrays contain, in each of them."""
    if not len(others):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    place = np.minimum(np.searchsorted(others, codes), len(others) - 1)
    shared = np.flatnonzero(others[place] == codes)
    return shared, place[shared]


def _all_neighbors(
    members: Sequence[Member], measure: Measure, *, least: int
) -> list[Neighbors | str]:
    """Return the neighbours of each member, or why it has none."""
    k, n = int(measure.options["k"]), members[0].shape[0]
    needed = max(k + 1, least)
    if n < needed:
        raise InputError(
            f"measures: {measure.name} with k={k} neighbours needs at least {needed} examples, got "
            f"{n}: choose a smaller k, as in fastcka.Measure({measure.name!r}, k=...), or leave it "
            "out"
        )
    return [_neighbors_of(member, k) for member in members]


def _neighbors_of(member: Member, k: int) -> Neighbors | str:
    if k not in member.neighbors:
        units = member.unit_rows()
        zero = np.flatnonzero(~units.any(axis=1))
        member.neighbors[k] = (
            f"{len(zero)} of its examples are zero (the first at position {zero[0]}), and have no "
            "neighbours by angle: leave them out of all representations"
            if len(zero)
            else find_neighbors(units, k)
        )
    return member.neighbors[k]


def _normalized(
    neighbors: Sequence[Neighbors | str],
    align: Callable[[Neighbors, Neighbors], float],
    *,
    epsilon: float = 0.0,
    symmetric: bool = True,
) -> Values:
    """Return align(i, j) / (sqrt(align(i, i) align(j, j)) + epsilon) of all pairs."""
    left: dict[int, Neighbors] = {}
    lengths: list[float] = []
    reasons: dict[int, str] = {}
    for position, each in enumerate(neighbors):
        if isinstance(each, str):
            reasons[position] = each
        elif (square := align(each, each)) > 0:
            left[position] = each
            lengths.append(math.sqrt(square))
        else:
            reasons[position] = "its similarity with itself is not positive"
    matrix = np.empty((len(left),) * 2)
    for i, x in enumerate(left.values()):
        for j, y in enumerate(left.values()):
            repeated = symmetric and j < i
            matrix[i, j] = matrix[j, i] if repeated else align(x, y)
    matrix /= np.outer(lengths, lengths) + epsilon
    return embedded(Values(matrix), list(left), reasons, len(neighbors))


def find_neighbors(units: Matrix, k: int) -> Neighbors:
    """Return the k nearest neighbours of each example, from rows of length 1, (n, d)."""
    n = len(units)
    at_once = max(1, PANEL_BYTES // (8 * n))
    nearest = np.empty((n, k), np.int64)
    similarities = np.empty((n, k))
    for start in range(0, n, at_once):
        rows = np.arange(start, min(start + at_once, n))
        panel = units[rows] @ units.T
        panel[rows - start, rows] = -np.inf
        nearest[rows] = _largest(panel, k)
        similarities[rows] = np.take_along_axis(panel, nearest[rows], axis=1)
    codes = nearest + n * np.arange(n)[:, None]
    return Neighbors(codes.ravel(), similarities.ravel(), units @ units.mean(axis=0))


def _largest(panel: Matrix, k: int) -> Integers:
    """Return the positions, ascending, of the k largest values of each row.

    Of values that are equal within rounding, those at lower positions are taken.
    """
    last = panel.shape[1] - k
    smallest = np.partition(panel, last, axis=1)[:, last, None]
    chosen = panel >= smallest - COSINE_ROUNDING
    for row in np.flatnonzero(chosen.sum(axis=1) > k):
        larger = panel[row] > smallest[row] + COSINE_ROUNDING
        ties = np.flatnonzero(chosen[row] & ~larger)
        chosen[row, ties[k - np.count_nonzero(larger) :]] = False
    return np.nonzero(chosen)[1].reshape(-1, k)
