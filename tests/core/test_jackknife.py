"""Standard errors and intervals over examples."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.core import Group
from fastcka.core.inference.folds import make_folds
from fastcka.core.inference.jackknife import jackknife
from fastcka.core.options import Options
from fastcka.core.work import begin, finish
from fastcka.errors import DeviceError, InputError
from samples import related


def result_of_folds(xs, subsets):
    options = Options("unbiased", "cpu", "float64", 2, None, subsets_of=lambda _: subsets)
    (result,) = finish([begin(Group(xs), options, alone=True)], options)
    return result


def jackknife_of(xs, subsets, estimator):
    result = result_of_folds(xs, subsets)
    without = np.stack([each.cka for each in result.of_subsets(estimator)])
    return jackknife(without, result.estimates(estimator).cka, subsets.fold_sizes)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_formulas_of_busing_et_al(rng, blocks, estimator):
    stats = pytest.importorskip("scipy.stats")
    x, y = related(rng, 90, (6, 9))
    block = rng.integers(0, 7, 90) if blocks else None
    subsets = make_folds(90, folds=6, blocks=block)
    found = jackknife_of([x, y], subsets, estimator)
    low, high = found.interval(0.9, 6, lowest=-1)

    def estimated(scale):
        value = scale(oracle.cka(x, y, estimator))
        pseudo, weights, total = [], [], 6 * value
        for fold in range(6):
            keep = subsets.fold != fold
            h = 90 / (~keep).sum()
            without = scale(oracle.cka(x[keep], y[keep], estimator))
            total -= (1 - 1 / h) * without
            pseudo.append(h * value - (h - 1) * without)
            weights.append(h - 1)
        variance = np.mean([(p - total) ** 2 / w for p, w in zip(pseudo, weights, strict=True)])
        return total, variance**0.5

    center, error = estimated(np.arctanh)
    reach = stats.t.ppf(0.95, 5) * error
    assert found.stderr[0, 1] == pytest.approx(estimated(float)[1], rel=1e-9)
    assert low[0, 1] == pytest.approx(np.tanh(center - reach), abs=1e-11)
    assert high[0, 1] == pytest.approx(np.tanh(center + reach), abs=1e-11)
    assert low[1, 1] == high[1, 1] == 1
    assert found.stderr[1, 1] == 0


def test_an_undefined_similarity_has_no_interval(rng):
    x = rng.standard_normal((40, 3))
    subsets = make_folds(40)
    found = jackknife_of([x, np.ones((40, 2))], subsets, "unbiased")
    for matrix in (found.stderr, *found.interval(0.95, 20, lowest=-1)):
        assert np.isnan(matrix[0, 1])
        assert np.isfinite(matrix[0, 0])


def test_equal_values_have_no_spread():
    value = np.full((1, 1), 0.5)
    found = jackknife(np.full((5, 1, 1), 0.5), value, np.full(5, 10))
    assert found.stderr == 0
    # tanh(arctanh(0.5)) is not 0.5 exactly on all processors.
    for end in found.interval(0.95, 5, lowest=0):
        assert end == pytest.approx(0.5, rel=1e-15)


def test_folds_of_single_examples_differ_in_size_by_at_most_one():
    sizes = make_folds(1003, folds=20).fold_sizes
    assert sorted(set(sizes)) == [50, 51]
    assert len(make_folds(7).fold_sizes) == 7


def test_blocks_stay_together_and_are_balanced(rng):
    blocks = np.array(["text a", "text b", "c", "d", "e"])[rng.integers(0, 5, 200)]
    assert len(make_folds(200, blocks=blocks).fold_sizes) == 5
    subsets = make_folds(200, folds=3, blocks=blocks)
    for block in set(blocks):
        assert len(set(subsets.fold[blocks == block])) == 1
    assert min(subsets.fold_sizes) >= 40
    many = make_folds(1000, blocks=np.repeat(np.arange(100), 10))
    assert set(many.fold_sizes) == {50}


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (np.arange(30) % 4, "blocks: expected at least 5 different labels, got 4"),
        ("text", "blocks: expected a label for each of 30 examples, got the text 'text'"),
        (
            np.zeros(29),
            r"blocks: expected a label for each of 30 examples.*got an array of sh",
        ),
        (np.r_[np.nan, np.zeros(29)], "blocks: expected a label for each example"),
        ([None, *"ab" * 14, "c"], "blocks: expected a label for each example"),
    ],
)
def test_wrong_blocks(blocks, message):
    with pytest.raises(InputError, match=message):
        make_folds(30, blocks=blocks)


def test_few_examples_have_no_intervals(rng):
    for n in (4, 5):
        result = fastcka.compare(related(rng, n, (3, 4)), inference=True)
        for matrix in (result.stderr, result.ci_low, result.ci_high):
            assert np.isfinite(matrix[0, 0]) == (n == 5)


def test_a_gpu_is_refused(rng):
    with pytest.raises(DeviceError, match="computed on the CPU only, and device is 'cuda'"):
        fastcka.compare(related(rng, 30, (3, 4)), inference=True, device="cuda")


def test_compare_has_intervals(rng):
    xs = related(rng, 120, (6, 9, 4))
    options = fastcka.Inference(level=0.8, folds=10, blocks=np.arange(120) // 6)
    result = fastcka.compare(xs, inference=options, estimator="biased")
    subsets = make_folds(120, folds=10, blocks=np.arange(120) // 6)
    expected = jackknife_of(xs, subsets, "biased")
    low, high = expected.interval(0.8, 10, lowest=0)
    np.testing.assert_allclose(result.stderr, expected.stderr, atol=1e-12)
    np.testing.assert_allclose(result.ci_low, low, atol=1e-12)
    np.testing.assert_allclose(result.ci_high, high, atol=1e-12)
    assert fastcka.compare(xs).stderr is None
    np.testing.assert_allclose(fastcka.compare(xs).cka, result.unbiased, atol=1e-13)


def test_labels_of_blocks_are_matched_to_rows(rng):
    pd = pytest.importorskip("pandas")
    xs = related(rng, 120, (6, 9))
    index = [f"e{k}" for k in range(120)]
    films = pd.Series(np.arange(120) // 10, index=index)
    order = rng.permutation(120)
    frames = [pd.DataFrame(x, index=index).iloc[order] for x in xs]
    result = fastcka.compare(frames, inference=fastcka.Inference(blocks=films))
    by_hand = fastcka.Inference(blocks=films.to_numpy()[order])
    shuffled = fastcka.compare([x[order] for x in xs], inference=by_hand)
    np.testing.assert_allclose(result.stderr, shuffled.stderr, rtol=1e-9)
    with pytest.raises(InputError, match="blocks"):
        fastcka.compare(frames, inference=fastcka.Inference(blocks=films.rename(lambda k: k + "x")))


def test_a_representation_that_is_constant_without_one_example(rng):
    """The sums of the fold without it are rounding of sums about the mean of all examples."""
    for seed in range(12):
        draw = np.random.default_rng(seed)
        x = np.zeros((335, 78), np.float32)
        x[draw.integers(335)] = draw.standard_normal(78)
        y = draw.standard_normal((335, 9)).astype(np.float32)
        result = fastcka.compare([x, y], inference=True)
        assert np.isnan(result.stderr_biased[0, 1])


def test_a_shifted_block(rng):
    xs = [rng.standard_normal((1000, 20)).astype(np.float32) for _ in range(2)]
    blocks = np.r_[np.zeros(200, int), 1 + np.arange(800) // 50]
    for x in xs:
        x[:200] += 300 * rng.standard_normal(20).astype(np.float32)
    options = fastcka.Inference(blocks=blocks)
    result = fastcka.compare(xs, inference=options)
    wide = fastcka.compare(xs, inference=options, precision="float64")
    assert np.isfinite(result.stderr_biased[0, 1])
    np.testing.assert_allclose(result.stderr_biased, wide.stderr_biased, atol=1e-4)
