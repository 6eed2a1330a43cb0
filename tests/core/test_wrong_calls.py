"""Calls that people try: they are accepted, or the error names the right call."""

from __future__ import annotations

import re
from collections import UserList

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import fastcka
from fastcka.core import minibatch_cka
from fastcka.errors import FastckaError, InputError

torch = pytest.importorskip("torch")


@pytest.fixture
def xs(rng):
    return {name: rng.standard_normal((20, d)) for name, d in (("a", 3), ("b", 4), ("c", 2))}


def refused(call, *parts):
    """Check that a call raises one `InputError` whose message contains the parts."""
    with pytest.raises(InputError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    "form",
    [
        lambda xs: xs.items(),
        lambda xs: list(xs.items()),
        lambda xs: [(np.str_(name), x) for name, x in xs.items()],
        lambda xs: tuple(xs.items()),
        lambda xs: zip(xs, xs.values(), strict=True),
        lambda xs: ((name, x) for name, x in xs.items()),
        lambda xs: xr.Dataset({name: (("n", f"d_{name}"), x) for name, x in xs.items()}),
    ],
    ids=[
        "items",
        "list of items",
        "numpy labels",
        "tuple of items",
        "zip",
        "generator",
        "xarray Dataset",
    ],
)
def test_labels_with_arrays_are_accepted(xs, form):
    result = fastcka.compare(form(xs))
    assert result.names == ["a", "b", "c"]
    np.testing.assert_allclose(result.cka, fastcka.compare(xs).cka)
    crossed = fastcka.compare(form(xs), form(xs))
    assert crossed.names_b == ["a", "b", "c"]


@pytest.mark.parametrize(
    "form",
    [
        lambda xs: xs.values(),
        lambda xs: iter(xs.values()),
        lambda xs: UserList(xs.values()),
        lambda xs: np.array([*xs.values(), None], dtype=object)[:3],
        lambda xs: np.stack([xs["a"], xs["a"] ** 2, xs["a"] ** 3]),
    ],
    ids=["values", "iterator", "UserList", "object array", "stack"],
)
def test_other_sequences_are_accepted(xs, form):
    assert fastcka.compare(form(xs)).names == ["0", "1", "2"]


def test_items_with_other_labels(xs):
    arrays = list(xs.values())
    assert fastcka.compare(list(enumerate(arrays))).names == ["0", "1", "2"]
    keyed = [(("m", 0), arrays[0]), (("m", 1), arrays[1])]
    assert fastcka.compare(keyed).names == ["m 0", "m 1"]
    refused(lambda: fastcka.compare(pd.DataFrame(xs["a"]).items()), "(n_examples, n_features)")


def test_equal_labels_of_items_are_refused(xs):
    # A dictionary would lose the first of them.
    refused(lambda: fastcka.compare([("a", xs["a"]), ("a", xs["b"])]), "labels must differ")


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        torch.from_numpy,
        lambda x: x.tolist(),
        pd.DataFrame,
        lambda x: xr.DataArray(x, dims=("n", "d")),
        lambda x: x[:, 0],
        lambda x: np.ma.masked_array(x),
    ],
    ids=["numpy", "torch", "lists", "pandas", "xarray", "one axis", "masked"],
)
def test_one_array_is_no_sequence(xs, form):
    x = form(xs["a"])
    remedy = "fastcka.cka(x, y) compares two arrays, fastcka.compare([x, y]) all pairs of several"
    for call in (
        lambda: fastcka.compare(x),
        lambda: fastcka.compare(x, x),
        lambda: fastcka.cka_matrix(x),
        lambda: fastcka.curve(x),
        lambda: fastcka.permutation_test(x),
        lambda: fastcka.Accumulator().update(x),
        lambda: minibatch_cka([x]),
    ):
        refused(call, "representations: expected a sequence or mapping of arrays, got ", remedy)


