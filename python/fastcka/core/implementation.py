"""An implementation of the inner loops as the planner sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What is multiplied: float32 or float64 values; one bfloat16 for each value; or two of them, the
#: value's high part and what is missing to it, in three or in all four products.
Products = Literal["float32", "float64", "bfloat16", "bfloat16x3", "bfloat16x4"]

#: What rounding leaves of a self-HSIC that is 0, relative to the biased one: the spacing of float32
#: and float64; of bfloat16 its square, as norms are those of the rounded rows too (measured on
#: orthogonal and one-hot rows: 6e-6).
EPSILON: dict[Products, float] = {
    "float32": 2.0**-23,
    "float64": 2.0**-52,
    "bfloat16": 2.0**-16,
    "bfloat16x3": 2.0**-20,
    "bfloat16x4": 2.0**-20,
}


@dataclass(frozen=True)
class Panels:
    """How one kind of products takes its operands; see csrc/cpu/implementation.hpp.

    Attributes
    ----------
    products
        What is multiplied.
    lanes, rows, step
        Vectors of a panel; rows of a micro-tile; its columns, which every tile is a multiple of.
    values, cell_bytes
        Values of a vector that lie together, and the bytes they take.
    arranged
        The rows of a tile are copied into a form of their own.
    """

    products: Products
    lanes: int
    rows: int
    step: int
    values: int
    cell_bytes: int
    arranged: bool


@dataclass(frozen=True)
class Implementation:
    """The name of an implementation, and its products.

    Attributes
    ----------
    name
        As FASTCKA_IMPLEMENTATION takes it.
    float64, high_gram, high_features, fast
        The products of each precision, of "high" for routes G and F; `fast` is None where nothing
        is faster.
    """

    name: str
    float64: Panels
    high_gram: Panels
    high_features: Panels
    fast: Panels | None
