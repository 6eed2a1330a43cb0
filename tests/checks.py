"""Ways to hold the pass against the definitions, and random cases to do so on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import fastcka
import oracle
from fastcka.core.arrays import as_view
from fastcka.core.backend import Pass, resolve_implementation, run_passes, speed_of
from fastcka.core.estimators import estimate
from fastcka.core.plan import FEW_EXAMPLES, make_plan

KINDS = ("plain", "scaled", "rank one", "relu", "outlier feature")


def case(seed):
    rng = np.random.default_rng([7, seed])
    kind = KINDS[seed % len(KINDS)]
    n = int(np.exp(rng.uniform(np.log(4), np.log(4097))))
    offset = (0.0, 10.0, 1000.0)[seed // len(KINDS) % 3]
    shared = rng.standard_normal((n, 3))
    xs = []
    for _ in range(2):
        d = int(np.exp(rng.uniform(0, np.log(4097))))
        d = min(d, max(1, 8_000_000 // n))
        x = shared @ rng.standard_normal((3, d)) + rng.uniform(0.1, 3) * rng.standard_normal((n, d))
        if kind == "rank one":
            x = np.outer(shared[:, 0] + 0.1 * rng.standard_normal(n), rng.standard_normal(d))
        elif kind == "relu":
            x = np.maximum(x, 0)
        elif kind == "outlier feature":
            x[:, 0] *= 1000
        x = x + offset * x.std()
        if kind == "scaled":
            x = x * 10.0 ** rng.uniform(-6, 6)
        xs.append(x.astype(np.float32))
    return kind, offset, xs


def worst_error(xs, device, precision="high"):
    worst = 0.0
    for estimator in ("biased", "unbiased"):
        # A self-HSIC near zero (n of 4 or 5) makes the ratio, not the sums, ill-conditioned; it is
        # exactly zero if all examples but one are equal.
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = oracle.cka_matrix(xs, estimator)[0, 1]
        if not abs(expected) < 1.5:
            continue
        found = fastcka.cka(*xs, estimator=estimator, device=device, precision=precision)
        assert np.isfinite(found)
        worst = max(worst, abs(found - expected))
    return worst


def worst_error_of(found, xs):
    """The largest error of both CKA matrices, by estimator, on data with far examples; or NaN."""
    return np.max(
        [
            np.abs(found[estimator] - oracle.cka_matrix_about_median(xs, estimator))
            for estimator in ("biased", "unbiased")
        ]
    )


def cka_by(representations, *, route, tiles=1, threads=2, precision="high", chunk=256):
    """Both CKA matrices by a pass whose route and tile are forced."""
    views = [as_view(x, f"x{i}") for i, x in enumerate(representations)]
    implementation = resolve_implementation()
    plan = make_plan(
        views[0].n_examples,
        [view.n_features for view in views],
        itemsizes=[4] * len(views),
        implementation=implementation,
        speed_of=lambda panels, used: speed_of(implementation.name, panels.products, used),
        threads=threads,
        precision=precision,
    )
    panels = {
        "float64": implementation.float64,
        "high": implementation.float32,
        "fast": implementation.fast,
    }["float64" if views[0].n_examples <= FEW_EXAMPLES else precision]
    plan = replace(
        plan,
        products=panels.products,
        route=route,
        tile=tiles * panels.step,
        threads=threads,
        chunk=chunk,
    )
    names = [str(i) for i in range(len(views))]
    (passed,) = run_passes([Pass(views, names, plan)], threads=threads)
    return {name: estimate(passed.sums, name).cka for name in ("biased", "unbiased")}


def check(representations, expected_of=None, *, tolerance=2e-7, **how):
    got = cka_by(representations, **how)
    for estimator, matrix in got.items():
        expected = oracle.cka_matrix(expected_of or representations, estimator)
        np.testing.assert_allclose(matrix, expected, atol=tolerance, rtol=0)
        np.testing.assert_array_equal(np.diag(matrix), 1.0)
        np.testing.assert_array_equal(matrix, matrix.T)