def test_mappings_of_mappings(xs):
    nested = {"model1": xs, "model2": xs}
    parts = (
        "representation 0 (model1) must be an array, got a mapping with the keys 'a', 'b', 'c'",
        "compare(a, b) compares every array of one mapping with every array of another",
        '("model1", "layer1")',
    )
    refused(lambda: fastcka.compare(nested), *parts)
    refused(
        lambda: fastcka.compare(list(nested.values())), "representations[0] must be", *parts[1:]
    )
    refused(lambda: fastcka.Accumulator().update(nested), *parts)
    refused(lambda: fastcka.cka(xs, xs), "(x) must be an array, got a mapping", parts[1])
    assert fastcka.compare(*nested.values()).cka.shape == (3, 3)


def test_lists_of_arrays_are_no_array(rng):
    # Four layers would be four examples, and give a number.
    layers = [rng.standard_normal((20, 3)) for _ in range(4)]
    for nested in ({"a": layers, "b": layers}, [layers, layers], [layers[0], tuple(layers)]):
        refused(
            lambda nested=nested: fastcka.compare(nested),
            "must be an array, got a list of 4 arrays, the first of shape (20, 3): if these are "
            "representations, compare(a, b) compares two lists",
        )
        refused(lambda nested=nested: fastcka.curve(nested), "must be an array, got a list of 4")
    assert fastcka.compare(layers, layers).cka.shape == (4, 4)
    # `cka` takes two arrays, so that there a list contains examples.
    expected = fastcka.cka(np.stack(layers), np.stack(layers) ** 2)
    assert fastcka.cka(layers, [x**2 for x in layers]) == pytest.approx(expected)
    rows = [list(layers[0]), layers[1].tolist()]  # lists of rows are arrays
    np.testing.assert_allclose(fastcka.compare(rows).cka, fastcka.compare(layers[:2]).cka)


def test_a_store(xs, tmp_path):
    with fastcka.create_store(tmp_path / "store") as store:
        store.write(model="m", step=0, layers=xs)
        refused(
            lambda: fastcka.compare(store),
            "got a store: read the representations, {key: store.read(key) for key in store.keys()}",
            "`fastcka run`",
        )
        remedy = {key: store.read(key) for key in store.keys()}
    assert fastcka.compare(remedy).names == ["m 0 a", "m 0 b", "m 0 c"]


def test_networks(xs):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    for call in (lambda: fastcka.compare(network), lambda: fastcka.compare(network, network)):
        refused(call, "got a network (Sequential): fastcka.capture.capture_activations(")
    layers = fastcka.capture.capture_activations(
        network, torch.from_numpy(xs["a"]).float(), ["0", "1"]
    )
    assert fastcka.compare(layers).names == ["0", "1"]


@pytest.mark.parametrize("wrong", ["results.npz", b"x", 5, 1.5, None, object(), len])
def test_what_is_no_sequence(wrong):
    refused(lambda: fastcka.compare(wrong), "representations: expected a sequence or mapping")
    refused(lambda: fastcka.permutation_test(wrong), "representations: expected a sequence or map")
    if wrong is not None:
        refused(lambda: fastcka.compare([np.eye(5)], wrong), "others: expected a sequence or map")


def test_two_arrays_are_one_list_for_a_permutation_test(xs):
    x, y, _ = xs.values()
    refused(lambda: fastcka.permutation_test(x, y), "others: ", "permutation_test([x, y])")
    items = fastcka.permutation_test(xs.items(), n_permutations=9)
    assert items.names == list(xs)


def test_the_errors_of_paths_name_the_readers(tmp_path):
    for path in ("store", tmp_path):
        refused(lambda path=path: fastcka.compare(path), "fastcka.open_store", "Comparison.load")


@pytest.mark.parametrize(
    "members",
    [[], {}, [[]], [()], [None], ["x"], [{}], {"a": "x"}, [("a", "x")], [1, 2], [[1, 2], 3]],
    ids=repr,
)
def test_other_errors_are_those_of_fastcka(members):
    with pytest.raises(FastckaError) as caught:
        fastcka.compare(members)
    assert re.search(r"must|empty|expected", str(caught.value))
