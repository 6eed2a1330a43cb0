"""Measures besides CKA compared with per-pair formulas, and the memory of neighbours.

    python -m benchmarks.measures [M n d]         all pairs; default 21 2000 512
    python -m benchmarks.measures memory [M n d]  peak of neighbourhood measures; 21 20000 64

The formulas are those that people copy from papers and repositories: each pair by itself, whole
n x n matrices, in float64. They are timed on a few pairs, and for all pairs multiplied. The answers
are compared first.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

import fastcka
from benchmarks.data import representations
from benchmarks.machine import machine

#: Pairs on which a formula is timed.
PAIRS = 4
K = 10


def centered(x):
    return x - x.mean(0)


def rbf_cka(x, y):
    """Kornblith et al. 2019, with the median distance of pairs as bandwidth."""
    kernels = []
    for values in (x, y):
        norms = (values**2).sum(1)
        squares = np.maximum(norms[:, None] + norms - 2 * values @ values.T, 0)
        width = np.median(np.sqrt(squares[np.triu_indices(len(x), 1)]))
        kernel = np.exp(-squares / (2 * width**2))
        kernels.append(kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean())
    k, m = kernels
    return np.vdot(k, m) / np.sqrt(np.vdot(k, k) * np.vdot(m, m))


def masked(x, y):
    """Cosines, and the mask of common neighbours, as dense matrices."""
    cosines, masks = [], []
    for values in (x, y):
        values = values / np.linalg.norm(values, axis=1)[:, None]
        similar = values @ values.T
        without = similar.copy()
        np.fill_diagonal(without, -np.inf)
        mask = np.zeros(similar.shape)
        np.put_along_axis(mask, np.argpartition(-without, K, axis=1)[:, :K], 1, axis=1)
        cosines.append(similar)
        masks.append(mask)
    return cosines, masks[0] * masks[1]


def mutual_knn(x, y):
    return masked(x, y)[1].sum() / (K * len(x))


def cknna(x, y):
    def align(x, y):
        (k, m), both = masked(x, y)
        return (both * (k - k.mean(1)[:, None]) * (m - m.mean(1)[:, None])).sum()

    return align(x, y) / np.sqrt(align(x, x) * align(y, y))


def cknna_reference(x, y):
    def hsic(x, y):
        (k, m), both = masked(x, y)
        n, a, b = len(x), both * k, both * m
        total = (a * b.T).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2))
        return (total - 2 / (n - 2) * (a @ b).sum()) / (n * (n - 3))

    return hsic(x, y) / (np.sqrt(hsic(x, x) * hsic(y, y)) + 1e-6)


def procrustes(x, y):
    """The scale of `scipy.linalg.orthogonal_procrustes`, of representations of norm 1."""
    from scipy.linalg import orthogonal_procrustes

    units = [centered(v) / np.linalg.norm(centered(v)) for v in (x, y)]
    return orthogonal_procrustes(*units)[1]


def svcca(x, y):
    kept = []
    for values in (x, y):
        u, s, _ = np.linalg.svd(centered(values), full_matrices=False)
        count = np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.99) + 1
        kept.append(u[:, :count])
    return np.linalg.svd(kept[0].T @ kept[1])[1].mean()


def pwcca(x, y):
    x = centered(x)
    u = np.linalg.svd(x, full_matrices=False)[0]
    v = np.linalg.svd(centered(y), full_matrices=False)[0]
    p, correlations, _ = np.linalg.svd(u.T @ v, full_matrices=False)
    weights = np.abs((u @ p).T @ x).sum(1)
    return weights @ correlations / weights.sum()


FORMULAS = {
    "rbf_cka": rbf_cka,
    "mutual_knn": mutual_knn,
    "cknna": cknna,
    "cknna_reference": cknna_reference,
    "procrustes": procrustes,
    "svcca": svcca,
    "pwcca": pwcca,
}


def measured(xs, names):
    """The comparison, and the seconds that each measure took in it (neighbours: shared)."""
    asked = [
        fastcka.Measure(name, **({"allow_wide": True} if "cca" in name else {})) for name in names
    ]
    result = fastcka.compare(xs, measures=asked, estimator="biased", device="cpu")
    return result, {name: result.provenance["measures"][name]["seconds"] for name in names}


def race(m, n, d):
    """Print a line for each measure: seconds of all pairs, of the formula, the ratio, the error."""
    xs = list(representations(m, n, d))
    wide = [x.astype(np.float64) for x in xs]
    count = m * (m - 1) // 2
    pairs = [(i, i + 1) for i in range(min(PAIRS, m - 1))]
    print(f"{machine()['processor']}, {machine()['cores']} cores; M={m}, n={n}, d={d}")
    print(f"{'measure':16} {'all pairs s':>12} {'formula s':>10} {'ratio':>6} {'error':>8}")
    for name, formula in FORMULAS.items():
        result, took = measured(xs, [name])
        seconds = took[name]
        times, error = [], 0.0
        for i, j in pairs:
            start = time.perf_counter()
            value = formula(wide[i], wide[j])
            times.append(time.perf_counter() - start)
            error = max(error, abs(value - result.measure(name)[i, j]))
        assert error < 1e-6, (name, error)
        whole = float(np.median(times)) * count
        print(f"{name:16} {seconds:12.2f} {whole:10.1f} {whole / seconds:6.1f} {error:8.1e}")


def memory(m, n, d):
    """Print the peak of the process above its inputs, relative to n x n floats."""
    xs = list(representations(m, n, d))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    measured(xs, ["mutual_knn", "cknna", "cknna_reference"])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(f"{machine()['processor']}, {machine()['cores']} cores; M={m}, n={n}, d={d}")
    print(
        f"peak {peak / 1e6:,.0f} MB above the inputs, {peak / (8 * n**2):.3f} of n x n float64 "
        f"({8 * n**2 / 1e6:,.0f} MB); {seconds:.0f} s"
    )


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["memory"]:
        memory(*(map(int, words[1:]) if words[1:] else (21, 20_000, 64)))
    else:
        race(*(map(int, words) if words else (21, 2_000, 512)))
