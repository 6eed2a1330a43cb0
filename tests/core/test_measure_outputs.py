"""Measures in files, tables, selections and distances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastcka
from fastcka import Comparison, CrossComparison
from fastcka.errors import InputError

NAMES = ["rbf_cka", "mutual_knn", "procrustes", "pwcca"]


@pytest.fixture(scope="module")
def xs():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((40, 6))
    return {
        f"layer{i}": base @ rng.standard_normal((6, 5 + i)) + rng.standard_normal((40, 5 + i))
        for i in range(4)
    }


@pytest.fixture(scope="module")
def result(xs):
    return fastcka.compare(xs, measures=["cka", *NAMES])


def test_a_file_keeps_them(result, tmp_path):
    result.save(tmp_path / "r.npz")
    loaded = Comparison.load(tmp_path / "r.npz")
    assert list(loaded.measures) == NAMES
    for name in NAMES:
        np.testing.assert_array_equal(loaded.measure(name), result.measure(name))
    assert loaded.provenance["measures"] == result.provenance["measures"]


def test_a_file_of_two_sets_keeps_them(xs, tmp_path):
    crossed = fastcka.compare(xs, {"a": xs["layer0"]}, measures=NAMES)
    crossed.save(tmp_path / "r.npz")
    loaded = CrossComparison.load(tmp_path / "r.npz")
    np.testing.assert_array_equal(loaded.measure("pwcca"), crossed.measure("pwcca"))
    assert loaded.measure("pwcca").shape == (4, 1)


def test_tables_have_a_column_for_each(result):
    table = result.to_dataframe()
    a, b = result.pairs.T
    for name in NAMES:
        np.testing.assert_array_equal(table[name], result.measure(name)[a, b])
        np.testing.assert_array_equal(result.to_xarray()[name], result.measure(name))
    np.testing.assert_array_equal(table["pwcca_b"], result.measure("pwcca")[b, a])
    assert (table["pwcca"] != table["pwcca_b"]).all()
    assert not {"procrustes_b", "mutual_knn_b"} & set(table)


def test_some_of_the_representations(xs, result):
    chosen = result[["layer3", "layer1"]]
    direct = fastcka.compare({name: xs[name] for name in ("layer3", "layer1")}, measures=NAMES)
    for name in NAMES:
        np.testing.assert_allclose(chosen.measure(name), direct.measure(name), atol=1e-12)
        of_each, used = (each.provenance["measures"][name]["of_each"] for each in (chosen, direct))
        assert of_each.keys() == used.keys()
        for fact, values in used.items():
            assert of_each[fact] == pytest.approx(values)
    assert len(result.provenance["measures"]["rbf_cka"]["of_each"]["bandwidth_used"]) == 4


def test_partial_similarities_have_none(result):
    partial = result.partial("layer0")
    assert partial.measures == {}
    assert "measures" not in partial.provenance


def test_the_procrustes_distance_is_a_metric(result):
    distance = result.distance("procrustes")
    np.testing.assert_allclose(np.cos(distance), result.measure("procrustes"), atol=1e-12)
    for i in range(4):
        assert distance[i, i] == 0
        assert (distance[:, i][:, None] + distance[i] >= distance - 1e-12).all()
    assert result.embed(2, kind="procrustes").kind == "procrustes"
    figure = result.plot_dendrogram(kind="procrustes")
    assert "Procrustes distance" in "".join(text.get_text() for text in figure.findobj(_is_text))


def _is_text(artist):
    return hasattr(artist, "get_text")


def test_the_procrustes_distance_needs_the_measure(xs, result):
    with pytest.raises(InputError, match=r"'procrustes' follows from the measure .*was not comp"):
        fastcka.compare(xs).distance("procrustes")
    record = dict(result.provenance["measures"])
    record["procrustes"] = {"of_each": {"undefined": [None, "no variance", None, None]}}
    matrix = result.measure("procrustes").copy()
    matrix[1] = matrix[:, 1] = np.nan
    undefined = replace(result, measures={"procrustes": matrix}, provenance={"measures": record})
    with pytest.raises(InputError, match=r"'layer1' \(no variance\) is undefined"):
        undefined.distance("procrustes")


def test_some_of_two_sets(xs):
    labels = [[{"net": net, "layer": i} for i in range(4)] for net in ("p", "q")]
    crossed = fastcka.compare(
        list(xs.values()), list(xs.values()), labels=labels, measures=["pwcca"], inference=True
    )
    chosen = crossed.sel(layer_a=[1, 3], layer_b=2)
    assert chosen.names_a == ["p 1", "p 3"]
    assert chosen.names_b == ["q 2"]
    np.testing.assert_array_equal(chosen.cka, crossed.cka[[1, 3]][:, [2]])
    np.testing.assert_array_equal(chosen.measure("pwcca"), crossed.measure("pwcca")[[1, 3]][:, [2]])
    np.testing.assert_allclose(chosen.p_value, crossed.p_value[[1, 3]][:, [2]], rtol=1e-12)
    assert len(chosen.to_dataframe()) == 2
    both = crossed.sel(layer=[0, 1])
    np.testing.assert_array_equal(both.cka, crossed.cka[:2, :2])
    with pytest.raises(InputError, match="sel: there is no label field 'layr'"):
        crossed.sel(layr_a=1)
    with pytest.raises(InputError, match="sel: no representation has net='p'"):
        crossed.sel(net="p")  # no column has it


def test_the_methods_name_them(result):
    text = result.methods()
    assert "mutual k nearest neighbours (k 10; Huh et al. 2024)" in text
    assert "CKA with Gaussian kernels (biased) (bandwidth median; scale 1.0; Kornblith" in text


def test_a_decomposition_that_fails_is_named(xs, monkeypatch):
    def fail(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", fail)
    with pytest.raises(InputError, match=r"procrustes: a decomposition failed .SVD did not conv"):
        fastcka.compare(xs, measures=["procrustes"])
