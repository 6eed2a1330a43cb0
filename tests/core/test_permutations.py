"""Permutation tests, compared with the textbook definitions under the same permutations."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.errors import InputError, OutOfMemoryError
from samples import related, staged_copy


def drawn(seed, n, count):
    """Return the permutations that the docstring promises."""
    rng = np.random.Generator(np.random.PCG64(seed))
    return [rng.permutation(n) for _ in range(count)]


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize(("n", "m"), [(33, 2), (40, 12), (130, 3), (77, 6), (70, 34)])
def test_null_equals_brute_force(rng, implementation, n, m, estimator):
    xs = related(rng, n, range(3, 3 + m))
    test = fastcka.permutation_test(xs, n_permutations=6, seed=5, estimator=estimator)
    expected = oracle.permuted_cka(xs, drawn(5, n, 6), estimator)
    np.testing.assert_allclose(test.null, expected, atol=1e-6)
    observed = oracle.permuted_cka(xs, [np.arange(n)], estimator)[0]
    a, b = test.pairs.T
    np.testing.assert_allclose(test.observed[a, b], observed, atol=1e-6)
    reached = (expected >= observed).sum(axis=0)
    # Values closer than this may change places by rounding.
    apart = (np.abs(expected - observed) > 1e-6).all(axis=0)
    np.testing.assert_array_equal(test.p_value[a, b][apart], ((1 + reached) / 7)[apart])
    assert apart.mean() > 0.9
    np.testing.assert_allclose(test.null_mean[a, b], expected.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(test.null_sd[a, b], expected.std(axis=0), atol=1e-6)


def test_observed_equals_compare(rng):
    xs = related(rng, 300, [5, 40, 9])
    compared = fastcka.compare(xs)
    test = fastcka.permutation_test(xs, n_permutations=20)
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(test.observed[off], compared.cka[off], atol=1e-6)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_every_permutation_of_seven_examples(rng, estimator):
    xs = related(rng, 7, [2, 3])
    test = fastcka.permutation_test(xs, n_permutations=5039, estimator=estimator)
    assert test.exact
    assert test.n_permutations == 5039
    assert test.smallest_p == 1 / 5040
    every = oracle.permuted_cka(xs, [np.array(p) for p in permutations(range(7))], estimator)
    both = np.append(test.null[:, 0], test.observed[0, 1])
    np.testing.assert_allclose(np.sort(both), np.sort(every[:, 0]), atol=1e-12)
    reached = (every >= every[0] - 1e-12).mean()
    assert test.p_value[0, 1] == pytest.approx(reached, abs=1e-15)
    closed = fastcka.compare(xs, estimator=estimator)
    assert both.mean() == pytest.approx(closed.null_mean[0, 1], abs=1e-12)
    assert both.std() == pytest.approx(closed.null_sd[0, 1], abs=1e-12)


def sample_of(kind, n, rng):
    """Return two unrelated representations."""
    x, y = rng.standard_normal((n, 5)), rng.standard_normal((n, 3))
    if kind == "heavy tails":
        x, y = rng.standard_t(2, (n, 5)), rng.standard_t(2, (n, 3))
    elif kind == "clusters":
        x, y = x * 0.1 + 4 * rng.integers(0, 3, (n, 1)), y + rng.integers(0, 2, (n, 1))
    elif kind == "far examples":
        x[2], y[[1, 3]] = 300 * x[2], 300 * y[[1, 3]]
    return x, y


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("kind", ["Gaussian", "heavy tails", "clusters", "far examples"])
def test_quantiles_are_those_of_an_independent_loop(rng, kind, estimator):
    n, count = 40, 20_000
    x, y = sample_of(kind, n, rng)
    test = fastcka.permutation_test([x, y], n_permutations=count, estimator=estimator)
    k, m = (oracle.centered_grams(z)[estimator] for z in (x, y))
    k, m = k / np.linalg.norm(k), m / np.linalg.norm(m)
    values = np.empty(count)
    for draw in range(count):
        order = rng.permutation(n)
        values[draw] = (k * m[np.ix_(order, order)]).sum()
    for share in (0.05, 0.01, 0.001):
        quantile = np.quantile(test.null[:, 0], 1 - share)
        # Both samples are random.
        error = np.sqrt(share * (1 - share) * 2 / count)
        assert abs((values > quantile).mean() - share) < 4 * error


def test_any_number_of_threads_gives_the_same_bits(rng):
    xs = related(rng, 333, range(5, 19))
    one, three = (fastcka.permutation_test(xs, n_permutations=40, threads=t) for t in (1, 3))
    np.testing.assert_array_equal(one.null, three.null)
    np.testing.assert_array_equal(one.observed, three.observed)


def test_threshold_and_calibrated_by_hand(rng):
    xs = related(rng, 40, [4, 5])
    test = fastcka.permutation_test(xs, n_permutations=19, level=0.9)
    both = np.sort(np.append(test.null[:, 0], test.observed[0, 1]))
    assert test.threshold[0, 1] == both[17]  # the 18th of 20
    expected = max(0, (test.observed[0, 1] - both[17]) / (1 - both[17]))
    assert test.calibrated[0, 1] == pytest.approx(expected, abs=1e-15)


def test_two_sided_counts_both_tails(rng):
    xs = [rng.standard_normal((30, 4)) for _ in range(2)]
    test = fastcka.permutation_test(xs, n_permutations=50, alternative="two-sided")
    both = np.append(test.observed[0, 1], test.null[:, 0])
    distance = np.abs(both - both.mean())
    assert test.p_value[0, 1] == (distance >= distance[0] - 1e-13).sum() / 51


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("aggregate", ["max", "mean", np.median])
def test_layers_share_permutations(rng, aggregate, interleaved):
    n = 50
    a, b = related(rng, n, [3, 4]), related(rng, n, [5, 6])
    xs = [a[0], b[0], a[1], b[1]] if interleaved else [*a, *b]
    names = ["A", "B", "A", "B"] if interleaved else ["A", "A", "B", "B"]
    labels = [{"model": name, "layer": i} for i, name in enumerate(names)]
    test = fastcka.permutation_test(
        xs, labels=labels, n_permutations=30, seed=2, aggregate=aggregate, groups="model"
    )
    function = getattr(np, aggregate) if isinstance(aggregate, str) else aggregate

    def value(p):
        return function([[oracle.cka(x, y[p], "unbiased") for y in b] for x in a])

    expected = np.array([value(p) for p in drawn(2, n, 30)])
    observed = value(np.arange(n))
    assert test.models.names == ["A", "B"]
    np.testing.assert_allclose(test.models.null[:, 0], expected, atol=1e-6)
    assert test.models.observed[0, 1] == pytest.approx(observed, abs=1e-6)
    assert test.models.p_value[0, 1] == (1 + (expected >= observed).sum()) / 31
    assert list(test.models.to_dataframe()[["model_a", "model_b"]].iloc[0]) == ["A", "B"]


def test_p_values_are_uniform_under_the_null(rng):
    p = []
    for seed in range(400):
        xs = [rng.standard_normal((12, 3)), rng.standard_t(3, (12, 4))]
        test = fastcka.permutation_test(xs, n_permutations=39, seed=seed, threads=1)
        p.append(test.p_value[0, 1])
    # 400 values: a share has a standard error of at most 0.025.
    for share in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert abs(np.mean(np.array(p) <= share + 1e-12) - share) < 0.08


@pytest.mark.parametrize("count", [1, 9, 1500])
def test_p_is_never_zero(rng, count):
    x = rng.standard_normal((30, 3))
    test = fastcka.permutation_test([x, 2 * x], n_permutations=count)
    assert test.p_value[0, 1] == test.smallest_p == 1 / (count + 1)


def test_the_same_seed_gives_the_same_draws_in_any_number(rng):
    xs = related(rng, 20, [3, 4])
    many = fastcka.permutation_test(xs, n_permutations=2100, seed=3).null
    few = fastcka.permutation_test(xs, n_permutations=5, seed=3).null
    np.testing.assert_allclose(many[:5], few, atol=1e-14)
    last = oracle.permuted_cka(xs, drawn(3, 20, 2100)[-1:], "unbiased")
    np.testing.assert_allclose(many[-1:], last, atol=1e-12)


def test_the_result_describes_itself(rng):
    xs = dict(zip(["a", "b", "c"], related(rng, 30, [3, 4, 5]), strict=True))
    test = fastcka.permutation_test(xs, n_permutations=50, seed=7, estimator="biased")
    assert test.names == ["a", "b", "c"]
    assert (test.seed, test.estimator, test.n_permutations) == (7, "biased", 50)
    assert test.smallest_p == 1 / 51
    assert "50 permutations" in repr(test)
    assert test.provenance["fastcka"] == fastcka.__version__
    assert "PCG64(seed)" in test.provenance["permutations"]


def test_an_undefined_layer_makes_its_model_undefined(rng):
    xs = related(rng, 20, [3, 4, 5])
    xs[1] = 3.3 * np.eye(20)  # equidistant examples, whose unbiased self-HSIC is zero
    test = fastcka.permutation_test(xs, n_permutations=9, aggregate="max", groups=["A", "A", "B"])
    assert np.isnan(test.models.p_value).all()


def test_undefined_representations_are_nan(rng):
    x = rng.standard_normal((20, 3))
    test = fastcka.permutation_test(
        {"x": x, "still": np.ones((20, 2)), "y": x[::-1].copy()}, n_permutations=9
    )
    assert list(test.undefined) == [1]
    assert np.isnan(test.p_value[1]).all()
    assert not np.isnan(test.p_value[0, 2])


def test_pairs_and_staged_representations(rng):
    xs = related(rng, 40, [5, 6, 7])
    all_pairs = fastcka.permutation_test(xs, n_permutations=9)
    staged = staged_copy(xs[0])
    some = fastcka.permutation_test([staged, *xs[1:]], n_permutations=9, pairs=[[1, 2]])
    np.testing.assert_array_equal(some.null[:, 0], all_pairs.null[:, 2])
    np.testing.assert_array_equal(staged.array, xs[0])
    assert len(some.to_dataframe()) == 1
    group = fastcka.core.Group(xs)
    np.testing.assert_array_equal(
        fastcka.permutation_test(group, n_permutations=9).null, all_pairs.null
    )


def test_progress_may_stop_it(rng):
    class StopError(Exception):
        pass

    def progress(done, total):
        assert 0 <= done <= total
        raise StopError

    with pytest.raises(StopError):
        fastcka.permutation_test(related(rng, 200, [5, 6]), progress=progress)


def test_progress_runs_over_all_batches(rng):
    seen = []
    fastcka.permutation_test(
        related(rng, 100, [5, 6]),
        n_permutations=3000,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert len({total for _, total in seen}) == 1
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_too_many_examples_are_refused():
    x = np.arange(70_000.0)[:, None]
    with pytest.raises(InputError, match="at most 65,536 examples, got 70,000: test a sample"):
        fastcka.permutation_test([x, x**2], n_permutations=1)


def test_too_much_memory_is_refused():
    x = np.zeros((60_000, 1), np.float32)
    x[0] = 1
    with pytest.raises(OutOfMemoryError, match="test fewer representations at once"):
        fastcka.permutation_test([x] * 40, n_permutations=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": [0] * 10}, "exchange: with blocks, expected 'within'"),
        ({"exchange": "within"}, "exchange='within' needs blocks"),
        ({"blocks": [0] * 9, "exchange": "within"}, "blocks: expected a label for each of 10"),
        ({"blocks": range(10), "exchange": "within"}, "every block has one example"),
        ({"blocks": [0] * 10, "exchange": "whole"}, "there is one block"),
        ({"blocks": [0] * 4 + [1] * 6, "exchange": "whole"}, "got 4 to 6 examples"),
        ({"blocks": [np.nan] + [1.0] * 9, "exchange": "within"}, "got NaN at example 0"),
        ({"n_permutations": 0}, "n_permutations: expected an integer of at least 1, got 0"),
        ({"seed": -1}, "seed: expected an integer of at least 0, got -1"),
        ({"aggregate": "max"}, "groups: aggregate needs the model of each representation"),
        ({"aggregate": "min", "groups": "ab"}, "aggregate: expected 'max', 'mean' or a function"),
        ({"aggregate": "max", "groups": ["a", "a"]}, "all representations are of one"),
        ({"aggregate": "max", "groups": "model"}, "groups: expected a field of the labels"),
        ({"groups": ["a", "b"]}, "groups is for aggregate"),
        ({"aggregate": "max", "groups": ["a", None]}, "got None for representation 1"),
        ({"aggregate": "max", "groups": [np.nan, "b"]}, "got NaN for representation 0"),
        ({"aggregate": str, "groups": ["a", "b"]}, "a function that returns a number"),
        ({"alternative": "less"}, "alternative: expected one of"),
        ({"level": 1}, "level: expected a number between 0 and 1, got 1"),
        ({"estimator": "feature_corrected"}, "got 'feature_corrected': use 'unbiased'"),
        ({"estimator": "other"}, "estimator"),
        ({"progress": 5}, "progress must be callable or None, got 5"),
        ({"n_permutations": 10.5}, "n_permutations: expected an integer of at least 1, got 10.5"),
        ({"blocks": [[1], [1, 2]] * 5, "exchange": "within"}, r"got \[1\] at example 0"),
        ({"blocks": [[1, 2]] * 10, "exchange": "within"}, r"got an array of shape \(10, 2\)"),
        ({"blocks": (i for i in range(10)), "exchange": "within"}, r"an array of shape \(\)"),
        ({"blocks": [None, *"aabbccdde"], "exchange": "within"}, "got None at example 0"),
    ],
)
def test_bad_options_are_named(rng, options, message):
    with pytest.raises(InputError, match=message):
        fastcka.permutation_test(related(rng, 10, [2, 3]), **options)
