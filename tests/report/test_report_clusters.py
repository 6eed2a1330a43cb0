"""Clusterings, maps and dendrograms, and which sets of representations have none."""

from __future__ import annotations

import pytest

from fastcka.report import clusters
from fastcka.report.clusters import cluster_ranks
from fastcka.report.items import NotDrawn
from fastcka.report.maps import maps
from report.tables import data_of, table_of

pytest.importorskip("scipy", reason="scipy is not installed")


def test_the_order_of_the_clustering_keeps_similar_models_together(tmp_path):
    keys = [(name, 0, "fc", {"variant": name}) for name in "abcdef"]
    table = table_of(keys, lambda a, b: 0.9 if (ord(a[0]) + ord(b[0])) % 2 == 0 else 0.1)
    data = data_of(table, tmp_path)
    ranks = cluster_ranks(data.pairs.keys, data.clusters.sets)
    order = [model for _, (model, _, _) in sorted(zip(ranks, data.pairs.keys, strict=True))]
    assert {frozenset(order[:3]), frozenset(order[3:])} == {frozenset("ace"), frozenset("bdf")}
    (points, tree) = maps(data)
    assert (points.title, tree.title) == ("Map", "Dendrogram")
    assert "stress" in points.spec["figures"][0]["layout"]["title"]["text"]


def layered(layers, *, missing=()):
    """Return pairs of three models at each layer, without those of the ``missing`` layers."""
    keys = [(name, 0, layer, {"variant": name}) for layer in layers for name in "abc"]
    return table_of(
        keys,
        lambda a, b: 0.5,
        keep=lambda a, b: a[2] == b[2] and not (a[2] in missing and (a[0], b[0]) == ("a", "b")),
    )


def not_drawn(data):
    return [item for item in maps(data) if isinstance(item, NotDrawn)]


def test_a_set_without_all_pairs_is_listed_with_the_reason(tmp_path):
    data = data_of(layered(("conv", "fc"), missing=("fc",)), tmp_path)
    assert [each.title for each in data.clusters.sets] == ["layer conv · step 0 (3)"]
    (item,) = not_drawn(data)
    assert item.what == "Map, dendrogram and order by cluster"
    assert "a value for every two" in item.reason
    assert "results.csv" in item.reason
    assert item.where == ("layer fc · step 0",)


def test_a_set_of_two_models_is_listed_with_the_reason(tmp_path):
    keys = [(name, 0, "fc", {"variant": name}) for name in "ab"]
    (item,) = maps(data_of(table_of(keys, lambda a, b: 0.5), tmp_path))
    assert "three or more" in item.reason
    assert item.where == ("layer fc · step 0",)


def test_sets_beyond_the_limit_are_listed(tmp_path):
    layers = [f"conv{i}" for i in range(26)]
    data = data_of(layered(layers, missing=("conv0",)), tmp_path)
    assert len(data.clusters.sets) == 24
    incomplete, beyond = not_drawn(data)
    assert incomplete.where == ("layer conv0 · step 0",)
    assert "first 24 sets" in beyond.reason
    assert "results.csv" in beyond.reason
    assert beyond.where == ("layer conv25 · step 0",)


def test_sets_with_too_many_members_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_MOST_MEMBERS", 2)
    (item,) = maps(data_of(layered(("fc",)), tmp_path))
    assert "results.csv contains all values" in item.reason
    assert item.where == ("layer fc · step 0",)


def test_a_map_of_too_many_points_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("fastcka.report.maps._MOST_POINTS", 2)
    (item,) = maps(data_of(layered(("fc",)), tmp_path))
    assert (item.what, item.where) == ("Map and dendrogram", ("layer fc · step 0 (3)",))
    assert "the matrices contain the similarities" in item.reason


def test_models_without_a_family_have_no_map(tmp_path):
    keys = [(name, 0, "fc", {"family": None}) for name in "abc"]
    (item,) = maps(data_of(table_of(keys, lambda a, b: 0.5), tmp_path))
    assert "no three representations" in item.reason


def test_the_labels_of_a_map_are_in_natural_order(tmp_path):
    keys = [(name, 0, "fc", {"variant": name}) for name in ("task10", "task2", "task1")]
    (points, _) = maps(data_of(table_of(keys, lambda a, b: 0.5), tmp_path))
    names = [trace["name"] for trace in points.spec["figures"][0]["data"]]
    assert names == ["task1", "task2", "task10"]


def test_members_are_named_as_in_the_matrices(tmp_path):
    keys = [(name, 0, layer, {"variant": name}) for layer in ("conv", "fc") for name in "abc"]
    data = data_of(table_of(keys, lambda a, b: 0.5), tmp_path)
    every = data.clusters.sets[0].comparison
    assert every.names == ["a · conv", "b · conv", "c · conv", "a · fc", "b · fc", "c · fc"]
