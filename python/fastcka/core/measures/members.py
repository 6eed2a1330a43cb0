"""Representations as the functions of measures take them, and what these functions return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastcka.core.arrays import float64_of_view
from fastcka.core.sums import Matrix, Vector, non_finite_text
from fastcka.errors import InputError

if TYPE_CHECKING:
    from fastcka.core.measures.neighbors import Neighbors
    from fastcka.core.views import ArrayView


@dataclass(frozen=True, slots=True)
class Values:
    """The values of a measure for M representations.

    Attributes
    ----------
    matrix
        (M, M) float64; NaN in the row and column of a representation in `undefined`.
    of_each
        Name -> a list with a value for each representation, such as its bandwidth.
    undefined
        Position -> why the similarities of that representation are undefined.
    """

    matrix: Matrix
    of_each: dict[str, list[Any]] = field(default_factory=dict)
    undefined: dict[int, str] = field(default_factory=dict)


class Basis(NamedTuple):
    """The singular value decomposition of centred values: u (n, r), s (r,) and vt (r, d)."""

    u: Matrix
    s: Vector
    vt: Matrix


class Member:
    """A representation of a group; each method makes a new array.

    Parameters
    ----------
    view
        The representation in the memory of the CPU.
    name
        Its name in error messages.

    Attributes
    ----------
    shape
        (n_examples, n_features).
    neighbors
        Number of neighbours -> those of all examples, which several measures share, or why there
        are none.
    """

    def __init__(self, view: ArrayView, name: str) -> None:
        self._view = view
        self.name = name
        self.shape = (view.n_examples, view.n_features)
        self.neighbors: dict[int, Neighbors | str] = {}

    def raw(self) -> Matrix:
        """Return the values in float64.

        Raises
        ------
        InputError
            A value is NaN or infinite.
        """
        values = float64_of_view(self._view)
        wrong = np.argwhere(~np.isfinite(values))
        if len(wrong):
            raise InputError(non_finite_text(self.name, len(wrong), *wrong[0].tolist()))
        return values

    @property
    def is_constant(self) -> bool:
        """Whether all examples are equal."""
        values = self.raw()
        return bool((values == values[0]).all())

    def scaled(self) -> tuple[Matrix, int]:
        """Return the values divided by 2^e, so that squares stay in range, and the exponent e."""
        values = self.raw()
        exponent = int(np.frexp(np.abs(values).max())[1])
        return np.ldexp(values, -exponent), exponent  # a power of two rounds nothing

    def centered(self) -> Matrix:
        """Return the scaled values minus the means of the features."""
        values, _ = self.scaled()
        for _ in range(2):  # the second mean is the rounding error of the first
            values -= values.mean(axis=0)
        return values

    def unit_rows(self) -> Matrix:
        """Return each example divided by its length; examples of length 0 stay zero."""
        values = self.raw()
        values /= _or_one(np.abs(values).max(axis=1, keepdims=True))
        values /= _or_one(np.linalg.norm(values, axis=1, keepdims=True))
        return values

    def basis(self) -> Basis:
        """Return the decomposition of the centred values, cut to their numerical rank."""
        values = self.centered()
        u, s, vt = np.linalg.svd(values, full_matrices=False)
        rank = int((s > s[0] * max(values.shape) * np.finfo(float).eps).sum())
        return Basis(u[:, :rank], s[:rank], vt[:rank])


def _or_one(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(lengths == 0, 1.0, lengths)


def embedded(values: Values, positions: list[int], reasons: dict[int, str], count: int) -> Values:
    """Return the values of some of ``count`` representations as values of all.

    ``reasons`` says why the others are undefined.
    """
    matrix = np.full((count, count), np.nan)
    matrix[np.ix_(positions, positions)] = values.matrix
    of_each = {}
    for name, numbers in values.of_each.items():
        every: list[Any] = [None] * count
        for position, number in zip(positions, numbers, strict=True):
            every[position] = number
        of_each[name] = every
    undefined = reasons | {positions[i]: why for i, why in values.undefined.items()}
    return Values(matrix, of_each, dict(sorted(undefined.items())))
