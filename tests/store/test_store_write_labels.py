"""Row labels of tables become example ids."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.errors import InputError
from fastcka.store import Key, Store
from store.written_layers import KEY

# Tables whose rows have labels


IDS = ["c", "a", "b", "e", "d", "g", "f"]


@pytest.mark.parametrize("library", ["pandas", "xarray"])
def test_labels_of_rows_are_the_ids(store: Store, values: np.ndarray, library: str) -> None:
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    moved = [6, 0, 3, 2, 1, 5, 4]
    labels = [IDS[row] for row in moved]
    first = pandas.DataFrame(values, index=IDS)
    second = (
        pandas.DataFrame(values[moved], index=labels)
        if library == "pandas"
        else xarray.DataArray(values[moved], dims=("e", "f"), coords={"e": labels})
    )
    store.write(model="m", step=0, layers={"a": first, "b": second})
    assert store.examples(KEY).ids.tolist() == IDS
    np.testing.assert_array_equal(store.read(Key("m", 0, "b")), values)
    ids = sorted(IDS)
    store.write(
        model="m", step=1, layers={"b": second, "plain": values, "a": first}, example_ids=ids
    )
    by_id = values[[IDS.index(name) for name in ids]]
    for layer, expected in (("a", by_id), ("b", by_id), ("plain", values)):
        np.testing.assert_array_equal(store.read(Key("m", 1, layer)), expected)
    assert store.examples(Key("m", 1, "a")).ids.tolist() == ids


def test_integer_labels_and_default_labels_of_pandas(store: Store, values: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(values)
    store.write(model="m", step=0, layers={"a": table}, example_ids=IDS)
    assert store.examples(KEY).ids.tolist() == IDS
    np.testing.assert_array_equal(store.read(KEY), values)
    moved = [6, 0, 3, 2, 1, 5, 4]
    store.write(model="m", step=1, layers={"a": table.iloc[moved], "b": table})
    assert store.examples(Key("m", 1, "a")).ids.tolist() == [str(row) for row in moved]
    for layer in "ab":
        np.testing.assert_array_equal(store.read(Key("m", 1, layer)), values[moved])


def test_labels_are_read_like_ids(store: Store, values: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(values, index=[name.encode() for name in IDS])
    store.write(model="m", step=0, layers={"a": table[::-1]}, example_ids=IDS)
    np.testing.assert_array_equal(store.read(KEY), values)
    store.write(model="m", step=1, layers={"a": table})
    assert store.examples(Key("m", 1, "a")).ids.tolist() == IDS


def test_labels_that_are_refused(store: Store, values: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(values, index=IDS)
    other = pandas.DataFrame(values, index=[*IDS[:-1], "x"])
    message = (
        r"of layers\['a'\] and layers\['b'\] differ: 1 of the 7 .* \(the first: 'f'\) and 1 of"
    )
    with pytest.raises(InputError, match=message):
        store.write(model="m", step=0, layers={"a": table, "b": other})
    with pytest.raises(
        InputError, match=r"labels of example_ids are not in layers\['b'\] \(the first: 'f'\)"
    ):
        store.write(model="m", step=0, layers={"b": other}, example_ids=IDS)
    with pytest.raises(InputError, match="example_ids: expected 7 ids, one for each row, got 2"):
        store.write(model="m", step=0, layers={"b": other}, example_ids=["a", "b"])
    twice = table.set_axis(["a"] * 7)
    with pytest.raises(InputError, match="example_ids: expected unique ids, got 'a' at 0 and at 1"):
        store.write(model="m", step=0, layers={"b": twice})
    with pytest.raises(InputError, match=r"layers\['b'\] has the row label 'a' more than once"):
        store.write(model="m", step=0, layers={"b": twice}, example_ids=IDS)
    for labels in (pandas.date_range("2020", periods=7), [0.5 + i for i in range(7)]):
        relabelled = table.set_axis(labels)
        with pytest.raises(InputError, match=r"row labels of layers\['b'\]\[0\]: .*; pass ex"):
            store.write(model="m", step=0, layers={"b": relabelled})
    with pytest.raises(InputError, match=r"layers\['c'\] has no labels, so the order of its rows"):
        store.write(model="m", step=0, layers={"a": table, "b": table[::-1], "c": values})
    assert store.keys() == []


# Coordinates of xarray


def labelled(values: np.ndarray, rows: list[int], **coordinates: list) -> object:
    xarray = pytest.importorskip("xarray")
    coords = {"image": [IDS[row] for row in rows], "neuron": range(values.shape[1])}
    coords |= {name: ("image", given) for name, given in coordinates.items()}
    return xarray.DataArray(values[rows], dims=("image", "neuron"), coords=coords)


def test_coordinates_become_columns_in_the_order_of_the_ids(
    store: Store, values: np.ndarray
) -> None:
    rows, moved = list(range(7)), [6, 0, 3, 2, 1, 5, 4]
    size = [row / 2 for row in rows]
    layers = {
        "a": labelled(values, rows, size=size),
        "b": labelled(values, moved, size=[size[row] for row in moved], kind=moved),
    }
    store.write(model="m", step=0, layers=layers)
    examples = store.examples(KEY)
    assert examples.ids.tolist() == IDS
    assert {name: column.tolist() for name, column in examples.columns.items()} == {
        "size": size,
        "kind": rows,
    }
    store.write(model="m", step=1, layers=layers, example_columns={})
    assert store.examples(Key("m", 1, "a")).columns == {}


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        ({"size": [9.0] * 7}, r"coordinate 'size' of layers\['b'\] differs from that of layers\["),
        ({"when": [None] * 7}, r"'when' of layers\['b'\] cannot become a column .*remove it with"),
        ({"a/b": [1] * 7}, r"coordinate 'a/b' of layers\['b'\] cannot become a column"),
    ],
)
def test_coordinates_that_are_no_columns(
    store: Store, values: np.ndarray, coordinates: dict, message: str
) -> None:
    rows = list(range(7))
    layers = {"a": labelled(values, rows, size=rows), "b": labelled(values, rows, **coordinates)}
    with pytest.raises(InputError, match=message):
        store.write(model="m", step=0, layers=layers)
