"""Bad or degenerate input gives a named error, or NaN with a reason."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.core.estimators import estimate
from fastcka.core.sums import Sums
from fastcka.errors import DegenerateWarning, InputError, InternalError, OutOfMemoryError
from samples import staged_copy


@pytest.fixture
def x(rng):
    return rng.standard_normal((20, 3))


@pytest.mark.parametrize(
    ("n", "estimator", "message"),
    [
        (
            3,
            "unbiased",
            "at least 4 examples, got 3; the biased estimator needs 2",
        ),
        (1, "unbiased", "at least 4 examples, got 1"),
        (1, "biased", "biased estimator needs at least 2 examples, got 1"),
    ],
)
def test_too_few_examples(device, rng, n, estimator, message):
    with pytest.raises(InputError, match=message):
        fastcka.cka(
            rng.standard_normal((n, 3)),
            rng.standard_normal((n, 3)),
            estimator=estimator,
            device=device,
        )


def test_fewest_examples_by_hand(device):
    x, y = np.array([[0.0], [1.0]]), np.array([[0.0], [-3.0]])
    assert fastcka.cka(x, y, estimator="biased", device=device) == 1.0
    # centred +-1/2 and +-3/2: tr(KHLH) = (x.y)^2 = (3/2)^2, over (n-1)^2 = 1
    assert fastcka.hsic(x, y, estimator="biased", device=device) == 2.25
    # n = 3 with "biased": the unbiased matrix is NaN
    three = np.array([[0.0], [1.0], [5.0]])
    result = fastcka.compare([three, three**2], estimator="biased", device=device)
    assert np.isfinite(result.biased).all()
    assert np.isnan(result.unbiased).all()


def test_zero_variance_is_nan_with_a_reason(device, x):
    constant = np.full((20, 4), 0.1)  # the sum of 20 x 0.1 is not exact in float64
    with pytest.warns(DegenerateWarning, match="CKA with y is NaN: zero variance"):
        assert np.isnan(fastcka.cka(x, constant, device=device))
    result = fastcka.compare({"x": x, "flat": constant, "z": x**2}, device=device)
    assert list(result.undefined) == [1]
    assert "zero variance" in result.undefined[1]
    assert np.isnan(result.cka[1]).all()
    assert np.isnan(result.cka[:, 1]).all()
    assert np.isfinite(result.cka[np.ix_([0, 2], [0, 2])]).all()
    assert fastcka.hsic(x, constant, device=device) == 0
    with pytest.warns(DegenerateWarning, match=r"CKA with representations\[1\] is NaN"):
        fastcka.cka_matrix([x, constant], device=device)


def test_one_constant_feature_changes_nothing(device, x):
    padded = np.hstack([x, np.full((20, 1), 1e6)])
    assert fastcka.cka(x**2, padded, device=device) == pytest.approx(
        fastcka.cka(x**2, x, device=device), abs=1e-12
    )


@pytest.mark.parametrize("n", [5, 8, 64, 65, 300])
def test_equidistant_examples_have_no_unbiased_cka(device, rng, n):
    # One-hot rows have equal off-diagonal Gram entries, so HSIC_1(x, x) is exactly zero. Its
    # rounding error must not become a similarity.
    y = rng.standard_normal((n, 2))
    with pytest.warns(DegenerateWarning, match="CKA with x is NaN: its unbiased self-HSIC is zero"):
        assert np.isnan(fastcka.cka(np.eye(n) * 3 + 1, y, device=device))
    result = fastcka.compare([np.eye(n), y], device=device)
    assert list(result.undefined) == [0]
    assert np.isfinite(result.biased).all()


def test_orthogonal_examples_of_different_lengths_have_no_unbiased_cka(device, rng):
    """Their squared distances are sums b_i + b_j, so the unbiased self-HSIC is zero."""
    x = np.diag(np.arange(1.0, 7.0))
    assert oracle.hsic_unbiased(x, x) == pytest.approx(0, abs=1e-12)
    result = fastcka.compare([x, rng.standard_normal((6, 2))], device=device)
    assert np.isnan(result.unbiased[0]).all()
    assert "is zero within rounding, for example because" in result.undefined[0]
    assert not np.isnan(result.biased).any()


def test_lost_digits_are_named_without_memory_for_float64(rng, monkeypatch):
    x = np.eye(300) + 1e-4 * rng.standard_normal((300, 300))
    needs = []

    def check(needed, what, remedy):
        needs.append(needed)
        if len(needs) == 2:
            raise OutOfMemoryError("no room for float64")

    monkeypatch.setattr("fastcka.core.memory.require_memory", check)
    result = fastcka.compare([x, rng.standard_normal((300, 300))], device="cpu")
    assert needs[1] > 1.5 * needs[0]
    assert np.isnan(result.cka[0]).all()
    assert "precision 'float64' keeps more digits" in result.undefined[0]
    assert result.provenance["products"] == "float32"


def test_lost_digits_are_recomputed_in_float64(device, rng):
    # Nearly equidistant: the self-HSIC is 1e-6 of its terms, too little for float32.
    x = np.eye(300) + 1e-4 * rng.standard_normal((300, 300))
    y = rng.standard_normal((300, 300))
    result = fastcka.compare([x, y], device=device)
    assert result.cka[0, 1] == pytest.approx(oracle.cka_matrix([x, y], "unbiased")[0, 1], abs=1e-8)
    assert result.provenance["products"] == "float64"
    assert result.provenance["precision"] == "high"
    lost = "; float64, since float(32|16x3) products lost the digits of representations\\[0\\]"
    assert re.search(lost, result.provenance["plan"])


def test_lost_digits_of_overwritten_data_are_named(rng):
    x = (np.eye(300) + 1e-4 * rng.standard_normal((300, 300))).astype(np.float32)
    result = fastcka.compare(
        [staged_copy(x), staged_copy(rng.standard_normal((300, 300)))], device="cpu"
    )
    assert np.isnan(result.cka[0]).all()
    assert "digits were lost" in result.undefined[0]
    assert "precision 'float64' keeps more" in result.undefined[0]
    assert np.isfinite(result.biased).all()


def test_a_similarity_far_out_of_range_is_an_error_of_fastcka():
    # |S0_01| > sqrt(S0_00 S0_11) is impossible for data.
    sums = Sums(
        10,
        s0=np.array([[1.0, 1.1], [1.1, 1.0]]),
        norms=np.zeros((2, 2)),
        r_products=np.zeros((2, 2)),
        r_totals=np.zeros(2),
        summed=np.ones(2),
        near_norms=np.zeros(2),
        exponent=np.zeros(2, np.int32),
        constant=(False, False),
        products="float32",
        epsilon=2.0**-23,
        seconds=0.0,
    )
    for estimator in ("biased", "unbiased"):
        with pytest.raises(InternalError, match="representations 0 and 1 is"):
            estimate(sums, estimator)
    barely = replace(sums, s0=np.array([[1.0, 1 + 1e-7], [1 + 1e-7, 1.0]]))
    assert estimate(barely, "unbiased").cka[0, 1] == 1.0


def test_nearly_equidistant_examples_have_an_unbiased_cka(device, rng):
    # With many independent features, the unbiased self-HSIC is a small part of the biased one.
    x, y = rng.standard_normal((2, 100, 20_000)).astype(np.float32)
    assert fastcka.cka(x, y, device=device) == pytest.approx(
        oracle.cka_matrix([x, y], "unbiased")[0, 1], abs=1e-6
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_non_finite_values_are_located(device, rng, value, dtype):
    x = rng.standard_normal((2100, 70)).astype(dtype)
    bad = x.copy()
    bad[1900, 66] = value
    bad[2000, 3] = value
    with pytest.raises(InputError, match=r"y\) holds 2 NaN or infinite values, .*1900, feature 66"):
        fastcka.cka(x, bad, device=device)
    with pytest.raises(InputError, match=r"representations\[1\] holds 2 NaN"):
        fastcka.cka_matrix([x, bad], device=device)


def test_opposite_infinities_and_overflow(device, rng):
    bad = rng.standard_normal((20, 2))
    bad[3, 0], bad[4, 0] = np.inf, -np.inf
    with pytest.raises(InputError, match="2 NaN or infinite values, the first at example 3"):
        fastcka.cka(bad, bad, device=device)
    with pytest.raises(InputError, match="too large to sum in float64"):
        fastcka.cka(
            np.full((20, 2), 1e308) * rng.uniform(0.5, 1, (20, 2)), np.eye(20), device=device
        )


def test_a_staged_buffer_with_nan_is_unchanged(rng):
    x = rng.standard_normal((100, 5)).astype(np.float32)
    x[50, 2] = np.nan
    staged = staged_copy(x)
    view = staged.array
    with pytest.raises(InputError, match="example 50, feature 2"):
        fastcka.compare([staged, x])
    np.testing.assert_array_equal(staged.array, x)
    assert np.shares_memory(staged.array, view)


def test_a_staged_representation_can_be_used_once(device, rng):
    staged = staged_copy(rng.standard_normal((100, 5)))
    fastcka.compare([staged, np.eye(100)], device=device)
    with pytest.raises(InputError, match="used up by an earlier pass"):
        fastcka.compare([staged, np.eye(100)], device=device)


def test_staged_representations_that_share_memory_are_refused(rng):
    # Large enough for float32 products in place.
    staged = staged_copy(rng.standard_normal((300, 200)))
    array = staged.array
    for others in ([staged], [array], [array[:, ::-1]]):
        with pytest.raises(InputError, match="representations 0 and 1 share memory"):
            fastcka.compare([staged, *others], labels=["a", "b"])


def test_different_numbers_of_examples(device, x):
    with pytest.raises(InputError, match=r"representation 1 \(y\) has 19 examples .* has 20"):
        fastcka.cka(x, x[1:], device=device)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.float64(3.0), r"must have shape \(n_examples, n_features\), got \(\)"),
        (np.zeros(20), r"got \(20,\) \(a single feature is x\[:, None\]\)"),
        (np.zeros((20, 0)), r"is empty: its shape is \(20, 0\)"),
        (np.zeros((20, 2), complex), "must hold real numbers, got dtype complex128"),
        (np.array([["a"] * 2] * 20), "must hold real numbers, got dtype <U1"),
        (np.array([[object()] * 2] * 20), r"dtype object"),
        (np.ma.masked_less(np.arange(40.0).reshape(20, 2), 3), "is a masked array"),
        ([[1.0, 2.0], [3.0]], "expected rows of one length"),
        (None, "array"),
        ("a.npy", r"must be an array, got 'a\.npy'; read_array, from fastcka\.store, reads one"),
    ],
)
def test_wrong_representations_are_refused(device, x, bad, message):
    with pytest.raises(InputError, match=message) as error:
        fastcka.cka(x, bad, device=device)
    assert "(y)" in str(error.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"estimator": "debiased"}, InputError, "estimator must be one of biased, unbiased"),
        ({"precision": "double"}, InputError, "precision must be one of high, fast, float64"),
        ({"threads": 1.5}, InputError, "threads must be a positive integer"),
        ({"device": "tpu"}, InputError, "device must be 'auto', .* of the CPU or a GPU, got 'tpu'"),
        ({"device": "cuda:-1"}, InputError, "got 'cuda:-1'"),
        ({"device": 0}, InputError, "got 0"),
    ],
)
def test_wrong_options_are_refused(x, options, error, message):
    with pytest.raises(error, match=message):
        fastcka.cka(x, x, **options)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([[0, 3]], "positions from 0 to 2"),
        ([[-1, 0]], "positions from 0 to 2"),
        ([[1, 1]], "two different"),
        ([[0, 1], [1, 0]], r"\(a, b\) and \(b, a\) are the same"),
        ([0, 1], r"shape \(P, 2\)"),
        ([[0.0, 1.0]], r"shape \(P, 2\)"),
    ],
)
def test_wrong_pairs_are_refused(x, pairs, message):
    with pytest.raises(InputError, match=message):
        fastcka.compare([x, x, x], pairs=pairs)


def test_wrong_labels_are_refused(x):
    for labels in (["a"], "ab", 2):
        with pytest.raises(InputError, match="labels must be a sequence of 2"):
            fastcka.compare([x, x], labels=labels)


def test_nothing_to_compare():
    with pytest.raises(InputError, match="representations is empty"):
        fastcka.cka_matrix([])


def test_good_input_gives_no_warning(device, x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fastcka.cka(x, x**3, device=device) < 1
