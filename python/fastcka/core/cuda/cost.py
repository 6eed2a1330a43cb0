"""A model of what a pass costs on a CUDA device.

The rates are those of an H100 (132 multiprocessors), scaled by the multiprocessors of the device at
hand. Most were assumed before the first record of an H100. With them, predicted times of its four
cases are within 35 % of the measured ones, of the smallest within a factor of 2. They choose a
route, the products and, for device "auto", the device; no bit of a result depends on them
otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastcka.core.base_plan import Route, ceil_div, round_up

CudaProducts = Literal["float32", "float16x3", "float16", "float64"]
#: What multiplies: cuBLAS, or one kernel with what follows a product (fp16 only).
CudaTiles = Literal["cuBLAS", "fused"]

#: Flops a second by products. float16x3 counts one flop for its three fp16 products.
FLOPS_PER_SECOND: dict[CudaProducts, float] = {
    "float32": 50e12,
    "float16x3": 233e12,
    "float16": 700e12,
    "float64": 50e12,
}
#: Part of these rates that Gram tiles reach on tensor cores: with it, the model gives the 56 ms of
#: the record for 252 representations of 5000 x 768.
GRAM_SHARE = 0.7
#: Devices whose float64 costs what float32 costs (A100; H100 and H200). On others it costs more.
FULL_FLOAT64 = ((8, 0), (9, 0))
SLOW_FLOAT64 = 32
MULTIPROCESSORS = 132
#: Bytes a second between the device's memory and its processors.
MEMORY_BYTES_PER_SECOND = 3.0e12
#: The same between the L2 cache and the processors. Assumed.
CACHE_BYTES_PER_SECOND = 5.5e12
#: From the start of a kernel to that of the next, which waits for it, at least.
LAUNCH_SECONDS = 4e-6

#: Edge of a Gram tile (examples) at most. Tiles on the diagonal are computed whole, so that small
#: tiles save work, and those of several representations go in one batch that fills the device.
GRAM_TILE = 1024
#: Features of a band of rows of the product: one product fills the device.
FEATURE_BAND = 2048
#: Examples between sums of the features route, and entries of a Gram tile in one partial product.
CHUNK = 4096
#: The same with float16x3 products. Tensor cores truncate every step of a sum, so that its relative
#: error grows with its length: 4096 left errors of CKA of up to 6.9e-6 on an H100.
EXACT_CHUNK = 256


def longest_sum(products: CudaProducts) -> int:
    """Examples, or entries of a Gram tile, in one sum before it is added to others."""
    return EXACT_CHUNK if products == "float16x3" else CHUNK


@dataclass(frozen=True)
class Cost:
    """Flops and seconds by route, for data on the device."""

    flops: dict[Route, float]
    seconds: dict[Route, float]

    @property
    def route(self) -> Route:
        """The faster route."""
        return "F" if self.seconds["F"] < self.seconds["G"] else "G"


def predict_cost(
    n: int,
    n_features: Sequence[int],
    products: CudaProducts,
    *,
    bytes_inputs: int,
    prepared_bytes: int,
    feature_grain: int,
    multiprocessors: int,
    capability: tuple[int, int],
    chunk: int,
) -> Cost:
    """What a pass with these products costs on a device.

    Parameters
    ----------
    prepared_bytes
        Of a value in the form that is multiplied.
    feature_grain
        Widths in the features route are padded to a multiple of it.
    chunk
        The longest sum before it is added to others: of examples in the features route, of entries
        of a Gram tile in the other.
    """
    m, total = len(n_features), sum(n_features)
    stacked = sum(round_up(d, feature_grain) for d in n_features)
    scale = multiprocessors / MULTIPROCESSORS
    rate = FLOPS_PER_SECOND[products] * scale
    memory = MEMORY_BYTES_PER_SECOND * scale
    cache = CACHE_BYTES_PER_SECOND * scale
    on_tensor_cores = products in ("float16", "float16x3")
    if products == "float64" and capability not in FULL_FLOAT64:
        rate /= SLOW_FLOAT64
    gram_rate = rate * GRAM_SHARE if on_tensor_cores else rate
    item = 8 if products == "float64" else 4  # of an entry of a product
    # Statistics read the inputs, centring reads them again and writes.
    read = (2 * bytes_inputs + n * total * prepared_bytes) / memory

    side = ceil_div(n, GRAM_TILE)  # of the plane, in tiles
    gram = float(n) ** 2 * total * (side + 1) / side
    rank = float(m * n) ** 2  # all of the symmetric product is computed
    planes = 2 * m if on_tensor_cores else m
    if on_tensor_cores:
        # Against Gram tiles that are split in high and low, one fp16 product each.
        rank_seconds = 2 * rank / (FLOPS_PER_SECOND["float16"] * scale)
    else:
        rank_seconds = rank / rate
    gram_traffic = float(n) ** 2 * m * item / memory  # half of the plane, written and read
    partials = float(n) ** 2 / 2 * (side + 1) / side / chunk * m * planes * item
    features = float(n) * float(stacked) ** 2
    features_traffic = float(stacked) ** 2 * item / memory
    if products == "float16x3":  # each chunk reads and writes half of the product
        features_traffic += (ceil_div(n, chunk) - 1) * float(stacked) ** 2 * item / cache
    bands = ceil_div(stacked, FEATURE_BAND)
    launches_gram = side * (side + 1) / 2 * (m / 4 + 4)
    parts = bands * (bands + 1) / 2 if products == "float16x3" else bands
    launches_features = parts * ceil_div(n, chunk) + 2 * bands
    work_gram = gram / gram_rate + rank_seconds + gram_traffic + 2 * partials / cache
    work_features = features / rate + features_traffic
    return Cost(
        {"G": float(n) ** 2 * total + rank / 2, "F": features},
        {
            "G": read + max(work_gram, LAUNCH_SECONDS * launches_gram),
            "F": read + max(work_features, LAUNCH_SECONDS * launches_features),
        },
    )
