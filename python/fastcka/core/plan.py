"""The plan of a pass on the CPU, from shapes alone: route, tile, memory, flops.

The number of threads does not change the bits of a result: the problem and the implementation of
the inner loops determine tiles and chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastcka.core.base_plan import (
    FEW_EXAMPLES,
    MANY_FEATURES,
    MANY_FEATURES_PER_PAIR,
    MIB,
    Plan,
    Precision,
    Route,
    round_up,
)
from fastcka.core.cost import Speed, count_features, count_gram
from fastcka.core.implementation import Implementation
from fastcka.core.moment_cost import plan_moments

if TYPE_CHECKING:
    from fastcka.core.backend import ProductShape

#: Bytes of all threads' workspaces; threads are given up to stay within it, or within an eighth of
#: the centred copy, where that is more.
WORKSPACE_LIMIT = 64 * MIB
#: All Gram tiles of one step together should stay in a core's L2 cache.
TILE_BYTES = 1 * MIB
#: Examples between float64 sums of the features route.
CHUNK = 256
#: A chunk of the widest representation, before it is rearranged.
CHUNK_BYTES = 4 * MIB
#: Of wide data, copies of at most this many bytes are centred at once, and all threads multiply
#: them. The products then read from the caches, and the pass needs few new pages.
BATCH_BYTES = 64 * MIB
#: Below this many flops, starting threads costs more than it saves.
SERIAL_FLOPS = 2e7
#: A pass of fewer flops (by the cheaper route) runs in float64: it takes some ten microseconds
#: longer. In passes of up to 20 times as many, float32 products gave CKA errors of up to 5e-7
#: (one-hot, integer and heavy-tailed data; typically 1e-8).
FEW_FLOPS = 1e6
#: Below this many flops, the products are a small part of a pass: "fast" would gain nothing.
FAST_FLOPS = 2e7
#: What a flop costs, in those of float32 products, when routes are compared: fixed, not measured,
#: so that a problem has one route on all machines of a kind.
FLOP_COST = {"float32": 1.0, "float64": 2.0, "bfloat16x3": 0.7, "bfloat16": 0.5}
#: A precision takes products of bfloat16 only if they run this many times as fast as those of
#: float32. A processor has a gain of about 2 or of about 1.
LEAST_GAIN = 1.3
#: A pass of fewer flops does not pay for matrix tiles: a form for them, and their state.
TILES_FLOPS = 2e9
#: With fewer examples or features, the tiles of the plane are so small that to arrange their
#: operands takes too much of the time.
TILES_EXTENT = 672
#: With matrix tiles, larger tiles of the plane gain more than Gram tiles in the L2 cache.
TILES_BYTES = 12 * MIB
#: A flop of the rank update waits for memory.
RANK_COST = 1.5
#: A flop of the features route pays for its share of the float64 sums of each chunk.
FEATURE_COST = 1.05

#: Bytes of a pass by purpose, as the compiled module needs them: `_core.bytes_needed`.
BytesNeeded = Callable[..., dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class PassPlan(Plan):
    """How a pass will run on the CPU, and its predicted cost.

    Flops count a multiply-add as two.

    Attributes
    ----------
    in_place
        Whether staged representations are centred in their buffers.
    batch
        Representations that are centred at once; 0: all. With a batch, `bytes_centered` counts its
        copies and the Gram tiles of all representations.
    moment_routes
        Empty without third moments, which p-values need. With them, "G" for each representation
        whose sums of cubes come from Gram tiles, and "F" for those from features. `flops` and
        `seconds` include third moments; `flops_gram` and `flops_features` do not.
    subsets
        Number of subsets of the examples whose sums are computed too.
    predict
        Computes `seconds`.
    """

    in_place: bool
    batch: int
    moment_routes: tuple[Route, ...]
    subsets: int
    predict: Callable[[], float] = field(repr=False, compare=False)

    @property
    def seconds(self) -> float:
        """The predicted seconds of a call of `fastcka.compare` that runs this pass.

        The first prediction for an implementation, products and threads measures the inner loops
        for some 20 ms. Only predictions that are used are made.
        """
        return self.predict()

    @property
    def third_moments(self) -> bool:
        """Whether the pass also computes third moments."""
        return bool(self.moment_routes)

    @property
    def _processor(self) -> str:
        return f"{self.implementation}, {self.threads} thread{'s' * (self.threads != 1)}"


def make_plan(
    n_examples: int,
    n_features: Sequence[int],
    *,
    itemsizes: Sequence[int],
    implementation: Implementation,
    speed_of: Callable[[ProductShape, int], Speed],
    gain_of: Callable[[str, str], float],
    bytes_needed: BytesNeeded,
    threads: int,
    precision: Precision = "high",
    staged: bool = False,
    device_reason: str = "",
    third_moments: bool = False,
    subsets: int = 0,
) -> PassPlan:
    """Plan a pass over representations of ``n_examples`` rows and the given widths.

    Parameters
    ----------
    itemsizes
        Bytes of one value of each representation in the caller's memory.
    speed_of
        How fast products are on a number of threads. Only `seconds` calls it.
    gain_of
        How many times as fast as those of float32 the named products of an implementation run;
        called only where the plan depends on it.
    bytes_needed
        Returns the memory of a pass, by the compiled module.
    threads
        The largest number of threads. The plan has fewer for tiny passes, and if the workspaces of
        all threads would exceed `WORKSPACE_LIMIT`.
    staged
        All representations are in staged buffers, in which float32 panels of one cache line
        can be centred.
    third_moments, subsets
        As in `PassPlan`. Examples are sorted by subset, so that staged buffers are copied.
    """
    n, m, total = n_examples, len(n_features), sum(n_features)
    shape, why = _choose_products(n, n_features, precision, implementation, gain_of)
    stacked = sum(round_up(d, shape.lanes) for d in n_features)

    flops_gram = float(n) ** 2 * total + float(m * n) ** 2 / 2
    flops_features = float(n) * float(stacked) ** 2
    wide = shape.products == "float64"
    cost = FLOP_COST[shape.products]
    cost_gram = cost * float(n) ** 2 * total
    cost_gram += RANK_COST * (2.0 if wide else 1.0) * float(m * n) ** 2 / 2
    cost_features = FEATURE_COST * cost * flops_features
    route: Route = "F" if cost_features < cost_gram else "G"
    flops = flops_gram if route == "G" else flops_features
    moments = plan_moments(
        n, n_features if third_moments else (), route, cost, shape, implementation
    )
    flops += moments.work.flops

    item = shape.sum_bytes
    chunk = max(shape.lanes, min(CHUNK, CHUNK_BYTES // (item * max(n_features)) // 2 * 2))
    if route == "G":
        tile = _tile(round_up(n, shape.lanes), m * item, shape)
    else:
        tile = _tile(stacked, 8 * (subsets + 2 if subsets else 1), shape)
    in_place = staged and shape.in_place and not subsets
    options = {
        "route": route,
        "tile": tile,
        "chunk": chunk,
        "in_place": in_place,
        "moment_routes": moments.routes,
        "subsets": subsets,
        "shape": shape,
    }
    needed = bytes_needed(n, list(n_features), batch=0, **options)
    batch = 0
    if route == "G" and not in_place and needed["centered"] > BATCH_BYTES:
        fit = max(1, BATCH_BYTES * m // needed["centered"])
        batched = bytes_needed(n, list(n_features), batch=fit, **options)
        if 2 * batched["centered"] < needed["centered"]:
            batch, needed = fit, batched
    limit = max(WORKSPACE_LIMIT, needed["centered"] // 8)
    used = 1 if flops < SERIAL_FLOPS else min(threads, max(1, limit // needed["thread"]))
    # The statistics end before the products begin.
    workspace = max(used * (needed["thread"] + needed["sums"]), needed["statistics"])

    cheaper, dearer = sorted((cost_features, cost_gram))
    other = "F" if route == "G" else "G"
    reason = f"route {other} would cost {dearer / cheaper:.3g} times as much"
    if used < threads and flops >= SERIAL_FLOPS:
        reason += f"; {used} of {threads} threads, to stay within {limit // MIB} MiB"
    reason += why + moments.reason
    count = count_gram if route == "G" else count_features
    operations = count(n, n_features, shape, implementation.product_steps[route])
    return PassPlan(
        route=route,
        tile=tile,
        chunk=chunk,
        precision=precision,
        products=shape.products,
        in_place=shape.in_place and not subsets,
        batch=batch,
        moment_routes=moments.routes,
        subsets=subsets,
        implementation=implementation.name,
        threads=used,
        n_examples=n,
        n_features=tuple(n_features),
        flops=flops,
        flops_gram=flops_gram,
        flops_features=flops_features,
        bytes_inputs=sum(n * d * size for d, size in zip(n_features, itemsizes, strict=True)),
        bytes_centered=0 if in_place else needed["centered"],
        bytes_workspace=workspace,
        bytes_results=needed["results"],
        predict=lambda: (
            operations.seconds(speed_of(shape, used), used) + moments.seconds(speed_of, used)
        ),
        reason=reason,
        device_reason=device_reason,
    )


def _choose_products(
    n: int,
    n_features: Sequence[int],
    precision: Precision,
    implementation: Implementation,
    gain_of: Callable[[str, str], float],
) -> tuple[ProductShape, str]:
    """Return the products, and the reason if they differ from those of the precision."""
    m, total, widest = len(n_features), sum(n_features), max(n_features)
    wide = implementation.float64
    if precision == "float64":
        return wide, ""
    if n <= FEW_EXAMPLES:
        return wide, f"; float64 for {FEW_EXAMPLES} examples or fewer"
    flops = min(float(n) ** 2 * total + float(m * n) ** 2 / 2, n * float(total) ** 2)
    if flops < FEW_FLOPS:
        return wide, f"; float64 below {FEW_FLOPS / 1e6:.0f} Mflop"
    if widest > MANY_FEATURES:
        return wide, f"; float64 beyond {MANY_FEATURES:,} features"
    if widest > MANY_FEATURES_PER_PAIR * n**2:
        return wide, f"; float64 beyond {MANY_FEATURES_PER_PAIR} features a pair of examples"
    shape = implementation.split if precision == "high" else implementation.fast
    why = _why_not(shape, flops, min(n, total), implementation.name, gain_of)
    if shape is not None and not why:
        return shape, ""
    return (
        implementation.float32,
        "" if precision == "high" else f"; precision fast is high here: {why}",
    )


def _why_not(
    shape: ProductShape | None,
    flops: float,
    extent: int,
    implementation: str,
    gain_of: Callable[[str, str], float],
) -> str:
    """Return why a pass takes float32 products instead of these; empty if it does not."""
    if shape is None:
        return f"{implementation} has nothing faster"
    if flops < FAST_FLOPS:
        return f"faster products do not pay below {FAST_FLOPS / 1e6:.0f} Mflop"
    if shape.arranged_bytes and flops < TILES_FLOPS:
        return f"matrix tiles do not pay below {TILES_FLOPS / 1e9:.0f} Gflop"
    if shape.arranged_bytes and extent < TILES_EXTENT:
        return f"matrix tiles do not pay below {TILES_EXTENT} examples or features"
    if gain_of(implementation, shape.products) < LEAST_GAIN:
        return f"{shape.products} products are no faster on this processor"
    return ""


def _tile(extent: int, bytes_per_entry: int, shape: ProductShape) -> int:
    """Return the largest tile that fits the caches and gives enough tiles."""
    most, limit, tiles = (6, TILES_BYTES, 7) if shape.arranged_bytes else (4, TILE_BYTES, 8)
    for multiple in range(most, 1, -1):
        tile = multiple * shape.step
        if tile**2 * bytes_per_entry <= limit and tile * tiles <= extent:
            return tile
    return shape.step
