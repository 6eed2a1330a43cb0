"""Changes of the data that must, or must not, change CKA, on data from hypothesis.

``pytest tests/core/test_invariants.py --cases 1000`` tries more data than the default of 300.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import fastcka
import oracle
from checks import cka_by
from samples import related


@st.composite
def pairs_of_representations(draw):
    """Draw two float32 representations with a shared part, and their sizes, scale and offset."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(6, 150))
    shared = rng.standard_normal((n, 3))
    xs = []
    for _ in range(2):
        d = draw(st.integers(1, 40))
        scale = 10.0 ** draw(st.integers(-6, 6))
        offset = draw(st.sampled_from([0.0, 10.0, 1000.0]))
        x = shared @ rng.standard_normal((3, d)) + rng.standard_normal((n, d)) + offset
        xs.append((x * scale).astype(np.float32))
    return rng, xs


estimators = st.sampled_from(["biased", "unbiased"])


def well_posed(x, y, estimator):
    """Skip data whose unbiased self-HSIC is near 0, because the ratio amplifies rounding."""
    if estimator == "unbiased":
        for z in (x, y):
            assume(oracle.hsic_unbiased(z, z) > 0.05 * oracle.hsic_biased(z, z))


@given(pairs_of_representations(), estimators)
def test_symmetric(device, sample, estimator):
    _, (x, y) = sample
    well_posed(x, y, estimator)
    forward, backward = (
        fastcka.cka(x, y, estimator=estimator, device=device),
        fastcka.cka(y, x, estimator=estimator, device=device),
    )
    assert forward == (backward if device == "cpu" else pytest.approx(backward, abs=1e-6))


@given(pairs_of_representations(), estimators)
def test_one_with_itself(device, sample, estimator):
    _, (x, y) = sample
    well_posed(x, y, estimator)
    matrix = fastcka.cka_matrix([x, y, x.copy()], estimator=estimator, device=device)
    np.testing.assert_array_equal(np.diag(matrix), 1.0)
    assert matrix[0, 2] == (1.0 if device == "cpu" else pytest.approx(1.0, abs=1e-6))


@given(pairs_of_representations())
def test_biased_is_between_zero_and_one(device, sample):
    _, (x, y) = sample
    for other in (y, x[:, ::-1], 3 * x + 1):
        assert 0 <= fastcka.cka(x, other, estimator="biased", device=device) <= 1
        assert -1 <= fastcka.cka(x, other, device=device) <= 1


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("precision", ["high", "float64"])
def test_symmetric_and_one_with_itself_to_the_last_bit(implementation, rng, route, precision):
    for n, widths in ((90, (5, 40)), (333, (20, 130)), (1000, (64, 64))):
        x, y = related(rng, n, widths)
        forward = cka_by([x, y, x.copy()], route=route, precision=precision)
        backward = cka_by([y, x], route=route, precision=precision)
        for estimator in forward:
            assert forward[estimator][0, 1] == backward[estimator][0, 1]
            assert forward[estimator][0, 2] == 1.0


@given(pairs_of_representations(), estimators)
def test_isotropic_scale(device, sample, estimator):
    rng, (x, y) = sample
    well_posed(x, y, estimator)
    before = fastcka.cka(x, y, estimator=estimator, device=device)
    # Powers of two are exact, so no bit may change.
    power = np.float32(2.0 ** rng.integers(-20, 20))
    assert fastcka.cka(power * x, y, estimator=estimator, device=device) == before


@given(pairs_of_representations(), estimators)
def test_orthogonal_transform_and_shift(device, sample, estimator):
    rng, (x, y) = sample
    well_posed(x, y, estimator)
    q, _ = np.linalg.qr(rng.standard_normal((x.shape[1],) * 2))
    turned = x.astype(np.float64) @ q * 0.3 + rng.standard_normal(x.shape[1]) * x.std()
    before = fastcka.cka(
        x.astype(np.float64), y, estimator=estimator, precision="float64", device=device
    )
    after = fastcka.cka(turned, y, estimator=estimator, precision="float64", device=device)
    assert after == pytest.approx(before, abs=1e-6)


@given(pairs_of_representations(), estimators)
def test_joint_permutation_of_the_examples(device, sample, estimator):
    rng, (x, y) = sample
    well_posed(x, y, estimator)
    order = rng.permutation(len(x))
    before = fastcka.cka(x, y, estimator=estimator, device=device)
    assert fastcka.cka(x[order], y[order], estimator=estimator, device=device) == pytest.approx(
        before, abs=2e-6
    )


@given(pairs_of_representations())
def test_permuting_one_side_only_changes_cka(device, sample):
    _, (x, _) = sample
    order = np.roll(np.arange(len(x)), 1)
    assert fastcka.cka(x, x[order], estimator="biased", device=device) < 1 - 1e-4


def test_independent_data_is_unbiased(device):
    # With d >> n, the biased estimate of unrelated data nears 1; the unbiased one is 0 on average.
    rng = np.random.default_rng(0)
    draws = [rng.standard_normal((2, 32, 500)) for _ in range(300)]
    unbiased = [fastcka.cka(x, y, device=device) for x, y in draws]
    biased = [fastcka.cka(x, y, estimator="biased", device=device) for x, y in draws]
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / np.sqrt(len(unbiased))
    assert min(biased) > 0.9
