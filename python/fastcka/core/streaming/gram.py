"""Route G in blocks of rows: bands of the Gram matrices of all representations.

A Gram matrix is taken about a centre that most examples are near to (csrc/hsic.hpp): the median of
some rows. Row sums r and q and the diagonals k then complete the formulas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import FAR_FROM, Progress
from fastcka.core.column_terms import ColumnSums
from fastcka.core.streaming.plan import (
    ENTRIES_AT_ONCE,
    SAMPLED_ROWS,
    StreamPlan,
)
from fastcka.core.streaming.sources import Sources, read_ahead
from fastcka.core.sums import EPSILON, THIRD_MOMENTS, Matrix, Sums, Vector


@dataclass
class _Reference:
    """What the rows of a representation are measured by.

    Attributes
    ----------
    center
        (d,): the median of the sampled rows.
    exponent
        The rows about the centre are multiplied by 2**-exponent.
    first
        (d,): the first row, to find out whether all are equal.
    far
        The squared distance, scaled, beyond which a row is far from the others.
    """

    center: Vector
    exponent: int
    first: NDArray[Any]
    far: float

    def about(self, x: NDArray[Any], columns: slice = slice(None)) -> Matrix:
        """Return rows about the centre, scaled, in float64."""
        values = x[:, columns] - self.center[columns]
        values *= np.ldexp(1.0, -self.exponent)
        return values


class GramPass:
    """The bands of the Gram matrices, added up."""

    def __init__(self, sources: Sources, plan: StreamPlan, *, third_moments: bool) -> None:
        self._sources = sources
        self._plan = plan
        n, m = sources.n_examples, len(sources.widths)
        self._references: list[_Reference] = []
        self._columns = ColumnSums(1)  # of the representation that is being read
        self._terms = np.zeros(m)
        self._constant = [True] * m
        self._s0 = np.zeros((m, m))
        self._k = np.zeros((m, n))
        self._r = np.zeros((m, n))
        self._third: dict[str, Vector] | None = (
            {name: np.empty(m) for name in THIRD_MOMENTS} if third_moments else None
        )

    def sums(self, progress: Progress | None) -> Sums:
        """Return the sums of all examples; `InputError` for values that cannot be summed."""
        n, m, rows = self._sources.n_examples, len(self._sources.widths), self._plan.rows
        starts = range(0, n, rows)
        total = m * sum(len(range(start, n, rows)) for start in starts)
        done = 0
        for start in starts:
            stop = min(start + rows, n)
            grams = np.empty((m, stop - start, n - start))
            panels = [(i, other) for i in range(m) for other in range(start, n, rows)]
            reading = read_ahead(self._panel, panels, self._plan.threads)
            for i, other in panels:
                if progress is not None:
                    progress(done, total)
                done += 1
                panel = next(reading)
                if other == start:
                    first = panel
                if start == 0:
                    self._measure(i, other, panel)
                out = grams[i, :, other - start : other - start + len(panel)]
                self._multiply(out, i, first, panel)
                if other == start:
                    self._k[i, start:stop] = out.diagonal()
                    np.einsum("aa->a", out)[...] = 0
                if other + len(panel) == n:
                    del first
                del panel  # the next one needs its memory
            self._add(grams, start, stop)
            del grams
        if progress is not None:
            progress(total, total)
        return self._complete()

    def _panel(self, position: tuple[int, int]) -> NDArray[Any]:
        i, start = position
        stop = min(start + self._plan.rows, self._sources.n_examples)
        return self._sources.panel(i, start, stop)

    def _measure(self, i: int, start: int, panel: NDArray[Any]) -> None:
        """Take what is not a product from rows that are seen for the first time."""
        if start == 0:
            self._references.append(self._reference(i, panel))
            self._columns = ColumnSums(self._sources.widths[i])
        reference, columns = self._references[i], self._columns
        distances = self._distances(i, reference, panel)
        if not np.isfinite(distances).all():
            self._sources.refuse_values()
        self._constant[i] = self._constant[i] and all(
            bool((panel[:, part] == reference.first[part]).all()) for part in self._parts(i)
        )
        is_far = distances > reference.far
        for part in self._parts(i):
            values = reference.about(panel, part)
            columns.add(values[~is_far] if is_far.any() else values, part)
        if is_far.any():
            columns.add_far(reference.about(panel[is_far]), distances[is_far])
        if start + len(panel) == self._sources.n_examples:
            self._terms[i] = columns.terms(self._sources.n_examples)

    def _reference(self, i: int, panel: NDArray[Any]) -> _Reference:
        n = self._sources.n_examples
        # Different rows in no period: every hundredth example may be the first token of a text.
        turns = math.sqrt(2) * np.arange(1, min(n, SAMPLED_ROWS) + 1)
        rows = np.arange(n) if n <= SAMPLED_ROWS else ((turns % 1) * n).astype(np.int64)
        whole = len(panel) == n
        sample = panel[rows] if whole else self._sampled(i, rows)
        center = np.empty(sample.shape[1])
        for part in self._parts(i):
            center[part] = np.median(sample[:, part].astype(np.float64), axis=0)
        spread = self._spread(i, center, panel if whole else sample)
        if spread == 0 and not whole:
            starts = range(0, n, self._plan.rows)
            spread = max(self._spread(i, center, self._panel((i, start))) for start in starts)
        if not np.isfinite(spread):
            self._sources.refuse_values()
        reference = _Reference(center, int(np.frexp(spread)[1]), panel[0].copy(), np.inf)
        typical = float(np.median(self._distances(i, reference, sample)))
        if typical > 0:
            reference.far = FAR_FROM * typical
        return reference

    def _sampled(self, i: int, rows: NDArray[np.int64]) -> NDArray[Any]:
        return np.vstack([self._sources.panel(i, row, row + 1) for row in rows.tolist()])

    def _distances(self, i: int, reference: _Reference, x: NDArray[Any]) -> Vector:
        """Return the squared distances of rows from the centre, scaled."""
        distances = np.zeros(len(x))
        for part in self._parts(i):
            values = reference.about(x, part)
            distances += np.einsum("ab,ab->a", values, values)
        return distances

    def _spread(self, i: int, center: Vector, x: NDArray[Any]) -> float:
        """Return the largest distance of a value from the centre; NaN or infinity if one is."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(max(np.abs(x[:, part] - center[part]).max() for part in self._parts(i)))

    def _parts(self, i: int) -> list[slice]:
        """Return the features of a representation in parts that are converted at once."""
        width = self._sources.widths[i]
        step = self._plan.columns
        return [slice(first, min(first + step, width)) for first in range(0, width, step)]

    def _multiply(self, out: Matrix, i: int, first: NDArray[Any], other: NDArray[Any]) -> None:
        """Fill a block of a Gram matrix with the products of two panels."""
        reference = self._references[i]
        out[...] = 0
        for part in self._parts(i):
            x = reference.about(first, part)
            y = x if other is first else reference.about(other, part)
            out += x @ y.T

    def _add(self, grams: NDArray[np.float64], start: int, stop: int) -> None:
        """Add the entries of a band; those to the right of its diagonal block count twice."""
        m, rows, columns = grams.shape
        self._r[:, start:stop] += grams.sum(axis=2)
        self._r[:, stop:] += grams[:, :, rows:].sum(axis=1)
        step = max(1, ENTRIES_AT_ONCE // columns)
        for begin in range(0, rows, step):
            entries = grams[:, begin : begin + step].reshape(m, -1)
            products = entries @ entries.T
            if columns > rows:
                square = grams[:, begin : begin + step, :rows].reshape(m, -1)
                products = 2 * products - square @ square.T
            self._s0 += products
        if self._third is not None:
            for i, gram in enumerate(grams):
                for name, value in third_moments(gram, self._k[i]).items():
                    self._third[name][i] = value

    def _complete(self) -> Sums:
        k, r, n = self._k, self._r, self._sources.n_examples
        q = r + k
        if not np.isfinite(self._s0).all():
            self._sources.refuse_values()
        near = np.where(k > np.array([[each.far] for each in self._references]), 0, k)
        return Sums(
            n_examples=n,
            s0=self._s0,
            norms=k @ k.T,
            r_products=r @ r.T,
            r_totals=r.sum(axis=1),
            summed=self._s0.diagonal().copy(),
            near_norms=(near**2).sum(axis=1),
            exponent=np.array([each.exponent for each in self._references], np.int32),
            constant=tuple(self._constant),
            products="float64",
            epsilon=EPSILON["float64"],
            q_products=q @ q.T,
            q_totals=q.sum(axis=1),
            column_terms=self._terms,
            third=self._third,
        )


def third_moments(gram: Matrix, k: Vector) -> dict[str, float]:
    """Return the third moments of a Gram matrix; csrc/cpu/third_moments.hpp defines them.

    Parameters
    ----------
    gram
        (n, n), with zeros on its diagonal.
    k
        (n,): its diagonal.
    """
    n = len(k)
    if n < 4:
        return dict.fromkeys(THIRD_MOMENTS, 0.0)
    r = gram.sum(axis=1)
    q = r + k
    weights = k - 2 / n * q  # the diagonal of the centred matrix, up to a constant
    weights -= weights.mean()
    shift = r / (n - 2) - r.sum() / (2 * (n - 1) * (n - 2))
    u = gram - shift
    u -= shift[:, None]
    np.fill_diagonal(u, 0)
    triangles = float(np.einsum("ab,ab->", u @ u, u))
    return {
        "cubes": float(np.einsum("ab,ab,ab->", u, u, u)),
        "triangles": triangles,
        "weighted_squares": float(weights @ np.einsum("ab,ab->a", u, u)),
        "weighted_sum": float(weights @ u @ weights),
        "diagonal_cubes": float((weights**3).sum()),
    }
