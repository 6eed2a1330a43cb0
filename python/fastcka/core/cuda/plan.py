"""From shapes to a plan of the pass on a CUDA device, by the model of its cost. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fastcka.core.base_plan import (
    HOST_BYTES_PER_SECOND,
    Plan,
    Precision,
    Route,
    ceil_div,
    round_up,
)
from fastcka.core.cuda.card import CudaDevice
from fastcka.core.cuda.cost import (
    FEATURE_BAND,
    FULL_FLOAT64,
    GRAM_TILE,
    Cost,
    CudaProducts,
    CudaTiles,
    longest_sum,
    predict_cost,
)
from fastcka.core.cuda.products import choose_products

SMALLEST_TILE = 256
#: All Gram tiles of a step take at most this part of the device's memory. Of all of it, not of what
#: is free: the tile changes the last bits of a result.
TILE_SHARE = 0.4
#: For float32 products of so few examples more, shorter partial products fill the device better.
SHORT_RANK_CHUNK, SHORT_RANK_EXAMPLES = 1024, 2048
#: With fewer features, a block of the features route sums so few squares that rounding shows.
FEW_FEATURES = 16


@dataclass(frozen=True)
class PassBytes:
    """Device memory of one pass, by purpose; it is one allocation."""

    prepared: int
    workspace: int
    results: int

    @property
    def total(self) -> int:
        """Bytes of the allocation."""
        return self.prepared + self.workspace + self.results


#: Device memory of a pass over a number of examples of these widths, given `CudaPlan.settings`.
BytesNeeded = Callable[[int, Sequence[int], dict[str, Any]], PassBytes]


@dataclass(frozen=True)
class CompiledPass:
    """What the planner must know of the compiled pass, which the compiled module says.

    Attributes
    ----------
    bytes_needed
        The memory of a pass.
    example_grain, feature_grain
        Examples, and widths in the features route, are padded to a multiple of it.
    prepared_bytes
        Of a value in the form that is multiplied, by products.
    """

    bytes_needed: BytesNeeded
    example_grain: int
    feature_grain: int
    prepared_bytes: Mapping[CudaProducts, int]


@dataclass(frozen=True, kw_only=True)
class CudaPlan(Plan):
    """How one pass will run on a CUDA device, and what it will cost.

    Flops count a multiply-add as two. `threads` of the host copy arrays into pinned memory.

    Attributes
    ----------
    transfer_seconds, compute_seconds
        Predicted for the copies from the host and for the rest; see `fastcka.core.cuda.cost`.
    auto
        device="auto" chose the device, so the CPU is used if the device cannot be opened.
    tiles
        No plan chooses "fused" before a GPU has measured it; benchmarks and tests force it.
    """

    products: CudaProducts
    implementation: str = "cuBLAS"
    threads: int = 1
    rank_chunk: int
    device: CudaDevice
    transfer_seconds: float
    compute_seconds: float
    auto: bool = False
    tiles: CudaTiles = "cuBLAS"

    _memory: ClassVar[str] = "device memory"

    @property
    def settings(self) -> dict[str, Any]:
        """What the compiled pass must know in addition to the shapes."""
        return {
            "route": self.route,
            "tile": self.tile,
            "chunk": self.chunk,
            "rank_chunk": self.rank_chunk,
            "products": self.products,
            "tiles": self.tiles,
        }

    @property
    def bytes_on_device(self) -> int:
        """Bytes of the allocation that the pass runs in."""
        return self.bytes_centered + self.bytes_workspace + self.bytes_results

    @property
    def _processor(self) -> str:
        return str(self.device)

    @property
    def seconds(self) -> float:
        """The predicted seconds of the pass, with the copies from the host."""
        return self.transfer_seconds + self.compute_seconds

    @property
    def _prediction(self) -> tuple[str, ...]:
        sums = (
            f"partial sums of {self.chunk} examples"
            if self.route == "F"
            else f"partial sums of {self.rank_chunk} entries of a Gram tile"
        )
        if self.tiles == "fused":
            sums = f"fused tiles, {sums}"
        return (
            sums,
            f"{self.seconds:.2g} s predicted, of them {self.transfer_seconds:.2g} s to copy "
            f"from the host",
        )

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-able values."""
        return {**super().to_dict(), "device": str(self.device)}


