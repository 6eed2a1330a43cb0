"""The work of third moments on the CPU, and how the sums over the entries of U are computed.

Each representation needs sums over the entries of its U-centred Gram matrix, for example of their
cubes (csrc/cpu/third_moments.hpp). They are taken from Gram tiles, in n^2 d/2 multiply-adds (none
in route G, which has the tiles), or from products of features, in about n d^3/6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.core.base_plan import Route, ceil_div, round_up
from fastcka.core.cost import Speed

if TYPE_CHECKING:
    from fastcka.core.backend import ProductShape
    from fastcka.core.implementation import Implementation

#: What the sums of one Gram entry cost, in flops of float32 products (measured on Zen 4).
ENTRY_COST = 60.0
#: What a flop costs in each kind of products, in those of float32; see `plan.FLOP_COST`.
WIDE_COST = 2.0
#: A flop of the sum of cubes pays for scaled panels and float64 sums (measured on Zen 4).
CUBE_COST = 1.25


@dataclass(frozen=True)
class MomentOperations:
    """The work of third moments: multiply-adds by the kind of their products.

    Attributes
    ----------
    narrow
        Of the pass's products: Gram matrices of examples and of features.
    cubes
        Of sums of cubes from features; in float32, or in float64 if the pass is.
    wide
        Of float64: traces of third powers, quadratic forms.
    entries
        Gram entries whose sums are taken one by one.
    values
        Values that are read from the centred copies.
    """

    narrow: float = 0.0
    cubes: float = 0.0
    wide: float = 0.0
    entries: float = 0.0
    values: float = 0.0

    def __add__(self, other: MomentOperations) -> MomentOperations:
        return MomentOperations(
            self.narrow + other.narrow,
            self.cubes + other.cubes,
            self.wide + other.wide,
            self.entries + other.entries,
            self.values + other.values,
        )

    @property
    def flops(self) -> float:
        """Flops; an entry takes 14."""
        return 2 * (self.narrow + self.cubes + self.wide) + 14 * self.entries


def cube_products(d: int, lanes: int, rows: int) -> float:
    """Return the multiply-adds per example of a sum of cubes: a <= b <= c in whole micro-tiles.

    Feature b meets the products x_a x_b in groups of rows, and the features c in whole panels
    (csrc/cpu/cubes.cpp).
    """
    panels = ceil_div(d, lanes)
    total = 0
    for panel in range(panels):
        members = range(panel * lanes, min((panel + 1) * lanes, d))
        total += sum(round_up(b + 1, rows) for b in members) * (panels - panel) * lanes
    return float(total)


@dataclass(frozen=True)
class MomentPlan:
    """How a pass computes third moments; empty without them.

    Attributes
    ----------
    routes
        For each representation, "F" or "G": sums over entries from features or from Gram tiles.
    work
        The operations in addition to those of the pass.
    shapes
        The products of the pass, of the sum of cubes, and of float64.
    product_steps
        Of one product of the sum of cubes.
    """

    routes: tuple[Route, ...]
    work: MomentOperations
    shapes: tuple[ProductShape, ProductShape, ProductShape]
    product_steps: int

    @property
    def reason(self) -> str:
        """How many representations are computed from features."""
        if not self.routes:
            return ""
        return f"; third moments of {self.routes.count('F')} of {len(self.routes)} from features"

    def seconds(self, speed_of: Callable[[ProductShape, int], Speed], threads: int) -> float:
        """Return the predicted seconds of the work on a number of threads."""
        if not self.routes:
            return 0.0
        work = (self.work.narrow, self.work.cubes, self.work.wide)
        products = sum(
            self._products_seconds(count, shape, speed_of(shape, threads), threads)
            for count, shape in zip(work, self.shapes, strict=True)
        )
        speed = speed_of(self.shapes[0], threads)
        return products + self.work.entries / speed.entries + self.work.values / speed.center

    def _products_seconds(
        self, count: float, shape: ProductShape, speed: Speed, threads: int
    ) -> float:
        steps = count / (shape.rows * shape.step * shape.values)
        return steps / speed.steps + steps / self.product_steps * speed.call / threads


def plan_moments(
    n: int,
    n_features: Sequence[int],
    route: Route,
    cost: float,
    shape: ProductShape,
    implementation: Implementation,
) -> MomentPlan:
    """Return the plan of the third moments of all representations.

    Parameters
    ----------
    route, shape
        Of the pass.
    cost
        Of a flop of its products, in those of float32.
    """
    wide = shape.products == "float64"
    whole = implementation.float64 if wide else implementation.float32
    routes = moment_routes(n, n_features, route, cost, whole)
    work = count_moments(n, n_features, route, routes, whole)
    shapes = (shape, whole, implementation.float64)
    return MomentPlan(routes, work, shapes, implementation.product_steps["F"])


def moment_routes(
    n: int, n_features: Sequence[int], route: Route, cost: float, whole: ProductShape
) -> tuple[Route, ...]:
    """Return how the sums over entries are computed: "F" from features, "G" from Gram tiles.

    The choice follows from shapes and fixed costs, so a problem has one on all machines of a kind.

    Parameters
    ----------
    route
        Of the pass.
    cost
        Of a flop of the pass's products, in those of float32.
    whole
        The products of the sum of cubes: of float32 or float64.
    """
    cube_cost = CUBE_COST * (WIDE_COST if whole.products == "float64" else 1.0)
    chosen: dict[int, Route] = {}
    for d in set(n_features):
        entries = float(n) ** 2 / 2
        gram = entries * (ENTRY_COST + (2 * d * cost if route == "F" else 0.0))
        # The sum of cubes alone is too much from 2 d^3/6 flops an example on.
        if d > n or n * d**3 / 3 * cube_cost >= gram:
            chosen[d] = "G"
            continue
        features = 2 * n * cube_products(d, whole.lanes, whole.rows) * cube_cost
        features += 2 * n * float(d) ** 2 * WIDE_COST
        chosen[d] = "F" if features < gram else "G"
    return tuple(chosen[d] for d in n_features)


def count_moments(
    n: int,
    n_features: Sequence[int],
    route: Route,
    routes: Sequence[Route],
    whole: ProductShape,
) -> MomentOperations:
    """Return the work of the third moments of all representations."""
    counted: dict[tuple[int, Route], MomentOperations] = {}
    total = MomentOperations()
    for d, by in zip(n_features, routes, strict=True):
        if (d, by) not in counted:
            counted[d, by] = _count(n, d, route, by, whole)
        total += counted[d, by]
    return total


def _count(n: int, d: int, route: Route, by: Route, whole: ProductShape) -> MomentOperations:
    triangle, values = float(n) ** 2 / 2, float(n) * d
    if d > n:  # the trace of the third power of the Gram matrix
        return MomentOperations(
            narrow=triangle * d, wide=float(n) ** 3 / 2, entries=triangle, values=values
        )
    of_features = MomentOperations(
        narrow=n * float(d) ** 2 / 2, wide=float(d) ** 3 / 2, values=2 * values
    )
    if by == "F":
        cubes = n * cube_products(d, whole.lanes, whole.rows)
        return of_features + MomentOperations(cubes=cubes, wide=n * float(d) ** 2, values=values)
    tiles = MomentOperations(entries=triangle)
    if route == "F":
        tiles += MomentOperations(narrow=triangle * d, values=values)
    return of_features + tiles
