"""An implementation of the inner loops as the planner sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What is multiplied.
Products = Literal["float32", "float64", "bfloat16"]

#: What rounding leaves of a self-HSIC that is 0, relative to the biased one: the spacing of float32
#: and float64; of bfloat16 its square, as norms are those of the rounded rows too (measured on
#: orthogonal and one-hot rows: 6e-6).
EPSILON: dict[Products, float] = {
    "float32": 2.0**-23,
    "float64": 2.0**-52,
    "bfloat16": 2.0**-16,
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
    float64, float32, fast
        The products of precisions "float64", "high" and "fast"; `fast` is None where nothing is
        faster than float32.
    """

    name: str
    float64: Panels
    float32: Panels
    fast: Panels | None
