"""Two sets of representations, A x B."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle
from fastcka import Comparison, CrossComparison
from fastcka.errors import InputError


@pytest.fixture
def a(rng):
    return {f"layer{i}": rng.standard_normal((40, d)) for i, d in enumerate((3, 5, 4))}


@pytest.fixture
def b(rng, a):
    # The second set has the labels of the first, and is related to it.
    mixed = a["layer0"] @ rng.standard_normal((3, 6))
    return {"layer0": mixed, "layer1": mixed + rng.standard_normal((40, 6))}


@pytest.fixture
def crossed(device, a, b):
    return fastcka.compare(a, b, device=device)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_each_of_the_first_set_with_each_of_the_second(device, a, b, estimator):
    result = fastcka.compare(a, list(b.values()), estimator=estimator, device=device)
    expected = [[oracle.cka(x, y, estimator) for y in b.values()] for x in a.values()]
    assert result.cka.shape == (3, 2)
    np.testing.assert_allclose(result.cka, expected, atol=1e-12)
    np.testing.assert_array_equal(result.cka, getattr(result, estimator))
    assert result.names_a == ["layer0", "layer1", "layer2"]
    assert result.names_b == ["0", "1"]
    assert f"3 x 2 representations, 40 examples, {estimator}" in repr(result)


def test_hsic(crossed, a, b):
    expected = [[oracle.hsic_unbiased(x, y) for y in b.values()] for x in a.values()]
    np.testing.assert_allclose(crossed.hsic, expected, rtol=1e-9, atol=1e-12)


def test_the_square_contains_the_pairs_within_each_set(crossed, a, b):
    expected = oracle.cka_matrix([*a.values(), *b.values()], "unbiased")
    np.testing.assert_allclose(crossed.square.cka, expected, atol=1e-12)
    assert crossed.square.pairs.tolist() == [[i, j] for i in range(3) for j in (3, 4)]


def test_inference_is_over_the_pairs_of_the_rectangle(a, b):
    result = fastcka.compare(a, b, inference=True)
    n = result.n_examples
    np.testing.assert_allclose(result.null_sd, np.sqrt(2 / (n * (n - 3))))
    np.testing.assert_allclose(result.z, result.cka / np.sqrt(2 / (n * (n - 3))))
    alone = fastcka.compare([a["layer2"], b["layer1"]], inference=True)
    for name in ("p_value", "stderr", "ci_low", "ci_high", "calibrated", "feature_corrected"):
        assert getattr(result, name)[2, 1] == pytest.approx(getattr(alone, name)[0, 1], rel=1e-9)
    p = np.sort(result.p_value.ravel())  # Benjamini-Hochberg, by its definition
    smallest = [min(p[j] * 6 / (j + 1) for j in range(i, 6)) for i in range(6)]
    np.testing.assert_allclose(np.sort(result.q_value.ravel()), smallest)


def test_without_inference_there_are_no_p_values(crossed):
    assert crossed.p_value is crossed.q_value is crossed.stderr is crossed.ci_low is None


def test_tables(crossed):
    frame = crossed.to_dataframe()
    assert frame[["label_a", "label_b"]].to_numpy().tolist() == [
        [f"layer{i}", f"layer{j}"] for i in range(3) for j in range(2)
    ]
    np.testing.assert_array_equal(frame.cka, crossed.cka.ravel())
    dataset = crossed.to_xarray()
    assert dict(dataset.sizes) == {"a": 3, "b": 2}
    chosen = dataset.cka_unbiased.sel(a="layer2", b="layer1")
    assert float(chosen) == crossed.cka[2, 1]
    assert dataset.label_b.values.tolist() == ["layer0", "layer1"]


def test_save_and_load(crossed, tmp_path):
    crossed.save(tmp_path / "r.npz")
    loaded = CrossComparison.load(tmp_path / "r.npz")
    np.testing.assert_array_equal(loaded.cka, crossed.cka)
    assert (loaded.labels_a, loaded.labels_b) == (crossed.labels_a, crossed.labels_b)
    with pytest.raises(InputError, match=r"expected fastcka\.comparison .* got fastcka\.cross_c"):
        Comparison.load(tmp_path / "r.npz")
    crossed.square.save(tmp_path / "square.npz")
    with pytest.raises(InputError, match=r"expected fastcka\.cross_comparison version 1, got"):
        CrossComparison.load(tmp_path / "square.npz")


def test_one_pair(crossed):
    assert crossed["layer2", "layer1"] == crossed.cka[2, 1]
    assert crossed[0, "layer1"] == crossed.cka[0, 1]
    assert type(crossed[0, 0]) is float
    for key, message in (
        (("layer1", "layer2"), "column: expected a name or a position from 0 to 1, got 'layer2'"),
        (("no", "layer0"), "row: expected a name or a position from 0 to 2, got 'no'"),
        ("layer0", r'expected two representations, as in result\["layer1", "layer4"\]'),
    ):
        with pytest.raises(InputError, match=message):
            crossed[key]


def test_labels_of_both_sets(a, b):
    labels = ([("m", i) for i in range(3)], [{"model": "n", "layer": i} for i in range(2)])
    result = fastcka.compare(a, b, labels=labels)
    assert result.names_a == ["m 0", "m 1", "m 2"]
    assert result.labels_b == ({"model": "n", "layer": 0}, {"model": "n", "layer": 1})
    for wrong in (["x", "y"], (["x"],), "ab", [1, 2, 3]):
        with pytest.raises(InputError, match="labels"):
            fastcka.compare(a, b, labels=wrong)
    with pytest.raises(InputError, match="pairs: two sets are compared as a whole"):
        fastcka.compare(a, b, pairs=[(0, 1)])


def test_undefined_values_and_errors_name_the_set(a, b):
    result = fastcka.compare(a, {**b, "constant": np.ones((40, 2))})
    assert list(result.undefined) == ["b: constant"]
    assert np.isnan(result.cka[:, 2]).all()
    for others, message in (
        ([np.ones((39, 2))], r"others\[0\] has 39 examples"),
        ({"x": np.full((40, 2), np.nan)}, r"other 0 \(x\)"),
        ([], "others is empty"),
        ([a["layer0"], "x"], r"others\[1\] must be an array"),
    ):
        with pytest.raises(InputError, match=message):
            fastcka.compare(a, others)


def test_two_arrays_are_not_two_sets(rng):
    x, y = rng.standard_normal((2, 20, 4))
    for sets in ((x, y), ([x], y), (x, [y])):
        with pytest.raises(InputError, match=r"fastcka\.cka\(x, y\) compares two arrays"):
            fastcka.compare(*sets)
    images = rng.standard_normal((20, 3, 4, 4))
    with pytest.raises(InputError, match=r"others: .* if it counts examples, pass \[array\]"):
        fastcka.compare([x], images)
    assert fastcka.compare([x], [images]).cka.shape == (1, 1)


def test_the_picture_is_a_rectangle(crossed, tmp_path):
    figure = crossed.plot(tmp_path / "cross.png", title="A x B")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.get_images()[0].get_array(), crossed.cka)
    assert [text.get_text() for text in axes.get_yticklabels()] == crossed.names_a
    assert [text.get_text() for text in axes.get_xticklabels()] == crossed.names_b
    assert (tmp_path / "cross.png").read_bytes().startswith(b"\x89PNG")


def test_a_large_rectangle_omits_labels(rng):
    many = {f"l{i}": rng.standard_normal((10, 3)) for i in range(150)}
    figure = fastcka.compare(many, {"x": rng.standard_normal((10, 2))}).plot()
    width, height = figure.get_size_inches()
    assert width < 4 < height < 17
    assert len(figure.axes[0].get_yticklabels()) == 50
    assert "100 labels omitted" in figure.get_supxlabel()
