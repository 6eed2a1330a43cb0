"""Batches of examples: exact CKA from an accumulator, and minibatch CKA."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.core import minibatch_cka
from fastcka.errors import InputError, OutOfMemoryError
from samples import related, with_far_rows


def parts(rng, n, most=8):
    """Row numbers of 0 to n in random batches, some of one example."""
    cuts = np.sort(rng.integers(0, n + 1, size=rng.integers(0, most)))
    return [rows for rows in np.split(np.arange(n), cuts) if len(rows)]


def accumulated(xs, batches):
    accumulator = fastcka.Accumulator()
    for rows in batches:
        accumulator.update([x[rows] for x in xs])
    return accumulator


def check(accumulator, xs, tolerance=1e-12):
    xs = [x.astype(float) for x in xs]
    scales = [np.abs(x - x.mean(axis=0)).max() for x in xs]
    xs = [x / scale for x, scale in zip(xs, scales, strict=True)]
    for estimator in ("biased", "unbiased"):
        result = accumulator.result(estimator=estimator)
        assert result.n_examples == len(xs[0])
        np.testing.assert_allclose(
            result.cka, oracle.cka_matrix(xs, estimator), rtol=0, atol=tolerance
        )
        definition = oracle.hsic_biased if estimator == "biased" else oracle.hsic_unbiased
        expected = definition(xs[0], xs[-1]) * scales[0] ** 2 * scales[-1] ** 2
        largest = definition(xs[0], xs[0]) * definition(xs[-1], xs[-1])
        largest = np.sqrt(largest) * scales[0] ** 2 * scales[-1] ** 2
        np.testing.assert_allclose(result.hsic[0, -1], expected, rtol=0, atol=1e-11 * largest)


@pytest.mark.parametrize("seed", range(200))
def test_any_batches_merged_and_saved(seed, tmp_path):
    rng = np.random.default_rng([17, seed])
    n = int(rng.integers(6, 150))
    shared = rng.standard_normal((n, 3))
    xs = []
    for width in rng.integers(1, 20, size=rng.integers(1, 4)):
        x = shared @ rng.standard_normal((3, width)) + rng.standard_normal((n, width))
        x += 10.0 ** rng.uniform(-2, 3) * rng.standard_normal(width)
        xs.append(x * 10.0 ** rng.uniform(-30, 30))
    if seed % 3 == 0:  # the mean of the first batch is then far from that of all
        order = np.argsort(xs[0][:, 0])
        xs = [x[order] for x in xs]
    accumulators = [fastcka.Accumulator() for _ in range(rng.integers(1, 5))]
    for rows in parts(rng, n):
        chosen = int(rng.integers(len(accumulators)))
        accumulators[chosen].update([x[rows] for x in xs])
        if rng.random() < 0.3:
            accumulators[chosen].save(tmp_path / "sums.npz")
            accumulators[chosen] = fastcka.Accumulator.load(tmp_path / "sums.npz")
    rng.shuffle(accumulators)
    whole = accumulators.pop()
    for other in accumulators:
        whole.merge(other)
    check(whole, xs)


def test_the_same_batches_give_the_same_bits(rng, tmp_path):
    xs = related(rng, 300, (5, 40))
    batches = parts(rng, 300)
    first, second = accumulated(xs, batches), accumulated(xs, batches[:-1])
    second.result()  # changes nothing
    second.save(tmp_path / "sums.npz")
    second = pickle.loads(pickle.dumps(fastcka.Accumulator.load(tmp_path / "sums.npz")))
    second.update([x[batches[-1]] for x in xs])
    np.testing.assert_array_equal(first.result().cka, second.result().cka)
    np.testing.assert_array_equal(first.result().hsic_biased, second.result().hsic_biased)


def test_equals_compare(rng):
    arrays = dict(zip("abc", related(rng, 500, (3, 64, 200)), strict=True))
    accumulator = fastcka.Accumulator()
    for start in range(0, 500, 64):
        batch = {name: x[start : start + 64] for name, x in arrays.items()}
        accumulator.update(dict(reversed(batch.items())) if start else batch)
    result, expected = accumulator.result(), fastcka.compare(arrays, precision="float64")
    assert result.labels == expected.labels
    np.testing.assert_allclose(result.cka, expected.cka, atol=1e-12)
    np.testing.assert_allclose(result.hsic_unbiased, expected.hsic_unbiased, rtol=1e-11)
    np.testing.assert_array_equal(result.pairs, expected.pairs)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("count", [1, 8, 150])
@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("factor", [30, 1e4, 1e6])
def test_examples_far_from_the_rest(factor, alike, count, first):
    xs = with_far_rows(3, 400, 12, count, factor, alike=alike, offset=100.0)
    if first:  # a batch of the far example alone
        order = np.argsort(-np.abs(xs[0]).max(axis=1))
        xs = [x[order] for x in xs]
    batches = [np.arange(1), *np.split(np.arange(1, 400), [50, 51, 200])]
    accumulator = accumulated(xs, batches)
    expected = oracle.cka_matrix_about_median(xs, "unbiased")
    np.testing.assert_allclose(accumulator.result().cka, expected, rtol=0, atol=1e-8)


def test_features_that_do_not_vary_at_first(rng):
    x, y = rng.standard_normal((2, 60, 4))
    x[:30] = 0.1
    y *= 1e-150
    y[:20] = 0.3e-150
    check(accumulated([x, y], np.split(np.arange(60), 6)), [x, y])


def test_constant_representation(rng):
    x = np.full((20, 3), 0.1)
    result = accumulated([x, rng.standard_normal((20, 2))], np.split(np.arange(20), 4)).result()
    assert np.isnan(result.cka[0]).all()
    assert result.cka[1, 1] == 1
    assert result.undefined == {0: "zero variance: no feature varies over the examples"}


def test_refused_batches_change_nothing(rng):
    x, y = related(rng, 40, (3, 5))
    accumulator = fastcka.Accumulator()
    with pytest.raises(InputError, match="no examples: call update first"):
        accumulator.result()
    accumulator.update({"x": x, "y": y})
    before = accumulator.result().cka
    wrong = y.copy()
    wrong[3, 2] = np.nan
    for batch, message in [
        ({"x": x, "y": wrong}, r"\(y\) holds 1 NaN .* example 3, feature 2"),
        ({"x": x}, r"expected the labels of the first batch \(x, y\), got x"),
        ({"x": x, "z": y}, r"expected the labels .* got x, z"),
        ([x, y], r"expected the labels .* got 0, 1"),
        ({"x": x, "y": y[:, :4]}, r"\(y\) has 4 features, but 5 in the first batch"),
        ({"x": x, "y": y[1:]}, r"\(y\) has 39 examples and .*\(x\) has 40"),
        ({"x": x, "y": y.astype(float) * 1e305}, r"\(y\) holds values too large"),
        ({}, "is empty"),
    ]:
        with pytest.raises(InputError, match=message):
            accumulator.update(batch)
    with pytest.raises(InputError, match=r"labels in this order .* \(x, y\), got y, x"):
        accumulator.update([y, x], labels=["y", "x"])
    np.testing.assert_array_equal(accumulator.result().cka, before)


NS = 10**18
"""Some nanoseconds since 1970: float64 rounds them to multiples of 128."""


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x + NS,
        lambda x: (x + NS).astype(np.uint64),
        lambda x: (x + NS).tolist(),
        lambda x: pytest.importorskip("torch").from_numpy(x + NS),
        lambda x: pytest.importorskip("pandas").DataFrame(x + NS),
        lambda x: x.astype(np.longdouble) + NS,
        lambda x: x.astype(np.longdouble) / 3,
    ],
    ids=["int64", "uint64", "lists", "torch", "pandas", "longdouble", "longdouble fractions"],
)
def test_no_constant_that_differs_between_batches_is_subtracted(rng, convert):
    x, y = rng.integers(1, 1000, (80, 3)), rng.standard_normal((80, 2))
    x[40:] += 5000
    accumulator = fastcka.Accumulator()
    accumulator.update([x[:40], y[:40]])
    with pytest.raises(InputError, match=r"representations\[0\].*(float64 cannot|would round)"):
        accumulator.update([convert(x[40:]), y[40:]])
    accumulator.update([x[40:], y[40:]])
    check(accumulator, [x, y])


def test_refused_merges(rng):
    x, y = related(rng, 40, (3, 5))
    accumulator, other = accumulated([x, y], [slice(None)]), accumulated([x, x], [slice(None)])
    with pytest.raises(InputError, match="has 3 features, but 5"):
        accumulator.merge(other)
    with pytest.raises(InputError, match="with itself"):
        accumulator.merge(accumulator)
    with pytest.raises(InputError, match="must be an Accumulator, got dict"):
        accumulator.merge({"x": x})
    before = accumulator.result().cka
    accumulator.merge(fastcka.Accumulator())
    empty = fastcka.Accumulator()
    empty.merge(accumulator)
    for same in (accumulator, empty):
        np.testing.assert_array_equal(same.result().cka, before)


def test_an_interrupted_update_is_not_used(rng, monkeypatch):
    (x,) = related(rng, 40, (3,))
    accumulator = accumulated([x], [slice(None)])

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastcka.core.moments.Moments.blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        accumulator.update([x])
    monkeypatch.undo()
    for call in (accumulator.result, lambda: accumulator.update([x])):
        with pytest.raises(InputError, match="interrupted while it added examples"):
            call()


@pytest.mark.parametrize("far", [False, True])
def test_the_chance_level_is_that_of_compare(rng, far):
    xs = related(rng, 90, (3, 5))
    if far:
        xs[0][[4, 70]] *= 1e3
    accumulator = accumulated(xs, [slice(0, 40), slice(40, 90)])
    for estimator in ("biased", "unbiased", "feature_corrected"):
        result = accumulator.result(estimator=estimator)
        expected = fastcka.compare(xs, estimator=estimator, precision="float64")
        for name in ("null_mean", "null_sd", "z", "feature_corrected"):
            given, wanted = getattr(result, name)[0, 1], getattr(expected, name)[0, 1]
            assert given == pytest.approx(wanted, rel=1e-7, abs=1e-12, nan_ok=True)
        assert result.p_value is None
        assert "with 3 to 5 features" in result.methods()
    assert result.undefined == expected.undefined


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e6])
def test_the_feature_correction_is_that_of_each_feature(rng, factor):
    """Chun et al. 2025: the self-similarity without that of each feature with itself."""
    x = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 5)) + 0.3 * rng.standard_normal(
        (60, 5)
    )
    x[7] *= factor
    y = x @ rng.standard_normal((5, 4))
    accumulator = accumulated([x + 100, y - 50], [slice(0, 35), slice(35, 60)])
    hsic = oracle.hsic_unbiased
    scales = [
        d / (d - 1) * (hsic(z, z) - sum(hsic(z[:, [a]], z[:, [a]]) for a in range(d)))
        for z, d in ((x, 5), (y, 4))
    ]
    expected = hsic(x, y) / np.sqrt(scales[0] * scales[1])
    # The definition itself loses digits where an example is far from the rest.
    result = accumulator.result(estimator="feature_corrected")
    assert result.cka[0, 1] == pytest.approx(expected, rel=1e-10 if factor < 1e6 else 1e-3)


def test_files_that_are_no_saved_accumulator(rng, tmp_path):
    (x,) = related(rng, 40, (3,))
    path = tmp_path / "sums.npz"
    with pytest.raises(InputError, match="there is nothing to save"):
        fastcka.Accumulator().save(path)
    fastcka.compare([x, x]).save(path)
    with pytest.raises(InputError, match=r"expected fastcka\.accumulator version 2, got"):
        fastcka.Accumulator.load(path)
    accumulated([x], [slice(None)]).save(path)
    with pytest.raises(
        InputError, match=r"fastcka\.comparison version 1 or 2, got fastcka\.accumulator"
    ):
        fastcka.Comparison.load(path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "less.npz", "w") as less:
        for name in whole.namelist():
            if name != "rows.npy":
                less.writestr(name, whole.read(name))
    with pytest.raises(InputError, match=r"is not a saved accumulator: .*rows"):
        fastcka.Accumulator.load(tmp_path / "less.npz")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="is not a saved accumulator"):
        fastcka.Accumulator.load(path)
    with pytest.raises(InputError, match="No such file"):
        fastcka.Accumulator.load(tmp_path / "none.npz")


def test_too_wide_for_the_memory():
    x = np.zeros((1, 3_000_000), np.float32)
    with pytest.raises(OutOfMemoryError, match=r"3,000,000 features in all.*narrower"):
        fastcka.Accumulator().update([x])


WEIGHTS = {"pairs": lambda n: n * (n - 3), "examples": lambda n: n, "equal": lambda n: 1}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_minibatch_cka(rng, weights):
    xs = related(rng, 50, (4, 9))
    batches = [[x[rows] for x in xs] for rows in np.split(np.arange(50), [20, 24, 31])]

    def total(i, j):
        return sum(
            WEIGHTS[weights](len(batch[0])) * oracle.hsic_unbiased(batch[i], batch[j])
            for batch in batches
        )

    expected = total(0, 1) / np.sqrt(total(0, 0) * total(1, 1))
    values = minibatch_cka(batches, weights=weights)
    np.testing.assert_allclose(values, [[1, expected], [expected, 1]], atol=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_minibatches_whose_self_hsic_is_zero(rng, weights):
    """One example that differs from all others has the Gram matrix of u_i + u_j, and HSIC_1 = 0."""
    one = np.eye(2)[[1, *[0] * 7]]
    (x,) = related(rng, 16, (4,))
    batches = [(one, x[:8]), (one + 3, x[8:])]
    values = minibatch_cka(batches, weights=weights)
    np.testing.assert_array_equal(np.isnan(values), [[True, True], [True, False]])


def test_minibatches_that_are_refused(rng):
    x, y = related(rng, 40, (3, 5))
    with pytest.raises(InputError, match=r"batch 1 has 3 examples, .* at least 4"):
        minibatch_cka([(x, y), (x[:3], y[:3])])
    with pytest.raises(InputError, match="batch 1 contains other representations"):
        minibatch_cka([{"x": x, "y": y}, {"y": y, "x": x}])
    for factor in (1e-90, 1e90):
        with pytest.raises(InputError, match=r"batch 1, representation 0 \(0\): expected values"):
            minibatch_cka([(x, y), (np.float64(x) * factor, y)])
    with pytest.raises(InputError, match="batches is empty"):
        minibatch_cka([])
    with pytest.raises(InputError, match="weights must be one of pairs, examples, equal, got 'n'"):
        minibatch_cka([(x, y)], weights="n")
