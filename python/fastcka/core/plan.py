"""From shapes to a plan of the pass: route, tile, memory, predicted flops. Pure.

Nothing here depends on the number of threads that changes a bit of the result: tiles and chunks are
fixed by the problem and the implementation of the inner loops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from fastcka.core.cost import Speed, feature_work, gram_work
from fastcka.core.implementation import Implementation, Panels, Products

Route = Literal["G", "F"]
Precision = Literal["high", "fast", "float64"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

MIB = 1 << 20

#: Float32 values in a cache line; both extents of a staged buffer are multiples of it.
STAGING_LANES = 16

#: Bytes of all threads' workspaces; threads are given up to stay within it, or within an eighth of
#: the centred copy, where that is more.
WORKSPACE_LIMIT = 64 * MIB
#: All Gram tiles of one step together should stay in a core's L2 cache.
TILE_BYTES = 1 * MIB
#: Examples between float64 sums of the features route.
CHUNK = 256
#: Up to so many examples, products run in float64 at any precision: the sums are short, so the
#: rounding of the data shows (with 4 to 8 examples, float32 gives unbiased CKA errors of 2e-5).
FEW_EXAMPLES = 64
#: The same for a pass of fewer flops than this (by the cheaper route): it takes less than a
#: millisecond.
FEW_FLOPS = 2e7
#: From so many features on, a float32 sum over them is too long (errors of 1e-6 at 3 million).
MANY_FEATURES = 1_000_000
#: From so many features per pair of examples on, too: the unbiased self-HSIC of d independent
#: features is the difference of sums that are 1 + d/n^2 times as large.
MANY_FEATURES_PER_PAIR = 8
#: A chunk of the widest representation, before it is rearranged.
CHUNK_BYTES = 4 * MIB
#: Panels that are centred at once, where they are not centred in place.
STRIP_PANELS = 16
#: Most steps of one product in routes G and F; see csrc/cpu/gram.cpp and features.cpp.
GRAM_STEPS = 128
FEATURE_STEPS = 64
#: Below this many flops, starting threads costs more than it saves.
SERIAL_FLOPS = 2e7
#: What a flop costs, in those of float32 products, when routes are compared: fixed, not measured,
#: so that a problem has one route on all machines of a kind.
FLOP_COST: dict[Products, float] = {
    "float32": 1.0,
    "float64": 2.0,
    "bfloat16": 0.5,
}
#: A flop of the rank update waits for memory.
RANK_COST = 1.5
#: A flop of the features route, beside its product, pays for the float64 sums of each chunk.
FEATURE_COST = 1.05


@dataclass(frozen=True)
class PassPlan:
    """How one pass will run on the CPU, and what it will cost.

    Flops count a multiply-add as two; seconds are a prediction, from how fast the inner loops were
    measured to run in this process.
    """

    route: Route
    tile: int
    chunk: int
    precision: Precision
    products: Products
    in_place: bool
    implementation: str
    threads: int
    n_examples: int
    n_features: tuple[int, ...]
    flops: float
    flops_gram: float
    flops_features: float
    bytes_inputs: int
    bytes_centered: int
    bytes_workspace: int
    bytes_results: int
    seconds: float
    reason: str

    def explain(self) -> str:
        """The plan in words, a fact a line."""
        m, total = len(self.n_features), sum(self.n_features)
        names = {"G": "Gram tiles", "F": "features"}
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return "\n".join(
            (
                f"{m} representations of {self.n_examples} examples, {total} features in all",
                f"route {self.route} ({names[self.route]}), tile {self.tile}: {self.reason}",
                f"{self.flops / 1e9:.3g} Gflop (route G {self.flops_gram / 1e9:.3g}, "
                f"route F {self.flops_features / 1e9:.3g}), "
                f"{self.products} products, {self.implementation}, {threads}",
                f"{self.seconds:.2g} s predicted",
                f"memory: inputs {self.bytes_inputs / MIB:.1f} MiB, "
                f"centred copy {self.bytes_centered / MIB:.1f} MiB, "
                f"workspace {self.bytes_workspace / MIB:.1f} MiB, "
                f"sums {self.bytes_results / MIB:.1f} MiB",
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-able values."""
        return {**asdict(self), "n_features": list(self.n_features)}


