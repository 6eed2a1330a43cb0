"""The four cases of the GPU's benchmarks: their shapes, what was predicted of them, their data.

The predictions were made before the code met a GPU, for an H100 with the data on it and every
product by cuBLAS, from rates that were assumed: 50 Tflop/s (float32), 233 (float16x3) and 700
(float16), 3.0 TB/s of memory, 4 us from a launch to the next that waits for it. They were given as
good to 30%, and case A, which is bound by launches, to a factor of 2.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """M representations of n examples and d features; products -> predicted seconds."""

    name: str
    m: int
    n: int
    d: int
    predicted: dict[str, float] = field(default_factory=dict)
    checked: int = 12  # representations whose pairs are compared with float64

    def __str__(self):
        return f"{self.name} (M={self.m}, n={self.n}, d={self.d})"

    @property
    def bytes(self):
        """Of the data, in float32."""
        return self.m * self.n * self.d * 4


CASES = {
    case.name: case
    for case in (
        Case("A", 21, 2000, 512, {"float32": 1.1e-3, "float16x3": 0.36e-3, "float16": 0.24e-3}, 21),
        Case("B", 84, 5000, 128, {"float32": 11.8e-3, "float16x3": 2.8e-3, "float16": 1.1e-3}),
        Case("C", 252, 5000, 768, {"float32": 138e-3, "float16x3": 34e-3, "float16": 20e-3}),
        Case("D", 48, 50000, 1024, {"float32": 2.42, "float16x3": 524e-3, "float16": 178e-3}, 4),
    )
}


def representations(case, device):
    """M float32 tensors on the device: noise around a shared signal, mean 3, CKA of 0.2 to 0.6.

    Never zeros: these multiply 13% faster than data.
    """
    import torch

    generator = torch.Generator(device).manual_seed(20261121)

    def normal(*shape):
        return torch.randn(shape, generator=generator, device=device)

    shared = normal(case.n, 32)
    levels = torch.linspace(2, 6, case.m).tolist()
    return [shared @ normal(32, case.d) + level * normal(case.n, case.d) + 3 for level in levels]


def checked_positions(case):
    """Representations whose pairs are compared with float64: the first, the last, some between."""
    count = min(case.checked, case.m)
    return sorted({round(i * (case.m - 1) / max(1, count - 1)) for i in range(count)})


def by_definition(xs, block=2048):
    """Both CKAs and the biased HSIC of all pairs, (M, M) NumPy float64, by torch on the device.

    The Gram matrices are formed and summed as the papers print them (Gretton et al. 2005, eq. 9;
    Song et al. 2012, eq. 5), so many rows at a time.
    """
    import torch

    m, n = len(xs), len(xs[0])
    centered = [x.double() - x.double().mean(0) for x in xs]
    whole, off = torch.zeros((2, m, m), dtype=torch.float64, device=xs[0].device)
    sums = torch.empty((m, n), dtype=torch.float64, device=xs[0].device)
    for begin in range(0, n, block):
        grams = torch.stack([x[begin : begin + block] @ x.T for x in centered])
        flat = grams.flatten(1)
        whole += flat @ flat.T
        own = torch.arange(grams.shape[1], device=grams.device)
        grams[:, own, begin + own] = 0
        off += flat @ flat.T
        sums[:, begin : begin + block] = grams.sum(2)
    total = sums.sum(1)
    biased = whole / (n - 1) ** 2
    unbiased = off + torch.outer(total, total) / ((n - 1) * (n - 2)) - 2 / (n - 2) * sums @ sums.T
    return {
        "biased": _normalized(biased).cpu().numpy(),
        "unbiased": _normalized(unbiased).cpu().numpy(),
        "hsic_biased": biased.cpu().numpy(),
    }


def _normalized(hsic):
    own = hsic.diagonal().sqrt()
    return hsic / own.outer(own)
