"""Small passes over plain arrays: the same values and errors as in the usual way."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.core.backend import IMPLEMENTATION_VARIABLE, describe
from fastcka.errors import DegenerateWarning, InputError


def usual(xs, **options):
    """Compare in the usual way, which reports the progress."""
    return fastcka.compare(xs, progress=lambda done, total: None, **options)


def same(one, other):
    names = ("biased", "unbiased", "hsic_biased", "hsic_unbiased", "pairs")
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)
    assert (one.labels, one.n_examples, one.undefined) == (
        other.labels,
        other.n_examples,
        other.undefined,
    )
    differ = {"seconds"}
    assert one.provenance.keys() == other.provenance.keys()
    for name in one.provenance.keys() - differ:
        assert one.provenance[name] == other.provenance[name]


@pytest.fixture
def only_plain(monkeypatch):
    """Refuse the usual way."""

    def refuse(*arguments, **options):
        raise AssertionError("the usual way was taken")

    monkeypatch.setattr(sys.modules["fastcka.core.compare"], "begin", refuse)


def layouts(x):
    """The same values in memory of different orders."""
    wide = np.zeros((len(x) * 2, x.shape[1] * 3), x.dtype)
    wide[::2, ::3] = x
    return [x, np.asfortranarray(x), wide[::2, ::3], x[::-1].copy()[::-1]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("n", "d"), [(4, 3), (30, 64), (100, 64), (100, 8), (300, 20), (1000, 9)])
def test_values_have_the_bits_of_the_usual_way(rng, n, d, dtype):
    xs = [rng.standard_normal((n, d)).astype(dtype), rng.standard_normal((n, d + 1)).astype(dtype)]
    xs.append((xs[0] + 1).astype("float32"))
    for implementation in describe()["implementations"]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(IMPLEMENTATION_VARIABLE, implementation)
            same(fastcka.compare(xs), usual(xs))
            assert fastcka.compare(xs).provenance["implementation"] == implementation


def test_any_layout_is_plain(rng, only_plain):
    x, y = rng.standard_normal((2, 40, 7))
    expected = oracle.cka_matrix([x, y], "unbiased")[0, 1]
    for a in layouts(x):
        for b in layouts(y):
            assert fastcka.cka(a, b) == pytest.approx(expected, abs=1e-12)


def test_calls_of_one_shape_read_their_own_arrays(rng, only_plain):
    for _ in range(3):
        x, y = rng.standard_normal((2, 50, 6))
        assert fastcka.cka(x, y) == pytest.approx(
            oracle.cka_matrix([x, y], "unbiased")[0, 1], abs=1e-12
        )
        x[:] = y
        assert fastcka.cka(x, y) == pytest.approx(1, abs=1e-12)
        assert fastcka.hsic(x, y) == pytest.approx(oracle.hsic_unbiased(x, y), rel=1e-12)


def test_far_examples_are_plain(rng, only_plain):
    x, y = rng.standard_normal((2, 90, 12))
    x[17] *= 1e4
    y[17] *= 1e4
    expected = oracle.cka_matrix_about_median([x, y], "unbiased")[0, 1]
    assert fastcka.cka(x, y) == pytest.approx(expected, abs=1e-12)


def test_lost_digits_are_computed_again(rng):
    x = (np.eye(300) + 1e-4 * rng.standard_normal((300, 300))).astype(np.float32)
    y = rng.standard_normal((300, 300)).astype(np.float32)
    for estimator in ("biased", "unbiased"):
        assert fastcka.cka(x, y, estimator=estimator) == pytest.approx(
            oracle.cka_matrix([x, y], estimator)[0, 1], abs=1e-8
        )
    assert "lost the digits" in fastcka.compare([x, y]).provenance["plan"]


def test_what_is_wrong_is_named_as_in_the_usual_way(rng):
    x = rng.standard_normal((20, 3))
    bad = x.copy()
    bad[4, 2] = np.nan
    with pytest.raises(InputError, match="1 NaN or infinite value, the first at example 4, fea"):
        fastcka.cka(x, bad)
    with pytest.raises(InputError, match=r"y\) has 19 examples and .*x\) has 20"):
        fastcka.cka(x, x[:19])
    with pytest.raises(InputError, match="needs at least 4 examples, got 3"):
        fastcka.cka(x[:3], x[:3])
    with pytest.raises(InputError, match="is empty"):
        fastcka.cka(x, x[:, :0])
    with pytest.warns(DegenerateWarning, match="CKA with y is NaN: zero variance"):
        assert np.isnan(fastcka.cka(x, np.ones((20, 3))))
    # All examples are equally far apart: only the biased estimate is defined.
    assert fastcka.cka(np.eye(20), x, estimator="biased") == pytest.approx(
        oracle.cka_matrix([np.eye(20), x], "biased")[0, 1], abs=1e-12
    )


def test_other_byte_orders_subclasses_and_integers_take_the_usual_way(rng):
    x, y = rng.integers(0, 9, (2, 30, 4)).astype("float64")
    expected = oracle.cka_matrix([x, y], "unbiased")[0, 1]
    for a in (x.astype(">f8"), x.astype(np.int8), x.tolist(), x.view(np.recarray), x[:, :, None]):
        assert fastcka.cka(a, y) == pytest.approx(expected, abs=1e-12)
