"""Partial similarities and the paragraph for a paper, by regressing Gram matrices."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
from fastcka.errors import InputError
from oracle import centered_grams


def residual_cosine(grams, i, j, given):
    """The cosine of what a regression of two vectors on others leaves."""
    design = np.stack([grams[g].ravel() for g in given], axis=1)
    left = [
        grams[k].ravel() - design @ np.linalg.lstsq(design, grams[k].ravel(), rcond=None)[0]
        for k in (i, j)
    ]
    return left[0] @ left[1] / np.linalg.norm(left[0]) / np.linalg.norm(left[1])


@pytest.fixture
def xs(rng):
    common = rng.standard_normal((40, 3))
    rest = [common @ rng.standard_normal((3, d)) + rng.standard_normal((40, d)) for d in (5, 6, 4)]
    return {"x": rest[0], "inputs": common, "y": rest[1], "length": rest[2][:, :1]}


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("given", [["inputs"], ["inputs", "length"]])
def test_against_regression(xs, estimator, given):
    result = fastcka.compare(xs, estimator=estimator).partial(given)
    grams = {name: centered_grams(x)[estimator] for name, x in xs.items()}
    expected = residual_cosine(grams, "x", "y", given)
    at = result.names.index("x"), result.names.index("y")
    assert result.cka[at] == pytest.approx(expected, abs=1e-12)
    assert result.cka[at[0], at[0]] == 1
    assert [name for name in xs if name not in given] == result.names
    assert f"Partialled out of each Gram matrix: {', '.join(given)}." in result.methods()
    assert result.z is result.p_value is result.feature_corrected is None
    assert len(result.pairs) == len(result.names) * (len(result.names) - 1) // 2


def test_one_confounder_that_explains_everything(xs):
    result = fastcka.compare({**xs, "twice": 2 * xs["x"]}).partial("x")
    twice = result.names.index("twice")
    assert np.isnan(result.cka[twice]).all()
    assert result.undefined == {
        twice: "without x nothing is left of its Gram matrix, within the rounding of float64 "
        "products"
    }


@pytest.mark.parametrize("seed", range(3))
def test_rounding_is_not_taken_for_what_is_left(seed):
    """Rotations of the confounder: float32 products give 1 - CKA of 1e-9 to 1e-8, not 0."""
    rng = np.random.default_rng(seed)
    x, y, z = (rng.standard_normal((500, 64)) for _ in range(3))
    rotations = [np.linalg.qr(rng.standard_normal((64, 64)))[0] for _ in range(3)]
    mixture = x + 0.3 * z
    result = fastcka.compare([x, *(x @ rotation for rotation in rotations), mixture, y])
    assert result.provenance["products"] != "float64"
    partial = result.partial(0)
    assert np.isnan(partial.cka[:3]).all()
    assert list(partial.undefined) == [0, 1, 2]
    assert "(precision 'float64' keeps more digits)" in partial.undefined[0]
    grams = [centered_grams(each)["unbiased"] for each in (x, mixture, y)]
    expected = residual_cosine(grams, 1, 2, [0])
    assert partial.cka[3, 4] == pytest.approx(expected, abs=1e-5)


def test_confounders_can_be_removed_one_after_the_other(xs):
    result = fastcka.compare(xs)
    both, later = result.partial(["inputs", "length"]), result.partial("inputs").partial("length")
    grams = {name: centered_grams(x)["unbiased"] for name, x in xs.items()}
    expected = residual_cosine(grams, "x", "y", ["inputs", "length"])
    assert later.cka[0, 1] == pytest.approx(expected, abs=1e-12)
    assert later.provenance["partial"] == both.provenance["partial"] == ["inputs", "length"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("absent", "given: expected a name or a position from 0 to 3, got 'absent'; the names are"),
        (4, "got 4"),
        ([], "expected one or more different confounders"),
        (["x", 0], "expected one or more different confounders"),
    ],
)
def test_what_is_refused(xs, given, message):
    with pytest.raises(InputError, match=message):
        fastcka.compare(xs).partial(given)


def test_confounders_that_explain_each_other(xs):
    with pytest.raises(InputError, match=r"the confounders explain each other, .*; leave out one"):
        fastcka.compare({**xs, "again": xs["inputs"] * 3}).partial(["inputs", "again"])
    with pytest.raises(InputError, match="got one that is NaN"):
        fastcka.compare({**xs, "one": np.ones((40, 2))}).partial("one")
    with pytest.raises(InputError, match="'feature_corrected' is none: compare with"):
        fastcka.compare(xs, estimator="feature_corrected").partial("x")


def test_the_paragraph_for_a_paper(xs):
    text = fastcka.compare(xs, inference=True).methods()
    for part in (
        "4 representations of 40 examples with 1 to 6 features by linear centered kernel alignment",
        "unbiased estimator of HSIC (Song et al. 2012",
        "P-values are two-sided, from a Pearson type III distribution",
        "over 6 pairs",
        f"fastcka {fastcka.__version__} on cpu (float64 products",
        "Benjamini, Hochberg: Controlling",
    ):
        assert part in text
    assert "Kazi-Aoual" not in text
    assert "Kazi-Aoual, Hitier" in fastcka.compare(xs, estimator="biased").methods()


def test_cells_within_chance_are_marked(xs, rng):
    result = fastcka.compare({**xs, "noise": rng.standard_normal((40, 2))}, inference=True)
    (axes, *_) = result.plot(mark_chance=True).axes
    (points,) = (c for c in axes.collections if type(c).__name__ == "PathCollection")
    assert len(points.get_offsets()) == (result.calibrated == 0).sum() > 0
    with pytest.raises(InputError, match="mark_chance needs a comparison with inference=True"):
        fastcka.compare(xs).plot(mark_chance=True)
