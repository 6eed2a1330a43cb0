"""What is compared: shapes, and why each is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks import contestants, data


@dataclass(frozen=True)
class Workload:
    """M representations of n examples and d features, in one group or many.

    Attributes
    ----------
    groups, distinct
        How many groups of that shape; how many of them hold other data than those before.
    timed_groups
        Of these many groups everything is timed, and extrapolated.
    against
        Everybody, or only the best that torch can do.
    """

    name: str
    title: str
    m: int
    n: int
    d: int
    groups: int = 1
    distinct: int = 1
    timed_groups: int | None = None
    kind: Literal["plain", "transformer"] = "plain"
    against: Literal["all", "best"] = "all"

    @property
    def pairs(self):
        """In all groups."""
        return self.groups * self.m * (self.m - 1) // 2

    def flops(self, route):
        """Of all groups: what has to be computed on a route, a multiply-add as two."""
        m, n, d = self.m, self.n, self.d
        one = n**2 * m * d + m**2 * n**2 / 2 if route == "G" else n * (m * d) ** 2
        return self.groups * one

    def contestants(self):
        """Who takes part."""
        if self.against == "best":
            return (contestants.FASTCKA, contestants.FASTCKA_FAST, contestants.TRIANGLE)
        return contestants.ALL

    def write(self, path):
        """Write the data of the distinct groups."""
        shape = self.distinct, self.m, self.n, self.d
        if self.kind == "transformer":
            groups = [data.transformer_layers(self.n, blocks=self.m // 2, width=self.d)]
        else:
            groups = (data.representations(*shape[1:], seed) for seed in range(self.distinct))
        data.write(path, groups, shape)


FULL = (
    Workload("pair", "One pair", 2, 2000, 512),
    Workload("pairs", "All 210 pairs of 21 representations", 21, 2000, 512),
    Workload("sweep", "A sweep: 63 models, 4 layers", 63, 4413, 256, groups=4, timed_groups=1),
    Workload("wide", "Wide: 4096 features", 100, 1000, 4096),
    Workload("tall", "Tall: 20,000 examples", 50, 20000, 64),
    Workload("rate-F", "Route F at M=24", 24, 20000, 64, against="best"),
    Workload("rate-G", "Route G at M=84", 84, 2000, 128, against="best"),
    Workload("groups", "500 small groups", 9, 500, 256, groups=500, distinct=20),
    Workload(
        *("transformer", "Layer by layer: two transformers of 6 blocks", 12, 2000, 256),
        kind="transformer",
    ),
)
#: The same at sizes that take seconds: to see that all runs, not to quote.
QUICK = (
    Workload("pair", "One pair", 2, 1000, 256),
    Workload("pairs", "All 36 pairs of 9 representations", 9, 1000, 256),
    Workload("sweep", "A sweep: 9 models, 4 layers", 9, 600, 64, groups=4, timed_groups=1),
    Workload("wide", "Wide: 2048 features", 12, 400, 2048),
    Workload("tall", "Tall: 4,000 examples", 12, 4000, 64),
    Workload("rate-F", "Route F at M=12", 12, 4000, 64, against="best"),
    Workload("rate-G", "Route G at M=42", 42, 600, 128, against="best"),
    Workload("groups", "50 small groups", 9, 200, 64, groups=50, distinct=5),
    Workload(
        *("transformer", "Layer by layer: two transformers of 2 blocks", 4, 400, 64),
        kind="transformer",
    ),
)
