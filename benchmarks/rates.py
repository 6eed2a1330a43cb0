"""How fast this machine multiplies float32 matrices, by the libraries that contestants use."""

from __future__ import annotations

import numpy as np

EXTENT = 4000
FLOPS = 2 * EXTENT**3


def _factors():
    return np.random.default_rng(0).standard_normal((2, EXTENT, EXTENT), dtype=np.float32)


def _by_numpy():
    a, b = _factors()
    return lambda: a @ b


def _by_torch():
    import torch

    a, b = map(torch.from_numpy, _factors())
    return lambda: a @ b


RATES = {"sgemm by NumPy": _by_numpy, "sgemm by torch": _by_torch}
