"""What measures need: memory, and predicted seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastcka.core.measures.cross_products import BATCH_BYTES
from fastcka.core.measures.measure import Measure
from fastcka.core.measures.neighbors import PANEL_BYTES
from fastcka.core.measures.rbf import MOST_ROWS, TILE_BYTES

PRODUCTS_PER_SECOND = 40e9
"""Flops per second of products by NumPy in float64, measured on two cores with AVX2."""
DECOMPOSITIONS_PER_SECOND = 10e9
"""Flops per second of singular value decompositions, on the same cores."""
CELLS_PER_SECOND = 200e6
"""Cells per second of what is computed for each cell of n x n: an exponential, the k largest."""


class Cost(NamedTuple):
    """The bytes of a measure in addition to the arrays, and its predicted seconds."""

    bytes: int
    seconds: float


def cost_of(measure: Measure, n: int, widths: Sequence[int]) -> Cost:
    """Return the cost of a measure for n examples and representations of these widths."""
    m, total, widest = len(widths), sum(widths), max(widths)
    copies = 24 * n * widest  # of one representation: its values, a copy, and a temporary
    if measure.name == "cka":
        return Cost(0, 0.0)
    if measure.name == "rbf_cka":
        products = 3.0 * n**2 * total + float(m * n) ** 2
        seconds = products / PRODUCTS_PER_SECOND + 2.0 * m * n**2 / CELLS_PER_SECOND
        tiles = min(TILE_BYTES, 8 * m * min(n, MOST_ROWS) ** 2)
        panel = 8 * n * min(n, MOST_ROWS)
        kept = 8 * n * total + copies + 4 * n**2  # with the distances of one representation
        return Cost(kept + 2 * max(tiles, panel), seconds)
    if measure.k is not None:
        cells = m * float(n) ** 2 / CELLS_PER_SECOND
        looked_up = float(m) ** 2 * n * measure.k / CELLS_PER_SECOND
        seconds = 2.0 * n**2 * total / PRODUCTS_PER_SECOND + cells + looked_up
        return Cost(copies + 3 * min(PANEL_BYTES, 8 * n**2) + 16 * m * n * measure.k, seconds)
    ranks = [min(n, width) for width in widths]
    kept = 8 * sum(n * rank for rank in ranks)
    products = sum(float(n) * a * b for a in ranks for b in ranks)
    each = 2.4 if measure.name == "pwcca" else 1.3  # with variates; of values alone
    decomposed = sum(each * min(a, b) ** 2 * max(a, b) for a in ranks for b in ranks)
    if measure.name != "procrustes":  # the bases
        decomposed += sum(3.0 * max(n, d) * min(n, d) ** 2 for d in widths)
        copies *= 2
    if measure.name == "pwcca":
        kept += 8 * sum(rank * width for rank, width in zip(ranks, widths, strict=True))
    seconds = products / PRODUCTS_PER_SECOND + decomposed / DECOMPOSITIONS_PER_SECOND
    batch = min(BATCH_BYTES, 8 * m * max(ranks) ** 2)
    return Cost(kept + copies + 3 * batch, seconds)


def total_cost(measures: Sequence[Measure], n: int, widths: Sequence[int]) -> Cost:
    """Return the cost of all measures, which are computed one after the other."""
    costs = [cost_of(measure, n, widths) for measure in measures]
    return Cost(
        max((cost.bytes for cost in costs), default=0) + 8 * len(costs) * len(widths) ** 2,
        sum(cost.seconds for cost in costs),
    )
