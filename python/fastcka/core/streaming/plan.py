"""The plan of a pass in blocks of rows: route, rows of a block, memory, and reads.

Route F adds the products of all features of a block, D x D, and reads the data once. Route G needs
the Gram matrices of all representations at the same pairs of examples. It computes a band of their
rows at a time: for each representation the panel of the band is multiplied with the panels from it
on. So band b of B reads the data from its first row on, and all bands read (B + 1)/2 times the
data. One band reads them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastcka.core.backend import most_far
from fastcka.core.base_plan import MIB, Plan, Precision, Route, ceil_div
from fastcka.core.column_terms import MOST_FAR
from fastcka.core.far_moments import FIRST, MOST_KEPT
from fastcka.core.memory import ESTIMATE_MATRICES, additional_bytes
from fastcka.core.moments import Moments
from fastcka.errors import OutOfMemoryError
from fastcka.memory import FreeMemory, size_text

#: Assumed rates, to choose a route: float64 products, and a disk or the page cache.
FLOPS_PER_SECOND = 4e10
BYTES_PER_SECOND = 1e9
#: Of Python, for each panel or block.
SECONDS_PER_BLOCK = 3e-4
#: Float64 copies of a block that route F needs, with the block that is read ahead.
BLOCK_COPIES = 8
#: Bytes of a block in float64: larger ones leave the caches, and are no faster.
BLOCK_BYTES = 4 * MIB
#: Matrices (M, M) of a pass.
SUM_MATRICES = 8
#: Fewest rows of a block or a band: with fewer, Python takes most of the time.
LEAST_BAND = 16
#: Bytes of the features of two panels that route G converts to float64 at once.
CONVERTED_BYTES = 32 * MIB
LEAST_COLUMNS = 64
#: Entries of each Gram matrix that one product sums: longer sums round more.
ENTRIES_AT_ONCE = 1 << 15
#: Rows from which route G takes its centre.
SAMPLED_ROWS = 25


@dataclass(frozen=True, kw_only=True)
class StreamPlan(Plan):
    """How a pass in blocks of rows will run on the CPU, and its predicted cost.

    Attributes
    ----------
    rows
        Examples of a block (route F), or of a band of Gram matrices (route G).
    columns
        Features of two panels that route G converts to float64 at once.
    reads
        How often the data are read, on average.
    """

    rows: int
    columns: int
    reads: float

    @property
    def seconds(self) -> float:
        """The predicted seconds, by assumed rates of products and of reading."""
        bands = ceil_div(self.n_examples, self.rows)
        blocks = bands if self.route == "F" else len(self.n_features) * bands * (bands + 1) / 2
        reading = self.reads * self.bytes_inputs / BYTES_PER_SECOND
        return self.flops / FLOPS_PER_SECOND + reading + blocks * SECONDS_PER_BLOCK

    @property
    def bytes_needed(self) -> int:
        """The bytes that the pass needs."""
        return additional_bytes(self)

    @property
    def _processor(self) -> str:
        return self.implementation

    def explain(self) -> str:
        """Return the plan as text, one fact per line."""
        m, total = len(self.n_features), sum(self.n_features)
        how = (
            f"route F (features) in blocks of {self.rows:,} examples"
            if self.route == "F"
            else f"route G (Gram matrices) in bands of {self.rows:,} examples"
        )
        return "\n".join(
            (
                f"{m} representations of {self.n_examples} examples, {total} features in all",
                f"{how}: {self.reason}",
                f"the data ({size_text(self.bytes_inputs)}) are read {times_text(self.reads)}",
                f"{self.flops / 1e9:.3g} Gflop (route G {self.flops_gram / 1e9:.3g}, "
                f"route F {self.flops_features / 1e9:.3g}), "
                f"{self.products} products, {self._processor}",
                f"memory: {size_text(self.bytes_needed)}",
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as values for JSON."""
        return {**super().to_dict(), "bytes_needed": self.bytes_needed}


def times_text(reads: float) -> str:
    """Return how often data are read as text."""
    return "once" if reads == 1 else f"{reads:.3g} times"


