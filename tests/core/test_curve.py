"""CKA over the number of examples."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.errors import InputError
from samples import related


@pytest.mark.parametrize("sizes", [[50, 51, 200], [4, 100, 300], [7], None])
def test_nested_samples_of_one_order(rng, sizes):
    xs = related(rng, 300, (40, 7, 100))
    curve = fastcka.curve(xs, sizes, seed=np.int64(3), precision="float64")
    order = np.random.default_rng(3).permutation(300)
    assert curve.sizes.tolist() == (sizes or [18, 37, 75, 150, 300])
    for size, biased, unbiased in zip(curve.sizes, curve.biased, curve.unbiased, strict=True):
        sample = [x[order[:size]] for x in xs]
        np.testing.assert_allclose(biased, oracle.cka_matrix(sample, "biased"), atol=1e-12)
        np.testing.assert_allclose(unbiased, oracle.cka_matrix(sample, "unbiased"), atol=1e-12)


def test_the_smallest_sample_has_its_digits(rng):
    xs = related(rng, 300, (40, 7, 100))
    curve = fastcka.curve(xs, [4, 100, 300])
    sample = [x[np.random.default_rng(0).permutation(300)[:4]] for x in xs]
    expected = oracle.cka_matrix(sample, "unbiased")
    np.testing.assert_allclose(curve.unbiased[0], expected, atol=1e-6)


def test_the_last_point_is_compare(rng):
    xs = related(rng, 100, (5, 8))
    np.testing.assert_allclose(fastcka.curve(xs).cka[-1], fastcka.compare(xs).cka, atol=1e-13)


def test_table_and_picture(rng, tmp_path):
    pytest.importorskip("matplotlib")
    x, y, z = related(rng, 64, (5, 8, 3))
    curve = fastcka.curve({"x": x, "y": y, "z": z}, sizes=[32, 64], estimator="biased")
    table = curve.to_dataframe()
    assert table["label_a"].tolist() == ["x", "x", "x", "x", "y", "y"]
    assert table["label_b"].tolist() == ["y", "y", "z", "z", "z", "z"]
    assert table["n_examples"].tolist() == [32, 64] * 3
    np.testing.assert_array_equal(table["cka"], curve.biased[:, [0, 0, 1], [1, 2, 2]].T.ravel())
    curve.plot(tmp_path / "curve", title="CKA")
    assert (tmp_path / "curve.png").stat().st_size > 1000
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    assert curve.plot(ax=axes) is axes
    assert [line.get_label() for line in axes.lines] == ["x, y", "x, z", "y, z"]
    for wrong, message in ((3, "path: expected the name of a file, got 3$"), (axes, "as ax=")):
        with pytest.raises(InputError, match=message):
            curve.plot(wrong)
    with pytest.raises(InputError, match="ax: expected Axes of matplotlib, got int"):
        curve.plot(ax=3)
    with pytest.raises(InputError, match="No such file or directory"):
        curve.plot(tmp_path / "absent" / "curve.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sizes": [3, 10]},
            r"sizes: expected from 4 \(the least .* unbiased .*\[3, 10\]",
        ),
        ({"sizes": [1], "estimator": "biased"}, "sizes: expected from 2"),
        ({"sizes": [10, 21]}, r"to 20 \(all examples\), got \[10, 21\]"),
        ({"sizes": [10, 10]}, "sizes: expected increasing"),
        ({"sizes": []}, "sizes: expected a sequence of integers"),
        ({"sizes": [10.5]}, "sizes: expected a sequence of integers"),
        ({"estimator": "feature_corrected"}, "estimator: expected biased or unbiased, got"),
        ({"seed": -1}, "seed: expected a non-negative integer, got -1"),
    ],
)
def test_wrong_options(rng, options, message):
    with pytest.raises(InputError, match=message):
        fastcka.curve(related(rng, 20, (3, 4)), **options)
