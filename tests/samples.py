"""Data for several tests."""

from __future__ import annotations

import numpy as np

from fastcka.core import StagedRepresentation


def related(rng, n, widths):
    """Representations that share a signal, so that CKA is neither 0 nor 1."""
    shared = rng.standard_normal((n, 7))
    return [
        (shared @ rng.standard_normal((7, d)) + 2 * rng.standard_normal((n, d)) + 5).astype("f")
        for d in widths
    ]


def staged_copy(x):
    staged = StagedRepresentation.empty(*x.shape)
    staged.array[...] = x
    return staged


class OnlyDLPack:
    """An array of another library, without NumPy's array protocol."""

    def __init__(self, array, device=None):
        self._array = array
        self._device = device or array.__dlpack_device__()

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._device


def with_far_rows(seed, n, d, count, factor, *, alike=False, offset=0.0, m=2):
    """Related representations in which `count` examples are `factor` times as long as the rest."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 2))
    rows = rng.choice(n, count, replace=False)
    xs = []
    for _ in range(m):
        x = shared @ rng.standard_normal((2, d)) + rng.standard_normal((n, d))
        x[rows] = rng.standard_normal(d) * factor if alike else x[rows] * factor
        xs.append((x + offset).astype(np.float32 if offset == 0 else np.float64))
    return xs