def plan_stream(
    n_examples: int,
    n_features: Sequence[int],
    *,
    itemsizes: Sequence[int],
    budget: FreeMemory,
    bytes_in_memory: int,
    precision: Precision,
    threads: int,
    third_moments: bool = False,
) -> StreamPlan:
    """Plan a pass in blocks of rows within a memory budget.

    Parameters
    ----------
    itemsizes
        Bytes of one value of each representation as it is read.
    bytes_in_memory
        What the pass in memory would need, for the messages.
    threads
        With 2 or more, the next block is read while one is computed.
    third_moments
        Whether third moments are computed: that takes whole Gram matrices.

    Raises
    ------
    OutOfMemoryError
        If no route fits the budget.
    """
    n, m, total = n_examples, len(n_features), sum(n_features)
    widest = max(d * size for d, size in zip(n_features, itemsizes, strict=True))
    results = 8 * m * m * SUM_MATRICES
    finishing = results + 8 * m * m * ESTIMATE_MATRICES
    left = budget.bytes - finishing
    common: dict[str, Any] = {
        "chunk": 0,
        "precision": precision,
        "products": "float64",
        "implementation": f"numpy {np.__version__}",
        "threads": min(threads, 2),
        "n_examples": n,
        "n_features": tuple(n_features),
        "flops_gram": float(n) ** 2 * total + float(m * n) ** 2 / 2,
        "flops_features": float(n) * float(total) ** 2,
        "bytes_inputs": n * sum(d * size for d, size in zip(n_features, itemsizes, strict=True)),
        "bytes_centered": 0,
        "bytes_results": results,
        "device_reason": "blocks of rows are computed on it",
    }

    def planned(
        route: Route, rows: int, reads: float, workspace: int, columns: int = 0
    ) -> StreamPlan:
        flops = common["flops_features" if route == "F" else "flops_gram"]
        return StreamPlan(
            route=route,
            tile=rows,
            rows=rows,
            columns=columns,
            reads=reads,
            flops=flops,
            bytes_workspace=workspace,
            reason="",
            **common,
        )

    plans = []
    kept = min(MOST_KEPT, max(FIRST, most_far(n)))
    fixed = Moments.bytes_of(n_features) + 2 * 8 * kept * total
    row = BLOCK_COPIES * 8 * total + widest
    rows = min(n, max(LEAST_BAND, BLOCK_BYTES // (8 * total)), (left - fixed) // row)
    least = fixed + min(n, LEAST_BAND) * row
    if rows >= min(n, LEAST_BAND) and not third_moments:
        plans.append(planned("F", rows, 1.0, fixed + rows * row))
    for used in {min(threads, 2), 1}:
        need = _BandBytes(n, tuple(n_features), widest, used, left)
        rows = need.most_rows()
        if rows >= (n if third_moments else min(n, LEAST_BAND)):
            plan = planned("G", rows, _reads(n, rows), need(rows), need.columns(rows))
            plans.append(replace(plan, threads=used))
    least_gram = need(n if third_moments else min(n, LEAST_BAND))
    needs = f"in memory the group needs {size_text(bytes_in_memory)}"
    may = f"{size_text(budget.bytes)} may be used ({budget.limit})"
    if not plans:
        smallest = least_gram if third_moments else min(least, least_gram)
        what = (
            " with p-values (inference), which need whole Gram matrices," if third_moments else ""
        )
        remedy = "leave out inference, " if third_moments else ""
        raise OutOfMemoryError(
            f"comparing {m:,} representations of {n:,} examples{what} needs at least "
            f"{size_text(smallest + finishing)} in blocks of rows ({needs}), and {may}: {remedy}"
            "compare fewer or narrower representations at once, or raise memory"
        )
    chosen = min(plans, key=lambda plan: plan.seconds)
    return replace(chosen, reason=f"{needs}, and {may}")


def _reads(n: int, rows: int) -> float:
    """Return how often bands of ``rows`` Gram rows read the data, on average."""
    return sum(n - start for start in range(0, n, rows)) / n


@dataclass(frozen=True)
class _BandBytes:
    """The bytes of route G by the rows of a band."""

    n_examples: int
    n_features: tuple[int, ...]
    widest: int
    threads: int
    left: int

    def columns(self, rows: int) -> int:
        """Return how many features of two panels are converted to float64 at once."""
        most = min(CONVERTED_BYTES, self.left // 8)
        return min(max(self.n_features), max(LEAST_COLUMNS, most // (4 * 8 * rows)))

    def __call__(self, rows: int) -> int:
        n, m, most_features = self.n_examples, len(self.n_features), max(self.n_features)
        panels = (1 if rows == n else 2) + (self.threads > 1)
        converted = 4 * 8 * rows * self.columns(rows)
        # The Gram matrices, with temporary ones (of third moments, of products of two panels).
        grams = m * rows * n * 8 + 3 * rows * rows * 8
        entries = 2 * 8 * m * min(max(ENTRIES_AT_ONCE, n), rows * n)
        # Centres and first rows of all; of one, the sampled rows, sums of powers and far rows.
        single = SAMPLED_ROWS + 4 + 3 * MOST_FAR
        features = 8 * (2 * sum(self.n_features) + single * most_features)
        return grams + entries + panels * rows * self.widest + converted + features

    def most_rows(self) -> int:
        """Return the most rows within the bytes that are left, or 0."""
        if self(self.n_examples) <= self.left:
            return self.n_examples
        low, high = 0, self.n_examples - 1  # bytes grow with the rows
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self(middle) <= self.left else (low, middle - 1)
        # Equal bands read no more, and need less memory.
        return ceil_div(self.n_examples, ceil_div(self.n_examples, low)) if low else 0
