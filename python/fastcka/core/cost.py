"""How long a pass on the CPU will take, from its plan and from how fast the inner loops run here.

Nothing here chooses a route, a tile or anything else that changes a bit of what the CPU computes.
Where there is a GPU, device "auto" compares its prediction with this one, unless the pass is so
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
#: A call without its pass: checking arguments, labels, formulas, the result.
CALL_SECONDS = 3e-4
#: Until a second thread is at work.
THREAD_SECONDS = 4e-4
#: An example of a representation, however few its features.
ROW_SECONDS = 2e-8
#: Of one thread, on any processor: flops a second, and bytes a second of input that is prepared.
SLOWEST_FLOPS = 5e9
SLOWEST_BYTES = 1e9


@dataclass(frozen=True)
class Speed:
    """What `_core.measure_speed` measured, of all threads together but for `call`.

    Attributes
    ----------
    steps
        Steps of whole micro-tiles, a second.
    call
        Seconds of one thread that a product takes in addition to its steps.
    rank
        Multiply-adds of the rank update, a second.
    statistics, center
        Values a second: column statistics; centred and packed.
    """

    steps: float
    call: float
    rank: float
    statistics: float
    center: float


@dataclass(frozen=True)
class Operations:
    """What a pass does, counted in the units of `Speed`.

    Attributes
    ----------
    steps, calls
        Of products.
    rank
        Multiply-adds of rank updates, those of the norms in the same units.
    rows, values
        Of all representations.
    """

    steps: float
    calls: float
    rank: float
    rows: float
    values: float

    def seconds(self, speed: Speed, threads: int) -> float:
        """The prediction for a call of `fastcka.compare`."""
        fixed = CALL_SECONDS + (THREAD_SECONDS if threads > 1 else 0.0)
        prepare = self.values / speed.statistics + self.values / speed.center
        prepare += self.rows * ROW_SECONDS / threads
        products = self.steps / speed.steps + self.calls * speed.call / threads
        return fixed + prepare + products + self.rank / speed.rank


def most_seconds(flops: float, bytes_inputs: float) -> float:
    """What a call of `fastcka.compare` takes at most, on any processor."""
    return CALL_SECONDS + flops / SLOWEST_FLOPS + bytes_inputs / SLOWEST_BYTES


def count_gram(
    n: int, n_features: Sequence[int], shape: ProductShape, product_steps: int
) -> Operations:
    """The operations of route G: every micro-tile of the upper triangle for each representation."""
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
    """The operations of route F: every micro-tile of the upper triangle of the stacked features."""
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
    """Entries of the micro-tiles that reach to or above the diagonal."""
    side = round_up(side, shape.lanes)
    groups, rest = divmod(side, shape.step)  # of columns; each with all rows up to its end
    return shape.step**2 * groups * (groups + 1) / 2 + rest * side


def _norms(n: int, m: int) -> float:
    return FLOAT64_COST * n * m * (m + 1) / 2
