"""CKA with Gaussian kernels, from tiles of the kernel matrices.

With K_ab = exp(-|x_a - x_b|^2 / (2 s^2)), row sums r and whole sums S, the biased HSIC of two
kernels is <K_i, K_j> - 2/n r_i.r_j + S_i S_j / n^2 up to a factor. K - 1 in place of K changes
none of it, and keeps the digits of wide kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from fastcka.core.measures.members import Values, embedded
from fastcka.core.sums import Matrix, Vector

if TYPE_CHECKING:
    from fastcka.core.measures.measure import Measure
    from fastcka.core.measures.members import Member

Rule = Literal["median", "median_squared"]

TILE_BYTES = 64 << 20
"""Bytes of the tiles of all kernels together."""
MOST_ROWS = 512
"""Rows of a tile, and of a panel of distances, at most."""
NEAR = 1e-4
"""Squared distances below this share of the squared lengths lose digits in the products."""
_LARGEST = 1e300


class _Points(NamedTuple):
    """The values of a representation about their medians, and their squared lengths."""

    values: Matrix
    norms: Vector


def rbf_cka(members: Sequence[Member], measure: Measure) -> Values:
    """Return biased CKA with a Gaussian kernel for each representation."""
    bandwidth, scale = measure.options["bandwidth"], measure.options["scale"]
    return gaussian_cka(members, bandwidth, scale)


def gaussian_cka(members: Sequence[Member], bandwidth: Rule | float, scale: float = 1.0) -> Values:
    """Return biased CKA with Gaussian kernels, and the width of each in the units of its data.

    Parameters
    ----------
    members
        M representations.
    bandwidth
        The width s before it is multiplied by ``scale``. "median": the median of |x_a - x_b| over
        pairs of different examples; "median_squared": the root of the median of |x_a - x_b|^2; or
        a number, in the units of the data.
    scale
        A factor of the width.
    """
    n = members[0].shape[0]
    points, widths, reasons = [], [], {}
    for position, member in enumerate(members):
        each, exponent = _points(member)
        width = _width(each, exponent, bandwidth) * scale
        if isinstance(bandwidth, str):
            widths.append(math.ldexp(width, exponent))
        else:
            widths.append(bandwidth * scale)
        if width > 0:
            points.append((each, width))
        else:
            reasons[position] = "the median distance between its examples is zero"
    left = [position for position in range(len(members)) if position not in reasons]
    hsic = _hsic(points, n)
    selves = hsic.diagonal().copy()
    flat = np.flatnonzero(~(selves > 0))
    for i in flat.tolist():
        reasons[left[i]] = "its Gaussian kernel is constant: the bandwidth is too large for it"
    selves[flat] = np.nan
    matrix = np.clip(hsic / np.sqrt(np.outer(selves, selves)), 0, 1)
    np.fill_diagonal(matrix, np.where(np.isnan(selves), np.nan, 1.0))
    values = embedded(Values(matrix), left, reasons, len(members))
    return Values(values.matrix, {"bandwidth_used": widths}, values.undefined)


def _points(member: Member) -> tuple[_Points, int]:
    """Return the points, in units of 2^e, and the exponent e."""
    values, exponent = member.scaled()
    # A common shift changes no distance. About the median, |a|^2 + |b|^2 - 2ab does not lose the
    # digits of typical distances, even if a few examples are far from all others.
    values -= np.median(values, axis=0)
    return _Points(values, np.einsum("ij,ij->i", values, values)), exponent


def _width(points: _Points, exponent: int, bandwidth: Rule | float) -> float:
    """Return the bandwidth in units of 2^exponent."""
    if isinstance(bandwidth, str):
        return _median_distance(points, squared=bandwidth == "median_squared")
    with np.errstate(over="ignore"):
        return float(np.ldexp(bandwidth, -exponent))


def _median_distance(points: _Points, *, squared: bool) -> float:
    """Return the median distance, or the root of the median squared one, over pairs a < b."""
    n = len(points.values)
    distances = np.empty(n * (n - 1) // 2)
    filled = 0
    for start in range(0, n, MOST_ROWS):
        rows = slice(start, min(start + MOST_ROWS, n))
        panel = _squared_distances(points, rows, slice(start, n))
        for a in range(len(panel)):
            later = panel[a, a + 1 :]
            distances[filled : filled + len(later)] = later
            filled += len(later)
    if squared:
        return math.sqrt(np.median(distances, overwrite_input=True))
    return float(np.median(np.sqrt(distances, out=distances), overwrite_input=True))


def _squared_distances(points: _Points, rows: slice, columns: slice) -> Matrix:
    """Return |x_a - x_b|^2 of a tile; 0 for an example with itself."""
    values, norms = points
    tile = values[rows] @ values[columns].T
    tile *= -2
    lengths = norms[rows, None] + norms[columns]
    tile += lengths
    lost = tile < NEAR * lengths
    for a in np.flatnonzero(lost.any(axis=1)):
        every = np.flatnonzero(lost[a])
        for start in range(0, len(every), MOST_ROWS):
            b = every[start : start + MOST_ROWS]
            differences = values[columns.start + b] - values[rows.start + a]
            tile[a, b] = np.einsum("ij,ij->i", differences, differences)
    if rows.start == columns.start:
        np.fill_diagonal(tile, 0)
    return np.asarray(tile)


def _hsic(points: Sequence[tuple[_Points, float]], n: int) -> Matrix:
    """Return the biased HSIC of all pairs of kernels, up to a common factor."""
    m = len(points)
    side = max(1, min(MOST_ROWS, math.isqrt(TILE_BYTES // (8 * max(m, 1)))))
    products, row_sums = np.zeros((m, m)), np.zeros((m, n))
    for first in range(0, n, side):
        rows = slice(first, min(first + side, n))
        for second in range(first, n, side):
            columns = slice(second, min(second + side, n))
            tiles = np.empty((m, rows.stop - first, columns.stop - second))
            for tile, (each, width) in zip(tiles, points, strict=True):
                tile[:] = _squared_distances(each, rows, columns)
                tile *= max(-0.5 / width / width, -_LARGEST)  # not infinite, so that 0 stays 0
                np.expm1(tile, out=tile)
            flat = tiles.reshape(m, tiles.shape[1] * tiles.shape[2])
            row_sums[:, rows] += tiles.sum(axis=2)
            if first == second:
                products += flat @ flat.T
            else:
                products += 2 * (flat @ flat.T)
                row_sums[:, columns] += tiles.sum(axis=1)
    sums = row_sums.sum(axis=1)
    return np.asarray(products - 2 / n * (row_sums @ row_sums.T) + np.outer(sums, sums) / n**2)
