"""The predicted time of a pass on the CPU, from its plan and the measured speed of the inner loops.

The prediction does not choose a route, a tile or anything else that changes the bits of a result.
On a machine with a GPU, device "auto" compares its prediction with this one, unless the pass is so
small that `most_seconds` decides without a measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.core.base_plan import ceil_div, round_up

if TYPE_CHECKING:
    from fastcka.core.backend import ProductShape

#: The products of norms are of float64.
FLOAT64_COST = 2.0
#: Seconds of a call without its pass: arguments, labels, formulas, the result.
CALL_SECONDS = 6e-5
#: Seconds until a second thread starts to work.
THREAD_SECONDS = 4e-4
#: Seconds of an example of a representation with any number of features.
ROW_SECONDS = 2e-8
#: Lowest rates of one thread on any processor: flops per second, and bytes of input per second.
SLOWEST_FLOPS = 5e9
SLOWEST_BYTES = 1e9


@dataclass(frozen=True)
class Speed:
    """The result of `_core.measure_speed`; for all threads together except `call`.

    Attributes
    ----------
    steps
        Steps of whole micro-tiles per second.
    call
        Seconds of one thread for a product in addition to its steps.
    rank
        Multiply-adds of the rank update per second.
    statistics, center
        Values per second: column statistics, read from memory; centring and packing, with the
        powers of the columns.
    entries
        Gram entries per second whose third moments are taken.
    """

    steps: float
    call: float
    rank: float
    statistics: float
    center: float
    entries: float


@dataclass(frozen=True)
class Operations:
    """The work of a pass, in the units of `Speed`.

    Attributes
    ----------
    steps, calls
        Of products.
    rank
        Multiply-adds of rank updates, including those of the norms.
    rows, values
        Of all representations.
    """

    steps: float
    calls: float
    rank: float
    rows: float
    values: float

    def seconds(self, speed: Speed, threads: int) -> float:
        """Return the predicted seconds of a call of `fastcka.compare`."""
        fixed = CALL_SECONDS + (THREAD_SECONDS if threads > 1 else 0.0)
        prepare = self.values / speed.statistics + self.values / speed.center
        prepare += self.rows * ROW_SECONDS / threads
        products = self.steps / speed.steps + self.calls * speed.call / threads
        return fixed + prepare + products + self.rank / speed.rank


def most_seconds(flops: float, bytes_inputs: float) -> float:
    """Return an upper bound of the seconds of a call of `fastcka.compare` on any processor."""
    return 5 * CALL_SECONDS + flops / SLOWEST_FLOPS + bytes_inputs / SLOWEST_BYTES


def count_gram(
    n: int, n_features: Sequence[int], shape: ProductShape, product_steps: int
) -> Operations:
    """Return the operations of route G: for each representation, the upper triangle."""
    m, area = len(n_features), _triangle(n, shape)
    depths = [ceil_div(d, shape.values) for d in n_features]
    micro_tiles = area / (shape.rows * shape.step)
    return Operations(
        steps=micro_tiles * sum(depths),
        calls=micro_tiles * sum(ceil_div(depth, product_steps) for depth in depths),
        rank=area * m * (m + 1) / 2 + _norms(n, m),
        rows=float(n) * len(n_features),
        values=float(n) * sum(n_features),
    )


def count_features(
    n: int, n_features: Sequence[int], shape: ProductShape, product_steps: int
) -> Operations:
    """Return the operations of route F: the upper triangle of the stacked features."""
    padded = sum(round_up(d, shape.lanes) for d in n_features)
    steps = ceil_div(n, shape.values)
    micro_tiles = _triangle(padded, shape) / (shape.rows * shape.step)
    return Operations(
        steps=micro_tiles * steps,
        calls=micro_tiles * ceil_div(steps, product_steps),
        rank=_norms(n, len(n_features)),
        rows=float(n) * len(n_features),
        values=float(n) * sum(n_features),
    )


def _triangle(side: int, shape: ProductShape) -> float:
    """Return the number of entries in the micro-tiles that reach the diagonal or lie above it."""
    side = round_up(side, shape.lanes)
    groups, rest = divmod(side, shape.step)  # of columns; each with all rows up to its end
    above = shape.step**2 * groups * (groups - 1) / 2 + rest * (side - rest)
    return above + groups * _on_diagonal(shape.step, shape) + _on_diagonal(rest, shape)


def _on_diagonal(side: int, shape: ProductShape) -> float:
    """Return the same of a square on the diagonal; rows omit the panels below it."""
    return sum(
        min(shape.rows, side - row) * (side - row // shape.lanes * shape.lanes)
        for row in range(0, side, shape.rows)
    )


def _norms(n: int, m: int) -> float:
    return FLOAT64_COST * n * m * (m + 1) / 2
