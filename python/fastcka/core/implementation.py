"""An implementation of the inner loops as the planner sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fastcka.core.backend import ProductShape

#: What is multiplied.
Products = Literal["float32", "float64", "bfloat16x3", "bfloat16"]


@dataclass(frozen=True, eq=False)  # two modules may have implementations of one name
class Implementation:
    """The name of an implementation, and the shapes of its products.

    Attributes
    ----------
    name
        As FASTCKA_IMPLEMENTATION takes it.
    float64, float32
        The products of precisions "float64" and "high".
    split
        Products for "high" of float32 values as sums of three bfloat16, on matrix tiles, or None.
    fast
        The products of precision "fast", or None.
    product_steps
        By route: the most steps of one product.
    """

    name: str
    float64: ProductShape
    float32: ProductShape
    split: ProductShape | None
    fast: ProductShape | None
    product_steps: Mapping[str, int]
