"""What the truncating sums of tensor cores cost, on shapes with the chains of the four GPU cases.

The emulated tensor cores are calibrated against the first record of an H100: with 2 additional bits
the errors below come out, with 1 they are 1.6 times to twice as large, with 3 half as large. The
shapes have fewer examples, features and representations than the cases, but chains as long, and
representations of the same kind.
"""

from __future__ import annotations

import numpy as np
import pytest

from cuda.forced_pass import submitted
from fastcka.core.cuda.cost import CHUNK, EXACT_CHUNK
from fastcka.core.estimators import estimate

#: Noise of the first, the second and the last representation of a case, in deviations of the signal
#: of each of 32 shared features.
LEVELS = (2.0, 2.2, 6.0)
#: Case -> route, examples, features, tile, noise; the largest error of CKA, and the relative error
#: of the biased self-HSIC, that the record shows for chains of 4096 (float16x3 products).
CASES = {
    "A": ("G", 512, 512, 256, LEVELS, 5.3e-6, -2.3e-5),
    "B": ("F", 5000, 128, 384, LEVELS, 6.9e-6, -2.1e-5),
    "C": ("G", 768, 768, 768, LEVELS, 4.2e-6, -2.4e-5),
    "D": ("F", 4096, 1024, 2048, (2.0, 6.0), 2.9e-6, -1.5e-5),
}


def representations(n, d, levels):
    rng = np.random.default_rng(d)
    shared = rng.standard_normal((n, 32), dtype=np.float32)
    return [
        shared @ rng.standard_normal((32, d), dtype=np.float32)
        + np.float32(level) * rng.standard_normal((n, d), dtype=np.float32)
        + 3
        for level in levels
    ]


def biased_hsic(xs):
    """By the features: the oracle's Gram matrices of 5000 examples take a second each."""
    centered = [x - x.mean(0) for x in (x.astype(np.float64) for x in xs)]
    n = len(xs[0])
    return np.array([[np.sum((x.T @ y) ** 2) / (n - 1) ** 2 for y in centered] for x in centered])


def errors(case, chain, products="float16x3"):
    """The largest error of CKA, and the mean relative error of the self-HSIC."""
    route, n, d, tile, levels, *_ = CASES[case]
    xs = representations(n, d, levels)
    forced = {"route": route, "tile": tile, "products": products}
    sums = submitted(xs, **forced, chunk=chain, rank_chunk=chain).result()
    got = estimate(sums, "biased")
    hsic = biased_hsic(xs)
    lengths = np.sqrt(hsic.diagonal())
    relative = got.hsic.diagonal() / hsic.diagonal() - 1
    return np.abs(got.cka - hsic / np.outer(lengths, lengths)).max(), relative.mean()


@pytest.mark.parametrize("case", CASES)
def test_long_chains_have_the_errors_of_the_record(emulated, case):
    *_, cka, hsic = CASES[case]
    got_cka, got_hsic = errors(case, CHUNK)
    assert cka / 2 <= got_cka <= cka * 2
    assert 2 * hsic <= got_hsic <= hsic / 2


@pytest.mark.parametrize("case", CASES)
def test_the_chains_of_the_planner_keep_the_promise_twice(emulated, case):
    assert errors(case, EXACT_CHUNK)[0] <= 0.5e-6
