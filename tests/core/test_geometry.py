"""Distances, coordinates and trees of a comparison."""

from __future__ import annotations

import sys
from itertools import permutations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster
from sklearn.cluster import AgglomerativeClustering
from sklearn.neighbors import NearestNeighbors

import fastcka
import oracle
from fastcka.errors import InputError, MissingExtraError


@pytest.fixture
def xs(rng):
    """Two families: three noisy copies of each of two representations."""
    bases = {"p": rng.standard_normal((60, 4)), "q": rng.standard_normal((60, 4))}
    return {
        (family, seed): base + 0.3 * rng.standard_normal(base.shape)
        for family, base in bases.items()
        for seed in range(3)
    }


@pytest.fixture
def result(xs):
    labels = [{"family": family, "seed": seed} for family, seed in xs]
    return fastcka.compare(list(xs.values()), labels=labels)


def unit_gram(x, estimator):
    """Return the centred Gram matrix of norm 1, of which CKA is the inner product."""
    k = x @ x.T
    n = len(k)
    if estimator == "biased":
        h = np.eye(n) - 1 / n
        k = h @ k @ h
    else:  # U-centring of Szekely and Rizzo 2014
        np.fill_diagonal(k, 0)
        u = k.sum(0) / (n - 2) - k.sum() / (2 * (n - 1) * (n - 2))
        k = k - u - u[:, None]
        np.fill_diagonal(k, 0)
    return k / np.linalg.norm(k)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_distances_are_those_of_gram_matrices(xs, estimator):
    result = fastcka.compare(list(xs.values()), estimator=estimator)
    grams = [unit_gram(x, estimator) for x in xs.values()]
    chord = np.array([[np.linalg.norm(k - m) for m in grams] for k in grams])
    np.testing.assert_allclose(result.distance("chord"), chord, atol=1e-7)
    # The angle of the isosceles triangle with two sides of 1 and this base.
    np.testing.assert_allclose(result.distance(), 2 * np.arcsin(chord / 2), atol=1e-7)
    assert (result.distance().diagonal() == 0).all()
    assert (result.distance() == result.distance().T).all()


def test_a_negative_similarity_is_farther_than_a_right_angle(rng):
    xs = [rng.standard_normal((6, 1)) for _ in range(12)]
    result = fastcka.compare(xs)
    a, b = np.unravel_index(result.cka.argmin(), result.cka.shape)
    expected = oracle.cka(xs[a], xs[b], "unbiased")
    assert expected < 0
    assert result.distance()[a, b] > np.pi / 2
    assert result.distance()[a, b] == pytest.approx(np.arccos(expected))
    assert result.distance("chord")[a, b] == pytest.approx(np.sqrt(2 - 2 * expected))
    for kind in ("angular", "chord"):
        d = result.distance(kind)
        for i, j, k in permutations(range(12), 3):
            assert d[i, j] <= d[i, k] + d[k, j] + 1e-12
    # 1 - CKA is no metric: it breaks the inequality here.
    d = 1 - result.cka
    assert any(d[i, j] > d[i, k] + d[k, j] + 1e-6 for i, j, k in permutations(range(12), 3))


def test_values_above_1_are_clipped(rng):
    latent = rng.standard_normal((50, 5))
    mixed = latent @ rng.standard_normal((5, 40)) + 3 * rng.standard_normal((50, 40))
    result = fastcka.compare([mixed[:, :20], mixed[:, 20:], latent], estimator="feature_corrected")
    above = result.cka > 1
    assert above.any()
    assert (result.distance()[above] == 0).all()
    assert np.isfinite(result.distance("chord")).all()


def test_undefined_representations_are_named(xs):
    x, y, *_ = xs.values()
    result = fastcka.compare({"x": x, "one": np.ones((60, 2)), "y": y})
    for call in (result.distance, result.embed, result.cluster, result.plot_map):
        with pytest.raises(InputError) as caught:
            call()
        assert "the similarity of 'one' " in str(caught.value)
        assert "(zero variance: " in str(caught.value)
        assert "leave out such representations, as in result[[0, 2]]" in str(caught.value)
    assert result[[0, 2]].distance().shape == (2, 2)
    partial = fastcka.compare({"x": x, "2x": 2 * x, "y": y, "z": y**2}).partial("x")
    with pytest.raises(InputError, match=r"similarity of '2x' \(without x nothing is left of"):
        partial.distance()


