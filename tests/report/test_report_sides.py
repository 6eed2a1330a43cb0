"""Sweeps of one set of representations by another, also where pairs are missing."""

from __future__ import annotations

import json

import pytest

from fastcka.report.explorer import matrices_of_pairs
from fastcka.report.facts import RunFacts, read_facts
from fastcka.report.pairs import Pairs
from fastcka.report.roles import find_roles
from fastcka.report.sides import BOTH, two_sides
from report.tables import data_of, networks, same_step, table_of


def crossed(a, b):
    return same_step(a, b) and a[3]["family"] != b[3]["family"]


def incomplete(a, b):
    return crossed(a, b) and (a[0], a[2], b[0], b[2]) != ("cnn0", "conv", "mlp0", "conv")


def sides_of(keep, *, keys=None, sides=None, differing=()):
    """Return the sides: model, layer -> 0, 1 or BOTH; None without sides."""
    table = table_of(keys or networks(), lambda a, b: 0.5, keep=keep)
    pairs = Pairs.of(table, find_roles(table))
    facts = RunFacts("none", sides=sides, differing=differing)
    got = two_sides(pairs, facts)
    return got and {(key[0], key[2]): got[i] for i, key in enumerate(pairs.keys)}


EXPECTED = {
    (f"{family}{seed}", layer): int(family == "mlp")
    for family in ("cnn", "mlp")
    for seed in (0, 1)
    for layer in ("conv", "fc")
}


def test_complete_sets_are_found_without_a_configuration():
    assert sides_of(crossed) == EXPECTED
    assert sides_of(same_step) is None
    assert sides_of(incomplete) is None


@pytest.mark.parametrize(
    "sides",
    [
        ({"family": ["cnn"]}, {"family": ["mlp"]}),
        ({"model": ["cnn0", "cnn1"]}, {"family": ["mlp"], "layer": ["conv", "fc"]}),
    ],
)
def test_left_and_right_are_sides_although_pairs_are_missing(sides):
    assert sides_of(incomplete, sides=sides) == EXPECTED
    few = [("cnn0", "mlp1"), ("cnn1", "mlp0")]
    diagonal = sides_of(lambda a, b: crossed(a, b) and (a[0], b[0]) in few, sides=sides)
    assert diagonal == EXPECTED


def test_a_field_with_two_labels_that_must_differ_is_a_side():
    assert sides_of(incomplete, differing=("seed", "family")) == EXPECTED
    three = [*networks(), ("vit0", 100, "fc", {"family": "vit", "seed": 0})]
    assert sides_of(crossed, keys=three, differing=("family",)) is None


def test_a_configuration_that_does_not_describe_the_pairs_is_ignored():
    assert sides_of(same_step, sides=({"family": ["cnn"]}, {"family": ["mlp"]})) is None
    assert sides_of(same_step, differing=("family",)) is None
    assert sides_of(incomplete, sides=({"family": ["cnn"]}, {"family": ["vit"]})) is None


def test_one_set_by_all_is_a_rectangle_with_the_set_on_both_sides():
    def keep(a, b):
        return same_step(a, b) and "cnn0" in (a[0], b[0])

    got = sides_of(keep, sides=({}, {"model": ["cnn0"]}))
    assert {model: side for (model, _), side in got.items()} == {
        "cnn0": BOTH,
        "cnn1": 0,
        "mlp0": 0,
        "mlp1": 0,
    }
    assert sides_of(same_step, sides=({}, {})) is None


def test_values_of_the_configuration_are_compared_as_the_sweep_compares_them():
    keys = [
        (f"m{width}{name}", 0, "fc", {"width": width, "tasks": tasks})
        for width in ("1.0", "2")  # as in results.csv
        for name, tasks in (("a", ["sum", "max"]), ("b", ["sum"]))
    ]

    def wide(a, b):
        return a[3]["width"] != b[3]["width"] and (a[0], b[0]) != ("m1.0a", "m2a")

    assert set(sides_of(wide, keys=keys, sides=({"width": [1]}, {"width": [2.0]})).values()) == {
        0,
        1,
    }

    def with_max(a, b):
        return ("max" in a[3]["tasks"]) != ("max" in b[3]["tasks"]) and a[0] != "m1.0b"

    got = sides_of(with_max, keys=keys, sides=({"tasks": ["max"]}, {"tasks": ["sum"]}))
    assert got == {("m1.0a", "fc"): BOTH, ("m2b", "fc"): 1, ("m2a", "fc"): BOTH, ("m1.0b", "fc"): 1}


def test_two_models_are_no_rectangle():
    keys = [(name, 0, "fc", {"family": name}) for name in "ab"]
    assert sides_of(lambda a, b: True, keys=keys, sides=({"family": "a"}, {"family": "b"})) is None


def test_the_matrix_of_a_sweep_of_two_sets_is_a_rectangle(tmp_path):
    table = table_of(networks(), lambda a, b: 0.5, keep=crossed)
    (chart,) = matrices_of_pairs(data_of(table, tmp_path))
    assert chart.title == "One set by the other"
    assert sorted(set(chart.spec["sides"])) == [0, 1]


def test_facts_contain_the_sides_of_the_configuration(results_folder, models, planted):
    folder = results_folder(models, planted)
    assert read_facts(folder).sides is None
    record = json.loads((folder / "run.json").read_text())
    record["config"]["compare"] = {
        "left": {"family": ["PT2"]},
        "right": {},
        "differ": ["variant"],
        "ascending": ["seed"],
    }
    (folder / "run.json").write_text(json.dumps(record))
    facts = read_facts(folder)
    assert facts.sides == ({"family": ["PT2"]}, {})
    assert facts.differing == ("variant", "seed")