def make_cuda_plan(
    n_examples: int,
    n_features: Sequence[int],
    *,
    itemsizes: Sequence[int],
    on_device: Sequence[bool],
    device: CudaDevice,
    precision: Precision,
    compiled: CompiledPass,
    device_reason: str = "",
    auto: bool = False,
    threads: int = 1,
) -> CudaPlan:
    """Plan a pass over representations of ``n_examples`` rows and the given widths.

    Parameters
    ----------
    itemsizes
        Bytes of one value of each representation in the caller's memory.
    on_device
        For each representation, whether it is on the device already.
    device_reason, auto
        Why the device was chosen, and whether the CPU is the alternative.
    """
    n = n_examples
    sizes = [n * d * size for d, size in zip(n_features, itemsizes, strict=True)]
    from_host = sum(s for s, there in zip(sizes, on_device, strict=True) if not there)
    transfer = from_host / HOST_BYTES_PER_SECOND
    costs: dict[CudaProducts, Cost] = {
        products: predict_cost(
            n,
            n_features,
            products,
            bytes_inputs=sum(sizes),
            prepared_bytes=prepared,
            feature_grain=compiled.feature_grain,
            multiprocessors=device.multiprocessors,
            capability=device.capability,
            chunk=longest_sum(products),
        )
        for products, prepared in compiled.prepared_bytes.items()
    }
    products, why = choose_products(
        n, n_features, precision, costs, transfer, device.capability in FULL_FLOAT64
    )
    cost = costs[products]
    route = cost.route
    if route == "F" and min(n_features) < FEW_FEATURES and products != "float64":
        products, why = "float64", f"a representation of fewer than {FEW_FEATURES} features"
        cost = costs[products]
    if route == "G":
        entry_bytes = len(n_features) * (8 if products == "float64" else 4)
        tile = _gram_tile(n, entry_bytes, device.total_bytes, compiled.example_grain)
    else:
        tile = min(FEATURE_BAND, sum(round_up(d, compiled.feature_grain) for d in n_features))
    chunk, rank_chunk = sum_lengths(products, n, compiled)
    other: Route = "F" if route == "G" else "G"
    times = cost.seconds[other] / cost.seconds[route]
    plan = CudaPlan(
        route=route,
        tile=tile,
        chunk=chunk,
        rank_chunk=rank_chunk,
        precision=precision,
        products=products,
        threads=threads,
        device=device,
        n_examples=n,
        n_features=tuple(n_features),
        flops=cost.flops[route],
        flops_gram=cost.flops["G"],
        flops_features=cost.flops["F"],
        bytes_inputs=sum(sizes),
        bytes_centered=0,
        bytes_workspace=0,
        bytes_results=0,
        transfer_seconds=transfer,
        compute_seconds=cost.seconds[route],
        reason=f"route {other} would cost {times:.3g} times as much; {products} products: {why}",
        device_reason=device_reason,
        auto=auto,
    )
    return with_tile(plan, tile, compiled.bytes_needed)


def sum_lengths(products: CudaProducts, n: int, compiled: CompiledPass) -> tuple[int, int]:
    """The `chunk` and the `rank_chunk` of a plan with these products."""
    longest = longest_sum(products)
    short = products == "float32" and n <= SHORT_RANK_EXAMPLES
    chunk = min(longest, round_up(n, compiled.example_grain))
    return chunk, SHORT_RANK_CHUNK if short else longest


def with_tile(plan: CudaPlan, tile: int, bytes_needed: BytesNeeded) -> CudaPlan:
    """The same plan with another tile, and the memory that this takes."""
    settings = plan.settings | {"tile": tile}
    needed = bytes_needed(plan.n_examples, plan.n_features, settings)
    known = PassBytes(plan.bytes_centered, plan.bytes_workspace, plan.bytes_results)
    if tile == plan.tile and needed == known:
        return plan
    return replace(
        plan,
        tile=tile,
        bytes_centered=needed.prepared,
        bytes_workspace=needed.workspace,
        bytes_results=needed.results,
    )


def smaller_tiles(tile: int) -> list[int]:
    """The tile, and those to try where memory is short: halves, down to `SMALLEST_TILE`."""
    tiles = [tile]
    while tiles[-1] > SMALLEST_TILE:
        tiles.append(max(SMALLEST_TILE, round_up(tiles[-1] // 2, SMALLEST_TILE)))
    return tiles


def _gram_tile(n: int, entry_bytes: int, total_bytes: int, example_grain: int) -> int:
    """Equal tiles of at most `GRAM_TILE` examples; Gram entries fit `TILE_SHARE` of the memory."""
    edge = ceil_div(n, ceil_div(n, GRAM_TILE))
    tile = min(round_up(edge, SMALLEST_TILE), round_up(n, example_grain))
    for smaller in smaller_tiles(tile):
        tile = smaller
        if tile**2 * entry_bytes <= TILE_SHARE * total_bytes:
            break
    return tile
