"""A small case for compute-sanitizer: both routes, all products, ragged widths, several tiles, and
examples that are far from all others.

Checked against float64 as it goes. As a program, each array is an allocation of its own, without
cupy's pool, so that what is read or written beyond it is seen.

    compute-sanitizer --tool memcheck python -m benchmarks.gpu.small_case
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import numpy as np

from fastcka.core.arrays import as_view
from fastcka.core.backend import cuda_runtime
from fastcka.core.cuda.session import import_cupy
from fastcka.core.device import plan_on_cuda
from fastcka.core.estimators import estimate

WIDTHS = (5, 33, 70, 200)
EXAMPLES = (100, 300)
LIMITS = {"float32": 1e-5, "float16x3": 1e-5, "float16": 2e-3, "float64": 1e-12}
#: Smaller than any plan's, so that there are several of each.
SMALL = {"G": {"tile": 64, "rank_chunk": 1024}, "F": {"tile": 64, "chunk": 64}}


def arrays(n):
    """Three dtypes; rows adjacent, columns adjacent, and a part of a larger array."""
    rng = np.random.default_rng(20261121)
    shared = rng.standard_normal((n, 7))
    found = []
    for d in WIDTHS:
        x = shared @ rng.standard_normal((7, d)) + 2 * rng.standard_normal((n, d)) + 3
        found.append(x)
    if n == EXAMPLES[0]:
        found[0][3] *= 100
        found[2][[3, n - 1]] *= 100
    wider = np.zeros((n + 2, WIDTHS[3] + 3), np.float32)
    wider[1:-1, 2:-1] = found[3]
    return [
        found[0].astype(np.float64),
        np.asfortranarray(found[1].astype(np.float32)),
        found[2].astype(np.float16),
        wider[1:-1, 2:-1],
    ]


def by_definition(xs):
    """Biased CKA, (M, M)."""
    centered = [x.astype(np.float64) - x.astype(np.float64).mean(0) for x in xs]
    hsic = np.array([[np.sum((x.T @ y) ** 2) for y in centered] for x in centered])
    own = np.sqrt(np.diag(hsic))
    return hsic / np.outer(own, own)


def run(*, on_device=True, repeats=3):
    """The largest error of each (n, route, products); wrong answers raise."""
    runtime = cuda_runtime()
    session = runtime.session(0)
    cupy = import_cupy()
    found = {}
    for n in EXAMPLES:
        hosts = arrays(n)
        exact = by_definition(hosts)
        names = [f"arrays[{i}]" for i in range(len(hosts))]
        for route, products in itertools.product(SMALL, LIMITS):
            views = [
                as_view(cupy.asarray(x) if on_device else x, name)
                for x, name in zip(hosts, names, strict=True)
            ]
            plan = plan_on_cuda(views, "high", 0)
            plan = replace(plan, route=route, products=products, **SMALL[route])
            for _ in range(repeats):  # plainly, captured, replayed
                sums = session.submit(views, names, plan).result()
            error = float(np.abs(estimate(sums, "biased").cka - exact).max())
            if not error <= LIMITS[products]:
                raise AssertionError(f"n={n}, route {route}, {products}: error {error:.1e}")
            found[f"n={n} {route} {products}"] = error
    runtime.close()
    return found


def main():
    import_cupy().cuda.set_allocator(None)
    for where in (True, False):
        for name, error in run(on_device=where).items():
            print(f"{name}, arrays on the {'device' if where else 'host'}: error {error:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
