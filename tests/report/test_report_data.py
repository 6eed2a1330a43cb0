"""The data of the page: similarities, fields, sets, names, clustering, and the first sentence."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from fastcka.report.clusters import cluster_ranks
from fastcka.report.data import ReportData
from fastcka.report.explorer import layer_matrices, matrices_of_pairs, two_sets
from fastcka.report.facts import read_facts
from fastcka.report.maps import maps
from fastcka.report.opening import opening
from fastcka.report.pairs import Pairs, page_data
from fastcka.report.roles import find_roles
from fastcka.report.values import values_of
from fastcka.stats import PairTable, read_results


def table_of(keys, value, *, keep=lambda a, b: True, **further):
    """Return the pairs of representations (model, step, layer, labels)."""
    rows = [(a, b) for a, b in itertools.combinations(keys, 2) if keep(a, b)]
    columns = {"cka": [value(a, b) for a, b in rows], "estimator": ["unbiased"] * len(rows)}
    columns["n_examples"] = [600] * len(rows)
    columns |= {name: [function(a, b) for a, b in rows] for name, function in further.items()}
    for side in (0, 1):
        name = "ab"[side]
        for place, key in enumerate(("model", "step", "layer")):
            columns[f"{key}_{name}"] = [row[side][place] for row in rows]
        for factor in keys[0][3]:
            columns[f"{factor}_{name}"] = [row[side][3][factor] for row in rows]
    return PairTable.from_columns(columns)


def networks(steps=(0, 100), layers=("conv", "fc")):
    return [
        (f"{family}{seed}", step, layer, {"family": family, "seed": seed})
        for step in steps
        for family in ("cnn", "mlp")
        for seed in (0, 1)
        for layer in layers
    ]


def same_step(a, b):
    return a[1] == b[1]


def data_of(table, folder):
    return ReportData.of(
        table, read_facts(folder), find_roles(table), all_steps=False, permutations=99
    )


def test_every_column_of_similarities_can_be_shown():
    table = table_of(
        networks(steps=(0,)),
        lambda a, b: 0.5,
        cka_unbiased=lambda a, b: 0.5,
        cka_biased=lambda a, b: 0.6,
        some_new_measure=lambda a, b: 30.0,
        undefined_everywhere=lambda a, b: float("nan"),
        p_value=lambda a, b: 0.01,
        hsic_biased=lambda a, b: 1e9,
        device=lambda a, b: "cpu",
    )
    values = {value.name: value for value in values_of(table)}
    assert list(values) == ["cka", "cka_biased", "some_new_measure"]
    assert values["cka"].title == "CKA (unbiased)"
    assert values["some_new_measure"].title == "some new measure"
    assert values["cka"].limits == (0, 1)
    assert values["some_new_measure"].limits == (30, 30)
    assert values["some_new_measure"].of(table).cka.tolist() == [30.0] * len(table)


def test_the_reverse_of_an_asymmetric_measure_is_no_similarity_by_itself():
    table = table_of(
        networks(steps=(0,)),
        lambda a, b: 0.5,
        pwcca=lambda a, b: 0.25,
        pwcca_b=lambda a, b: 3.0,
        other_b=lambda a, b: 0.75,
    )
    values = {value.name: value for value in values_of(table)}
    assert list(values) == ["cka", "pwcca", "other_b"]
    assert values["pwcca"].numbers.tolist() == [0.25] * len(table)
    assert values["pwcca"].reverse.tolist() == [3.0] * len(table)
    assert values["pwcca"].limits == (0.25, 3.0)
    assert values["cka"].reverse is None


@pytest.mark.parametrize(
    ("keep", "fixed", "varying"),
    [
        (same_step, ("step",), ("model", "layer")),
        (lambda a, b: a[1:3] == b[1:3], ("step", "layer"), ("model",)),
        (lambda a, b: a[0] == b[0] and a[2] == b[2], ("layer", "model"), ("step",)),
        (
            lambda a, b: same_step(a, b) and a[3]["family"] == b[3]["family"],
            ("step", "family"),
            ("model", "layer"),
        ),
    ],
)
def test_the_page_shows_one_label_of_each_field_in_which_all_pairs_agree(keep, fixed, varying):
    table = table_of(networks(), lambda a, b: 0.5, keep=keep)
    pairs = Pairs.of(table, find_roles(table))
    assert (pairs.fixed, pairs.varying) == (fixed, varying)


def test_models_at_different_last_steps_are_one_matrix():
    keys = [("a", 5, "fc", {"seed": 0}), ("b", 6, "fc", {"seed": 1}), ("c", 7, "fc", {"seed": 2})]
    table = table_of(keys, lambda a, b: 0.5)
    pairs = Pairs.of(table, find_roles(table))
    assert (pairs.fixed, pairs.varying) == ((), ("model",))
    assert pairs.at_last_step()[0] == "one step per model (5 to 7)"


def test_two_sets_are_found_only_if_all_of_one_meet_all_of_the_other():
    def sides(keep):
        table = table_of(networks(), lambda a, b: 0.5, keep=keep)
        pairs = Pairs.of(table, find_roles(table))
        sets = two_sets(pairs)
        return sets and {key[0][:3]: sets[i] for i, key in enumerate(pairs.keys)}

    def crossed(a, b):
        return same_step(a, b) and a[3]["family"] != b[3]["family"]

    assert sides(crossed) == {"cnn": 0, "mlp": 1}
    assert sides(same_step) is None
    assert sides(lambda a, b: crossed(a, b) and (a[0], b[0]) != ("cnn0", "mlp0")) is None


def test_the_data_of_the_page_give_back_the_table(tmp_path):
    rng = np.random.default_rng(0)
    numbers = {}

    def value(a, b):
        return numbers.setdefault((a[:3], b[:3]), float(rng.uniform()))

    table = table_of(networks(), value, keep=same_step, ci_low=lambda a, b: 0.1)
    data = data_of(table, tmp_path)
    page = page_data(data.pairs, data.roles, data.facts, None)
    fields = page["fields"]

    def key(node):
        return tuple(
            fields[name]["labels"][fields[name]["codes"][node]]
            for name in ("model", "step", "layer")
        )

    seen = {
        (key(a), key(b)): cka
        for a, b, cka in zip(page["a"], page["b"], page["values"][0]["numbers"], strict=True)
    }
    assert seen == {
        ((a[0], str(a[1]), a[2]), (b[0], str(b[1]), b[2])): pytest.approx(cka, abs=1e-6)
        for (a, b), cka in numbers.items()
    }
    assert page["names"] == ["cnn / 0", "cnn / 1", "mlp / 0", "mlp / 1"]
    assert page["inference"] == {"ci_low": [0.1] * len(table)}
    json.dumps(page, allow_nan=False)


def test_the_first_sentence_has_the_means_of_each_kind_of_pairs(tmp_path):
    def value(a, b):
        if a[1] == 0:
            return 0.0
        if a[0] == b[0]:
            return 0.25
        if a[3]["family"] != b[3]["family"]:
            return 0.125
        return 0.875 if a[2] == b[2] else 0.5

    table = table_of(networks(), value, keep=same_step)
    assert opening(data_of(table, tmp_path)) == (
        "At step 100, the mean unbiased CKA is 0.25 between two layers of one model (4 pairs), "
        "0.88 between the same layer of two models of different seed (4 pairs) and 0.12 between "
        "the same layer of two models of different family (8 pairs)."
    )


def test_layer_matrices_need_pairs_of_different_layers(tmp_path):
    def titles(keep):
        table = table_of(networks(), lambda a, b: 0.5, keep=keep)
        return [item.title for item in layer_matrices(data_of(table, tmp_path))]

    assert titles(same_step) == [
        "Layer by layer within a model",
        "Layer by layer between models",
    ]
    assert titles(lambda a, b: a[1:3] == b[1:3]) == []
    within = titles(lambda a, b: same_step(a, b) and a[0] == b[0])
    assert within == []  # the matrix of all pairs shows one model at a time


def test_the_first_view_of_layers_between_models_has_pairs(tmp_path):
    table = table_of(
        networks(),
        lambda a, b: 0.5,
        keep=lambda a, b: same_step(a, b) and a[3]["family"] != b[3]["family"],
    )
    (chart,) = layer_matrices(data_of(table, tmp_path))
    assert chart.title == "Layer by layer between models"
    assert chart.spec["rows"] == {"field": "family", "label": 0}
    assert chart.spec["columns"] == {"field": "family", "label": 1}
    assert chart.spec["start"] == {"step": 1}


def test_a_sweep_of_two_sets_is_a_rectangle(tmp_path):
    table = table_of(
        networks(), lambda a, b: 0.5, keep=lambda a, b: same_step(a, b) and a[0][:3] != b[0][:3]
    )
    (chart,) = matrices_of_pairs(data_of(table, tmp_path))
    assert chart.title == "One set by the other"
    assert sorted(set(chart.spec["sides"])) == [0, 1]


def test_the_order_of_the_clustering_keeps_similar_models_together(tmp_path):
    pytest.importorskip("scipy")
    keys = [(name, 0, "fc", {"variant": name}) for name in "abcdef"]
    table = table_of(keys, lambda a, b: 0.9 if (ord(a[0]) + ord(b[0])) % 2 == 0 else 0.1)
    data = data_of(table, tmp_path)
    ranks = cluster_ranks(data.pairs.keys, data.clusters)
    order = [model for _, (model, _, _) in sorted(zip(ranks, data.pairs.keys, strict=True))]
    assert {frozenset(order[:3]), frozenset(order[3:])} == {frozenset("ace"), frozenset("bdf")}
    (points, tree) = maps(data)
    assert (points.title, tree.title) == ("Map", "Dendrogram")
    assert "stress" in points.spec["figures"][0]["layout"]["title"]["text"]


def test_a_map_needs_all_pairs(tmp_path):
    keys = [(name, 0, "fc", {"variant": name}) for name in "abcd"]
    table = table_of(keys, lambda a, b: 0.5, keep=lambda a, b: (a[0], b[0]) != ("a", "b"))
    (item,) = maps(data_of(table, tmp_path))
    assert "all compared with each other" in item.reason


def test_layers_are_in_the_order_of_their_networks(results_folder, models, planted):
    folder = results_folder(models, planted, layers=("stem", "block10", "block2", "head"))
    table = read_results(folder, order=read_facts(folder).order)
    assert table.labels("layer") == ["stem", "block10", "block2", "head"]


def test_the_caption_names_the_pooling(results_folder, models, planted):
    folder = results_folder(models, planted)
    record = json.loads((folder / "run.json").read_text())
    count = len(record["groups"][0]["keys"])
    record["groups"][0]["pooling"] = ["mean over positions"] * (count - 1) + [None]
    (folder / "run.json").write_text(json.dumps(record))
    caption = read_facts(folder).caption(read_results(folder))
    assert caption.endswith("pooling: mean over positions, not recorded")