def make_plan(
    n_examples: int,
    n_features: Sequence[int],
    *,
    itemsizes: Sequence[int],
    implementation: Implementation,
    speed_of: Callable[[Panels, int], Speed],
    threads: int,
    precision: Precision = "high",
    staged: bool = False,
) -> PassPlan:
    """Plan a pass over representations of ``n_examples`` rows and the given widths.

    Parameters
    ----------
    itemsizes
        Bytes of one value of each representation as it lies in memory.
    speed_of
        How fast products are on a number of threads; it decides nothing but `seconds`.
    threads
        Threads to be had; fewer are planned for tiny passes, and where each thread's workspace
        would break `WORKSPACE_LIMIT`.
    staged
        All representations lie in staged buffers, which float32 panels of one cache line
        can be centred in.
    """
    n, m, total = n_examples, len(n_features), sum(n_features)
    panels, why = _choose_products(n, n_features, precision, implementation)
    padded = [_round_up(d, panels.lanes) for d in n_features]

    flops_gram = float(n) ** 2 * total + float(m * n) ** 2 / 2
    flops_features = float(n) * float(sum(padded)) ** 2
    wide = panels.products == "float64"
    cost_gram = FLOP_COST[panels.products] * float(n) ** 2 * total
    cost_gram += RANK_COST * (2.0 if wide else 1.0) * float(m * n) ** 2 / 2
    cost_features = FEATURE_COST * FLOP_COST[panels.products] * flops_features
    route: Route = "F" if cost_features < cost_gram else "G"
    flops = flops_gram if route == "G" else flops_features

    item = 8 if wide else 4  # of a sum, and of a centred value before it is packed
    in_place = not wide and panels.lanes == STAGING_LANES
    rows = _round_up(n, panels.lanes)
    value_bytes = panels.cell_bytes // panels.values
    chunk = max(panels.lanes, min(CHUNK, CHUNK_BYTES // (item * max(n_features)) // 2 * 2))
    strip = max(n_features) if staged and in_place else STRIP_PANELS * panels.lanes
    strip = min(strip, max(n_features))
    if route == "G":
        tile = _tile(rows, m * item, panels.step)
        centered = sum(rows * _round_up(d, panels.values) for d in n_features) * value_bytes
        per_thread = (m * tile**2 + panels.lanes * strip) * item
        work, steps, arranged_steps = gram_work, GRAM_STEPS, GRAM_STEPS
    else:
        tile = _tile(sum(padded), 8, panels.step)
        centered = sum(_round_up(n, panels.values) * d for d in padded) * value_bytes
        per_thread = tile**2 * 8 + (panels.step * panels.lanes + chunk * strip) * item
        work, steps = feature_work, FEATURE_STEPS
        arranged_steps = _round_up(chunk // panels.values, 16)
    if panels.arranged:
        per_thread += tile * arranged_steps * panels.cell_bytes
    limit = max(WORKSPACE_LIMIT, centered // 8)
    used = 1 if flops < SERIAL_FLOPS else min(threads, max(1, limit // per_thread))
    # Partial sums (one in work and two waiting, a thread) and the column statistics, which end
    # before the products begin.
    partial_sum = m * m * (8 if route == "G" else 16)
    workspace = max(used * (per_thread + 3 * partial_sum), _statistics_bytes(n, total))

    cheaper, dearer = sorted((cost_features, cost_gram))
    other = "F" if route == "G" else "G"
    reason = f"route {other} would cost {dearer / cheaper:.3g} times as much"
    if used < threads and flops >= SERIAL_FLOPS:
        reason += f"; {used} of {threads} threads, to stay within {limit // MIB} MiB"
    reason += why
    return PassPlan(
        route=route,
        tile=tile,
        chunk=chunk,
        precision=precision,
        products=panels.products,
        in_place=in_place,
        implementation=implementation.name,
        threads=used,
        n_examples=n,
        n_features=tuple(n_features),
        flops=flops,
        flops_gram=flops_gram,
        flops_features=flops_features,
        bytes_inputs=sum(n * d * size for d, size in zip(n_features, itemsizes, strict=True)),
        bytes_centered=0 if staged and in_place else centered,
        bytes_workspace=workspace,
        # k, and q where there are far examples (csrc/hsic.hpp)
        bytes_results=2 * m * n * 8 + 2 * m * m * 8,
        seconds=work(n, n_features, panels, steps).seconds(speed_of(panels, used), used),
        reason=reason,
    )


def _choose_products(
    n: int, n_features: Sequence[int], precision: Precision, implementation: Implementation
) -> tuple[Panels, str]:
    """The products, and the reason if the precision alone does not give them."""
    m, total, widest = len(n_features), sum(n_features), max(n_features)
    wide = implementation.float64
    if precision == "float64":
        return wide, ""
    if n <= FEW_EXAMPLES:
        return wide, f"; float64 for {FEW_EXAMPLES} examples or fewer"
    if min(float(n) ** 2 * total + float(m * n) ** 2 / 2, n * float(total) ** 2) < FEW_FLOPS:
        return wide, f"; float64 below {FEW_FLOPS / 1e6:.0f} Mflop"
    if widest > MANY_FEATURES:
        return wide, f"; float64 beyond {MANY_FEATURES:,} features"
    if widest > MANY_FEATURES_PER_PAIR * n**2:
        return wide, f"; float64 beyond {MANY_FEATURES_PER_PAIR} features a pair of examples"
    if precision == "high":
        return implementation.float32, ""
    if implementation.fast is None:
        why = f"; precision fast is high here: {implementation.name} has nothing faster"
        return implementation.float32, why
    return implementation.fast, ""


def _round_up(count: int, multiple: int) -> int:
    return math.ceil(count / multiple) * multiple


def _statistics_bytes(n_examples: int, total: int) -> int:
    """Sum, minimum and maximum of each column of each block of rows; see csrc/cpu/columns.cpp."""
    most = min(max((16 * MIB) // (24 * total), 1), 64)
    block_rows = max(1024, math.ceil(n_examples / most))
    return math.ceil(n_examples / block_rows) * total * 24


def _tile(extent: int, bytes_per_entry: int, step: int) -> int:
    """The largest of 4, 3, 2, 1 steps that fits the L2 cache and leaves tiles to share."""
    for multiple in (4, 3, 2):
        tile = multiple * step
        if tile**2 * bytes_per_entry <= TILE_BYTES and tile * 8 <= extent:
            return tile
    return step
