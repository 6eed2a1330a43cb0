"""A model of what a pass costs on a CUDA device.

All rates are predictions for an H100 (132 multiprocessors), scaled by the multiprocessors of the
device at hand. They choose a route, the products and, for device "auto", the device; no bit of a
result depends on them otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastcka.core.plan import Route

CudaProducts = Literal["float32", "float16x3", "float16", "float64"]

#: Flops a second by products. float16x3 counts one flop for its three fp16 products.
FLOPS_PER_SECOND: dict[CudaProducts, float] = {
    "float32": 50e12,
    "float16x3": 233e12,
    "float16": 700e12,
    "float64": 50e12,
}
MULTIPROCESSORS = 132
#: Bytes a second between the device's memory and its processors, and from the host to the device.
MEMORY_BYTES_PER_SECOND = 3.0e12
HOST_BYTES_PER_SECOND = 10e9
#: From the start of a kernel to that of the next, which waits for it, at least.
LAUNCH_SECONDS = 4e-6

#: Bytes of a value as it is multiplied: float16x3 keeps high, low, high, high.
PREPARED_BYTES: dict[CudaProducts, int] = {
    "float32": 4,
    "float16x3": 8,
    "float16": 2,
    "float64": 8,
}

#: Edge of a Gram tile (examples) at most. Tiles on the diagonal are computed whole, so that small
#: tiles save work, and those of several representations go in one batch that fills the device.
GRAM_TILE = 1024
#: Features of a row panel: one product fills the device.
FEATURE_PANEL = 2048
#: Examples between sums of the features route. Tensor cores truncate: 50,000 examples in one sum
#: give 1.4e-4 of bias in HSIC.
CHUNK = 4096
#: Widths in the features route are padded to it.
FEATURE_GRAIN = 32


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
    n: int, n_features: Sequence[int], products: CudaProducts, bytes_inputs: int, processors: int
) -> Cost:
    """What a pass with these products costs on a device of so many multiprocessors."""
    m, total = len(n_features), sum(n_features)
    stacked = sum(round_up(d, FEATURE_GRAIN) for d in n_features)
    scale = processors / MULTIPROCESSORS
    rate = FLOPS_PER_SECOND[products] * scale
    memory = MEMORY_BYTES_PER_SECOND * scale
    item = 8 if products == "float64" else 4  # of an entry of a product
    # Statistics read the inputs, centring reads them again and writes.
    read = (2 * bytes_inputs + n * total * PREPARED_BYTES[products]) / memory

    side = math.ceil(n / GRAM_TILE)  # of the plane, in tiles
    gram = float(n) ** 2 * total * (side + 1) / side
    rank = float(m * n) ** 2  # all of the symmetric product is computed
    if products in ("float16", "float16x3"):
        # Against Gram tiles that are split in high and low, one fp16 product each.
        rank_seconds = 2 * rank / (FLOPS_PER_SECOND["float16"] * scale)
    else:
        rank_seconds = rank / rate
    gram_traffic = float(n) ** 2 * m * item / memory  # half of the plane, written and read
    features = float(n) * float(stacked) ** 2
    features_traffic = float(stacked) ** 2 * item / memory
    panels = math.ceil(stacked / FEATURE_PANEL)
    launches_gram = side * (side + 1) / 2 * (m / 4 + 4)
    launches_features = panels * (math.ceil(n / CHUNK) + 2)
    work_gram = gram / rate + rank_seconds + gram_traffic
    work_features = features / rate + features_traffic
    return Cost(
        {"G": float(n) ** 2 * total + rank / 2, "F": features},
        {
            "G": read + max(work_gram, LAUNCH_SECONDS * launches_gram),
            "F": read + max(work_features, LAUNCH_SECONDS * launches_features),
        },
    )


def round_up(value: int, multiple: int) -> int:
    """The least multiple that is no less than the value."""
    return math.ceil(value / multiple) * multiple
