"""Statistics of a table of similarities: means by label, trends, and comparisons of pairs.

    from fastcka.stats import block_means, compare_pairs, read_results

    table = read_results("results").where(layer="3", family="PT2")
    block_means(table, by="variant").mean          # also .n and .sem
    compare_pairs(table, same="variant")           # difference, interval, p

All functions select pairs by label, never by position. So models may be missing, and the order of
the rows does not matter. A pair of a model with itself is never part of a mean.
"""

from __future__ import annotations

from fastcka.stats.blocks import BlockMeans, block_means
from fastcka.stats.compare import compare_pairs, compare_values
from fastcka.stats.comparison import PairComparison, PairGroup
from fastcka.stats.matrix import ModelMatrix, model_matrix
from fastcka.stats.order import ordered
from fastcka.stats.table import PairTable, read_results
from fastcka.stats.timeline import TimePoint, timeline
from fastcka.stats.trend import TrendPoint, trend

__all__ = [
    "BlockMeans",
    "ModelMatrix",
    "PairComparison",
    "PairGroup",
    "PairTable",
    "TimePoint",
    "TrendPoint",
    "block_means",
    "compare_pairs",
    "compare_values",
    "model_matrix",
    "ordered",
    "read_results",
    "timeline",
    "trend",
]
