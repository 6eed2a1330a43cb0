"""The oracle against its definition and values by hand."""

from __future__ import annotations

import numpy as np
import pytest

import oracle


def test_unbiased_formula_is_the_u_statistic():
    rng = np.random.default_rng(0)
    for n in (4, 5, 7):
        x, y = rng.standard_normal((n, 3)), rng.standard_normal((n, 2))
        assert oracle.hsic_unbiased(x, y) == pytest.approx(oracle.hsic_u_statistic(x, y), rel=1e-10)


def test_biased_by_hand():
    # x = (0, 1, 2), y = (0, 1, 1): centred (-1, 0, 1) and (-2, 1, 1)/3; tr(KHLH) = (x.y)^2 = 1.
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([[0.0], [1.0], [1.0]])
    assert oracle.hsic_biased(x, y) == pytest.approx(1 / 4)
    # (x.x)^2 = 4 and (y.y)^2 = (6/9)^2 = 4/9: CKA = 1 / sqrt(4 * 4/9) = 3/4.
    assert oracle.cka(x, y, "biased") == pytest.approx(3 / 4)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_matrix_is_the_pairwise_formula(estimator):
    rng = np.random.default_rng(1)
    xs = [rng.standard_normal((20, d)) + 3 for d in (1, 4, 30)]
    expected = [[oracle.cka(x, y, estimator) for y in xs] for x in xs]
    np.testing.assert_allclose(oracle.cka_matrix(xs, estimator), expected, rtol=1e-10)
