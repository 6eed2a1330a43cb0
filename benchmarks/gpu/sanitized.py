"""A small workload for compute-sanitizer: both routes, all products, cuBLAS and fused tiles, ragged
widths, several tiles, and examples that are far from all others.

Each answer is checked against float64. As a program, each array is a separate allocation
instead of a part of cupy's pool, so that reads and writes beyond it are seen.

    compute-sanitizer --tool memcheck python -m benchmarks.gpu.sanitized
"""

from __future__ import annotations

import itertools
import sys

import numpy as np

from benchmarks.gpu.resident import close, repeated_cka
from benchmarks.reference import cka_matrix
from fastcka.core.cuda.session import import_cupy

WIDTHS = (5, 33, 70, 200)
EXAMPLES = (100, 300)
LIMITS = {"float32": 1e-5, "float16x3": 1e-5, "float16": 2e-3, "float64": 1e-12}
#: Smaller than those of any plan, so that there are several of each.
SMALL = {"G": {"tile": 64, "rank_chunk": 1024}, "F": {"tile": 64, "chunk": 64}}


def arrays(n):
    """Three dtypes; rows adjacent, columns adjacent, and a part of a larger array."""
    rng = np.random.default_rng(20261121)
    shared = rng.standard_normal((n, 7))
    xs = [
        shared @ rng.standard_normal((7, d)) + 2 * rng.standard_normal((n, d)) + 3 for d in WIDTHS
    ]
    if n == EXAMPLES[0]:
        xs[0][3] *= 100
        xs[2][[3, n - 1]] *= 100
    wider = np.zeros((n + 2, WIDTHS[3] + 3), np.float32)
    wider[1:-1, 2:-1] = xs[3]
    return [
        xs[0].astype(np.float64),
        np.asfortranarray(xs[1].astype(np.float32)),
        xs[2].astype(np.float16),
        wider[1:-1, 2:-1],
    ]


def run(*, on_device=True, repeats=3):
    """The largest error of each (n, route, products); wrong answers raise."""
    cupy = import_cupy()
    errors = {}
    for n in EXAMPLES:
        hosts = arrays(n)
        exact = cka_matrix(hosts, "biased")
        for route, products in itertools.product(SMALL, LIMITS):
            xs = [cupy.asarray(x) for x in hosts] if on_device else hosts
            for tiles in ("cuBLAS", "fused") if products.startswith("float16") else ("cuBLAS",):
                forced = {"route": route, "products": products, "tiles": tiles, **SMALL[route]}
                cka = repeated_cka(xs, repeats=repeats, **forced)
                name = f"n={n} {route} {products} {tiles}"
                error = float(np.abs(cka - exact).max())
                if not error <= LIMITS[products]:
                    raise AssertionError(f"{name}: error {error:.1e}")
                errors[name] = error
    close()
    return errors


def main():
    import_cupy().cuda.set_allocator(None)
    for on_device in (True, False):
        for name, error in run(on_device=on_device).items():
            print(f"{name}, arrays on the {'device' if on_device else 'host'}: error {error:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
