"""The data of the page: fields, names, layers, and the first sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastcka.report.explorer import layer_matrices
from fastcka.report.facts import read_facts
from fastcka.report.opening import opening
from fastcka.report.pairs import Pairs, page_data
from fastcka.report.roles import find_roles
from fastcka.stats import read_results
from report.tables import data_of, networks, same_step, table_of


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
    assert page["names"] == ["cnn · seed 0", "cnn · seed 1", "mlp · seed 0", "mlp · seed 1"]
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
