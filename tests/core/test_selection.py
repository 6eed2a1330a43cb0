"""Some representations of a comparison."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import fastcka
import oracle
from fastcka.errors import InputError


class Key(NamedTuple):
    model: str
    layer: str


@pytest.fixture
def xs(rng):
    shared = rng.standard_normal((40, 2))
    return {
        Key(model, layer): np.hstack([shared, rng.standard_normal((40, 2))])
        for model in ("a", "b")
        for layer in ("layer1", "layer2", "layer4")
    }


@pytest.fixture
def result(xs):
    return fastcka.compare(xs, inference=True)


def test_one_pair(xs, result):
    by_layer = result.sel(model="b")
    expected = oracle.cka(xs[Key("b", "layer1")], xs[Key("b", "layer4")], "unbiased")
    assert by_layer["layer1", "layer4"] == pytest.approx(expected, abs=1e-12)
    for first, second in (
        ("b layer1", "b layer4"),
        (3, 5),
        (np.int64(3), -1 + 6),
        (Key("b", "layer1"), {"model": "b", "layer": "layer4"}),
    ):
        value = result[first, second]
        assert value == by_layer["layer1", "layer4"]
        assert type(value) is float
    assert fastcka.compare({("m", 0): xs[Key("a", "layer1")], "x": xs[Key("b", "layer1")]})[
        ("m", 0), "x"
    ] == pytest.approx(result[0, 3], abs=1e-12)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("layer1", "b layer4"), "'layer1' matches 2 representations, a layer1, b layer1: give a"),
        (("layer9", 0), "got 'layer9'; the names are a layer1, a layer2"),
        ((6, 0), "expected a name or a position from 0 to 5, got 6"),
        ((-1, 0), "got -1"),
        ((True, 0), "got True"),
        (({"model": "a", "leyer": "layer1"}, 0), "expected a name or a position"),
        (({}, 0), "expected a name or a position"),
        (("a layer1", ["b layer1"]), "expected a name or a position"),
        ("a layer1", "expected two representations"),
        ((0, 1, 2), "expected two representations"),
        (([0, 0]), "expected different representations"),
        ([], r"expected one or more representations, got \[\]"),
        (slice(0), "expected one or more representations"),
        (np.zeros(6, bool), "expected one or more representations"),
        (np.array(3), "expected one or more representations"),
        (np.array([[0, 1]]), "expected a name or a position"),
        (slice("a", "b"), "expected a slice of positions"),
    ],
)
def test_wrong_keys(result, key, message):
    with pytest.raises(InputError, match=message):
        result[key]


def test_a_subset_has_all_values_of_its_pairs(xs, result):
    part = result.sel(model="b", layer=["layer4", "layer1"])
    assert part.names == ["b layer1", "b layer4"]
    positions = [3, 5]
    for name in ("biased", "unbiased", "hsic_biased", "z", "p_value", "stderr", "ci_low"):
        whole = getattr(result, name)
        expected = whole[np.ix_(positions, positions)]
        np.testing.assert_allclose(getattr(part, name), expected, rtol=1e-12)
    # q-values are over the pairs that are left: of one pair, q = p.
    assert part.q_value[0, 1] == part.p_value[0, 1]
    assert part.to_dataframe().layer_b.tolist() == ["layer4"]


def test_lists_slices_and_masks(result):
    assert result[["b layer4", 0]].names == ["b layer4", "a layer1"]
    assert result[["b layer4", 0]].cka[0, 1] == result.cka[5, 0]
    assert result[:2].names == ["a layer1", "a layer2"]
    assert result[np.arange(6) > 3].names == ["b layer2", "b layer4"]
    assert result[np.array([5, 0])].names == ["b layer4", "a layer1"]
    assert len(result[[0]].pairs) == 0


def test_pairs_stay_those_that_were_asked_for(xs):
    result = fastcka.compare(xs, pairs=[(0, 3), (1, 4), (5, 2)])
    assert result[[4, 3, 1]].pairs.tolist() == [[0, 2]]


def test_reasons_stay_with_their_representations(xs):
    result = fastcka.compare({"x": xs[Key("a", "layer1")], "one": np.ones((40, 1))})
    assert list(result[["one"]].undefined) == [0]
    assert result[["x"]].undefined == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"leyer": "layer1"}, "there is no label field 'leyer'; did you mean layer"),
        ({"layer": "layer3"}, "no representation has layer='layer3'; the values are 'layer1',"),
        ({"model": "a", "layer": 3}, "has layer=3; the values among the rest are 'layer1'"),
        ({"model": []}, r"no representation has model=\[\]"),
    ],
)
def test_wrong_fields(result, fields, message):
    with pytest.raises(InputError, match=message):
        result.sel(**fields)


def test_labels_that_are_lists_or_absent(xs):
    arrays = list(xs.values())[:3]
    result = fastcka.compare(
        arrays, labels=[{"tasks": ["t", "u"], "seed": 0}, {"tasks": ["t"]}, {"seed": 1}]
    )
    assert result.sel(tasks=["t", "u"]).labels == ({"tasks": ["t", "u"], "seed": 0},)
    assert result.sel(seed=np.array([1, 7])).names == ["1"]
    assert result.sel(seed=range(5)).names == ["t+u 0", "1"]
    assert result.sel(seed=None).names == ["t"]


def test_partial_similarities_have_no_intervals(result):
    # Those of the comparison had the shape of all representations, and were not partial.
    part = result.partial(0)
    assert part.stderr is part.ci_low is part.stderr_unbiased is part.fisher_sd_biased is None


def test_confounders_by_label(result):
    for given in (
        0,
        np.int64(0),
        "a layer1",
        Key("a", "layer1"),
        [{"model": "a", "layer": "layer1"}],
    ):
        np.testing.assert_array_equal(result.partial(given).cka, result.partial(0).cka)
    for given in (None, 1.5, object()):
        with pytest.raises(InputError, match="given: expected a name or a position"):
            result.partial(given)


def test_pairs_by_name(xs, result):
    arrays = {f"{key.model}-{key.layer}": x for key, x in xs.items()}
    named = fastcka.compare(arrays, pairs=[("b-layer1", "a-layer4"), ("a-layer1", 3)])
    assert named.pairs.tolist() == [[2, 3], [0, 3]]
    by_key = fastcka.compare(xs, pairs=[(Key("b", "layer1"), Key("a", "layer4"))])
    assert by_key.pairs.tolist() == [[2, 3]]
    zipped = fastcka.compare(arrays, pairs=zip(["a-layer1"], ["b-layer1"], strict=True))
    assert zipped.pairs.tolist() == [[0, 3]]
    as_array = fastcka.compare(arrays, pairs=np.array([["a-layer1", "b-layer4"]]))
    assert as_array.pairs.tolist() == [[0, 5]]
    for pairs, message in (
        ([("a-layer1", "b-layer9")], "pairs: expected a name or a position .* got 'b-layer9'"),
        ([("a-layer1",)], "expected pairs of names or positions"),
        ("ab", "expected pairs of names or positions"),
        ([("a-layer1", "a-layer1")], "two different"),
        (5, r"shape \(P, 2\)"),
    ):
        with pytest.raises(InputError, match=message):
            fastcka.compare(arrays, pairs=pairs)


def test_labels_and_values_that_are_arrays(xs):
    arrays = list(xs.values())[:3]
    labels = [{"layer": f"l{i}", "units": np.arange(i, i + 2)} for i in range(3)]
    result = fastcka.compare(arrays, labels=labels)
    for wanted in (pd.Series(["l0", "l2"]), pd.Index(["l2", "l0"]), np.array(["l0", "l2"])):
        np.testing.assert_array_equal(result.sel(layer=wanted).cka, result[[0, 2]].cka)
    for unit in ([1, 2], np.array([1, 2])):
        assert result.sel(units=unit).labels[0]["layer"] == "l1"
    assert result["l0", {"units": [2, 3]}] == result.cka[0, 2]
    with pytest.raises(InputError, match="no representation has units=5"):
        result.sel(units=5)
    lists = fastcka.compare(arrays, labels=[{"units": [i, i + 1]} for i in range(3)])
    assert lists[{"units": np.array([1, 2])}, {"units": [2, 3]}] == lists.cka[1, 2]
