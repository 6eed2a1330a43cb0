"""Comparisons of the pass with the definitions, and random cases for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import fastcka
import oracle
from fastcka.core import Group, compare_many
from fastcka.core.backend import bytes_needed, resolve_implementation, run_passes, speed_of
from fastcka.core.base_plan import FEW_EXAMPLES
from fastcka.core.estimators import estimate
from fastcka.core.plan import make_plan
from fastcka.core.request import Request
from fastcka.errors import InputError

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
    grams = [oracle.gram(x) for x in xs]
    for estimator in ("biased", "unbiased"):
        # With a self-HSIC near zero (n of 4 or 5), the ratio is ill-conditioned, but not the sums.
        # It is exactly zero if all examples but one are equal.
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = oracle.cka_matrix_of_grams(grams, estimator)[0, 1]
        if not abs(expected) < 1.5:
            continue
        similarity = fastcka.cka(*xs, estimator=estimator, device=device, precision=precision)
        assert np.isfinite(similarity)
        worst = max(worst, abs(similarity - expected))
    return worst


def worst_error_of(matrices, xs):
    """The largest error of the two CKA matrices on data with far examples; or NaN."""
    return np.max(
        [
            np.abs(matrices[estimator] - oracle.cka_matrix_about_median(xs, estimator))
            for estimator in ("biased", "unbiased")
        ]
    )


def cka_by(
    representations, *, route, tiles=1, threads=2, precision="high", chunk=256, products=None
):
    """Both CKA matrices by a pass whose route, tile and perhaps products are forced."""
    request = Request.of_group(Group(representations), "biased")
    views = request.views
    implementation = resolve_implementation()
    plan = make_plan(
        views[0].n_examples,
        [view.n_features for view in views],
        itemsizes=[4] * len(views),
        implementation=implementation,
        speed_of=lambda shape, used: speed_of(implementation.name, shape.products, used),
        gain_of=lambda name, products: 2.0,
        bytes_needed=bytes_needed,
        threads=threads,
        precision=precision,
    )
    kinds = (implementation.split, implementation.fast, implementation.float32)
    shape = {
        "float64": implementation.float64,
        "high": implementation.float32,
        "fast": implementation.fast,
        **{kind.products: kind for kind in kinds if kind is not None},
    }["float64" if views[0].n_examples <= FEW_EXAMPLES else products or precision]
    plan = replace(
        plan,
        products=shape.products,
        route=route,
        tile=tiles * shape.step,
        threads=threads,
        chunk=chunk,
    )
    (sums,) = run_passes([request], [plan], threads=threads)
    return {name: estimate(sums, name).cka for name in ("biased", "unbiased")}


def agrees(arrays, xs, tolerance=5e-6, **options):
    """Compare the arrays, check both CKA matrices against those of `xs`, and return the result."""
    result = fastcka.compare(arrays, **options)
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka_matrix(xs, estimator)
        np.testing.assert_allclose(getattr(result, estimator), expected, atol=tolerance, rtol=0)
    return result


def compared(groups, **options):
    """The results of `compare_many`, one by one; raises the error of a group in its place."""
    return _flat(compare_many(groups, **options))


def _flat(flights):
    for outcomes in flights:
        for outcome in outcomes:
            if isinstance(outcome, InputError):
                raise outcome
            yield outcome


def check(representations, expected_of=None, *, tolerance=2e-7, **how):
    got = cka_by(representations, **how)
    for estimator, matrix in got.items():
        expected = oracle.cka_matrix(expected_of or representations, estimator)
        np.testing.assert_allclose(matrix, expected, atol=tolerance, rtol=0)
        np.testing.assert_array_equal(np.diag(matrix), 1.0)
        np.testing.assert_array_equal(matrix, matrix.T)