def test_scikit_learn_takes_the_distances(result):
    distance = result.distance()
    tree = AgglomerativeClustering(2, metric="precomputed", linkage="average").fit(distance)
    assert len(set(tree.labels_[:3])) == len(set(tree.labels_[3:])) == 1
    assert tree.labels_[0] != tree.labels_[3]
    nearest = NearestNeighbors(n_neighbors=2, metric="precomputed").fit(distance)
    assert (nearest.kneighbors(return_distance=False) // 3 == np.arange(6)[:, None] // 3).all()


def test_the_embedding(result):
    embedding = result.embed(2)
    assert embedding.coordinates.shape == (6, 2)
    np.testing.assert_allclose(embedding.coordinates.mean(0), 0, atol=1e-12)
    assert embedding.labels == result.labels
    wanted = result.distance()
    reached = np.zeros((6, 6))
    for i in range(6):
        for j in range(6):
            reached[i, j] = np.hypot(*(embedding.coordinates[i] - embedding.coordinates[j]))
    stress = np.sqrt(((wanted - reached) ** 2).sum() / (wanted**2).sum())
    assert embedding.stress == pytest.approx(stress, rel=1e-9)
    np.testing.assert_array_equal(embedding.coordinates, result.embed(2).coordinates)
    # The families are apart, and the points of each are together.
    assert reached[:3, 3:].min() > reached[:3, :3].max()
    # Chord distances are exactly Euclidean in M - 1 dimensions.
    assert result.embed(5, kind="chord").stress < 1e-4
    assert result.embed(1).stress > embedding.stress > result.embed(3).stress
    frame = embedding.to_dataframe()
    assert frame.columns.tolist() == ["family", "seed", "x1", "x2"]
    assert "6 representations, 2 dimensions, angular, stress 0." in repr(embedding)


def test_a_better_local_map_is_not_near(result, rng):
    """No small move of a point lowers the stress of the map."""
    wanted, points = result.distance(), result.embed(2).coordinates

    def stress(points):
        return ((wanted - np.linalg.norm(points[:, None] - points, axis=2)) ** 2).sum()

    for size in (1e-2, 1e-1):
        for _ in range(200):
            assert stress(points + size * rng.standard_normal(points.shape)) > stress(points)


def test_equal_representations_are_one_point(xs):
    x, y, *_ = xs.values()
    embedding = fastcka.compare([x, 2 * x, y]).embed()
    np.testing.assert_allclose(embedding.coordinates[0], embedding.coordinates[1], atol=1e-4)
    same = fastcka.compare([x, x]).embed()
    np.testing.assert_allclose(same.coordinates, 0, atol=1e-4)
    assert same.stress == 0


def test_the_tree(result):
    merges = result.cluster()
    assert merges.shape == (5, 4)
    families = fcluster(merges, 2, "maxclust")
    assert len(set(families[:3])) == len(set(families[3:])) == 1
    # The last merge is at the mean distance between the families.
    assert merges[-1, 2] == pytest.approx(result.distance()[:3, 3:].mean())
    assert result.cluster("single")[-1, 2] == pytest.approx(result.distance()[:3, 3:].min())
    assert result.cluster("ward", kind="chord").shape == (5, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.distance("1-cka"), "expected one of angular, chord, procrustes; got '1-cka'"),
        (lambda r: r.embed(0), "n: expected a positive number of dimensions, got 0"),
        (lambda r: r.embed(2.0), "n: expected a positive number of dimensions, got 2.0"),
        (lambda r: r[[0]].embed(), "embed needs at least two representations"),
        (lambda r: r[[0]].cluster(), "cluster needs at least two representations"),
        (lambda r: r.cluster("centroid"), "method: expected one of average, .*; got 'centroid'"),
        (lambda r: r.cluster("ward"), "'ward' needs Euclidean distances, .* use kind='chord'"),
        (lambda r: r.plot_map(color="famly"), "color: there is no label field 'famly'; did you"),
    ],
)
def test_wrong_arguments(result, call, message):
    with pytest.raises(InputError, match=message):
        call(result)


