"""The shapes that are compared, and what each is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from benchmarks import contestants, data


@dataclass(frozen=True)
class Workload:
    """M representations of n examples and d features, in one group or many.

    Attributes
    ----------
    groups, distinct
        The number of groups of that shape, and how many of them differ in their data.
    against
        The contestants: all, all but the peers, the best that torch can do on the CPU, or those
        for a GPU.
    predicted
        Products -> predicted seconds, on a GPU.
    """

    name: str
    title: str
    m: int
    n: int
    d: int
    groups: int = 1
    distinct: int = 1
    kind: Literal["plain", "transformer"] = "plain"
    against: Literal["all", "no peers", "best", "gpu"] = "all"
    predicted: dict[str, float] = field(default_factory=dict)

    @property
    def pairs(self):
        """Pairs in all groups."""
        return self.groups * self.m * (self.m - 1) // 2

    @property
    def shape(self):
        """The extents as text."""
        return f"M={self.m}, n={self.n}, d={self.d}"

    @property
    def bytes(self):
        """Bytes of one group's data, which is float32."""
        return self.m * self.n * self.d * 4

    def flops(self, route):
        """Flops that a route needs for all groups; a multiply-add counts as two."""
        m, n, d = self.m, self.n, self.d
        one = n**2 * m * d + m**2 * n**2 / 2 if route == "G" else n * (m * d) ** 2
        return self.groups * one

    def contestants(self):
        """The contestants that take part."""
        return {
            "all": contestants.ALL,
            "no peers": (contestants.FASTCKA, contestants.FASTCKA_FAST, *contestants.BASELINES),
            "best": (contestants.FASTCKA, contestants.FASTCKA_FAST, contestants.TRIANGLE),
            "gpu": contestants.ON_GPU,
        }[self.against]

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
    Workload("sweep", "A sweep: 63 models, 4 layers", 63, 4413, 256, groups=4),
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
#: The same at small sizes, to see that everything runs; their figures are not for quoting. The
#: peers, which are slow, take part once.
QUICK = (
    Workload("pair", "One pair", 2, 1000, 256, against="no peers"),
    Workload("pairs", "All 36 pairs of 9 representations", 9, 400, 128),
    Workload("sweep", "A sweep: 9 models, 4 layers", 9, 600, 64, groups=4, against="no peers"),
    Workload("wide", "Wide: 768 features", 6, 200, 768, against="no peers"),
    Workload("tall", "Tall: 2,000 examples", 6, 2000, 64, against="no peers"),
    Workload("rate-F", "Route F at M=12", 12, 4000, 64, against="best"),
    Workload("rate-G", "Route G at M=42", 42, 600, 128, against="best"),
    Workload(
        *("groups", "20 small groups", 9, 200, 64),
        groups=20,
        distinct=5,
        against="no peers",
    ),
    Workload(
        *("transformer", "Layer by layer: two transformers of 2 blocks", 4, 400, 64),
        kind="transformer",
        against="no peers",
    ),
)


def _on_gpu(name, m, n, d, float32, float16x3, float16):
    return Workload(
        *(name, f"{m} representations on a GPU", m, n, d),
        against="gpu",
        predicted={"float32": float32, "float16x3": float16x3, "float16": float16},
    )


#: Name -> workload on a GPU. The predictions were made before the code met a GPU, for an H100 with
#: the data on it and every product by cuBLAS, from assumed rates: 50 Tflop/s (float32), 233
#: (float16x3) and 700 (float16), 3.0 TB/s of memory, 4 us from a launch to the next that waits for
#: it. They claim to be good to 30%, and A, which is bound by launches, to a factor of 2.
GPU = {
    workload.name: workload
    for workload in (
        _on_gpu("A", 21, 2000, 512, float32=1.1e-3, float16x3=0.36e-3, float16=0.24e-3),
        _on_gpu("B", 84, 5000, 128, float32=11.8e-3, float16x3=2.8e-3, float16=1.1e-3),
        _on_gpu("C", 252, 5000, 768, float32=138e-3, float16x3=34e-3, float16=20e-3),
        _on_gpu("D", 48, 50000, 1024, float32=2.42, float16x3=524e-3, float16=178e-3),
    )
}