def test_the_map_and_the_tree_are_drawn(result, tmp_path):
    figure = result.plot_map(tmp_path / "map.png", color="family", title="A map")
    (axes,) = figure.axes
    drawn = np.vstack([points.get_offsets() for points in axes.collections])
    np.testing.assert_allclose(drawn, result.embed().coordinates)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["p", "q"]
    assert [text.get_text() for text in axes.texts] == result.names
    assert f"stress {result.embed().stress:.2g}" in axes.get_xlabel()
    tree = result.plot_dendrogram(tmp_path / "tree.png")
    (axes,) = tree.axes
    assert sorted(text.get_text() for text in axes.get_yticklabels()) == sorted(result.names)
    assert axes.get_xlabel() == "angular distance (radians) of unbiased CKA, average linkage"
    for name in ("map.png", "tree.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_pictures_are_drawn_into_given_axes(result):
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots(1, 3)
    assert result.plot_map(ax=axes[0]) is axes[0]
    assert result.plot_dendrogram(ax=axes[1]) is axes[1]
    assert result.plot(ax=axes[2]) is axes[2]
    assert axes[0].collections
    assert axes[1].collections
    np.testing.assert_array_equal(axes[2].get_images()[0].get_array(), result.cka)


def test_colors_by_number_and_too_many_colors(rng):
    xs = [rng.standard_normal((10, 2)) for _ in range(21)]
    result = fastcka.compare(xs, labels=[{"step": 10 * i, "name": f"n{i}"} for i in range(21)])
    axes, bar = result.plot_map(color="step").axes
    assert axes.get_legend() is None
    assert bar.get_ylabel() == "step"
    np.testing.assert_array_equal(axes.collections[0].get_array(), range(0, 210, 10))
    with pytest.raises(InputError, match=r"at most 20 values, or with numbers; 'name' has"):
        result.plot_map(color="name")


def test_large_maps_and_trees_omit_names(rng):
    result = fastcka.compare([rng.standard_normal((6, 2)) for _ in range(101)])
    (axes,) = result.plot_map().axes
    assert not axes.texts
    assert axes.get_xlabel().endswith("101 names omitted")
    figure = result.plot_dendrogram()
    assert figure.axes[0].get_xlabel().endswith("101 names omitted")
    assert figure.get_size_inches()[1] < 19


@pytest.mark.parametrize("kind", ["angular", "chord"])
def test_an_rdm_of_rsatoolbox(result, kind):
    rdms = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
    rdm = result.to_rsatoolbox(kind)
    assert isinstance(rdm, rdms.RDMs)
    assert (rdm.n_rdm, rdm.n_cond) == (1, 6)
    np.testing.assert_array_equal(rdm.get_matrices()[0], result.distance(kind))
    assert rdm.dissimilarity_measure == f"{kind} distance of unbiased CKA"
    assert rdm.pattern_descriptors["family"] == ["p"] * 3 + ["q"] * 3
    assert rdm.pattern_descriptors["seed"] == [0, 1, 2] * 2
    assert rdm.pattern_descriptors["name"] == result.names
    subset = rdm.subset_pattern("family", "q")
    np.testing.assert_array_equal(subset.get_matrices()[0], result.distance(kind)[3:, 3:])
    # The chord distance is that of 1 - CKA, squared and halved.
    if kind == "chord":
        np.testing.assert_allclose(rdm.get_matrices()[0] ** 2 / 2, 1 - result.cka, atol=1e-12)


def test_an_rdm_of_procrustes_names_no_estimator(rng):
    pytest.importorskip("rsatoolbox")
    xs = [rng.standard_normal((20, 3)) for _ in range(3)]
    rdm = fastcka.compare(xs, measures=["procrustes"]).to_rsatoolbox("procrustes")
    assert rdm.dissimilarity_measure == "procrustes distance"
    assert "estimator" not in rdm.descriptors


def test_an_rdm_needs_rsatoolbox_and_defined_values(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsatoolbox.rdm", None)
    with pytest.raises(MissingExtraError, match="pip install rsatoolbox"):
        result.to_rsatoolbox()
    with pytest.raises(InputError, match="angular, chord, procrustes; got 'cosine'"):
        result.to_rsatoolbox("cosine")
