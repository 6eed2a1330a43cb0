"""Some rows of a representation, in any order, read a chunk at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastcka.errors import InputError
from fastcka.store import Key, create_store, ids_digest

N = 5_000
KEY = Key("m", 0, "l")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store with a layer of several chunks in each format, and the values by layer."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 300))
    layers = {
        "float16": x.astype(np.float16),
        "bfloat16": torch.from_numpy(x).to(torch.bfloat16),
        "float32": x.astype(np.float32),
        "float64": x,
    }
    store = create_store(tmp_path_factory.mktemp("rows") / "store")
    store.write(model="m", step=0, layers=layers)
    return store, layers | {"bfloat16": layers["bfloat16"].float().numpy()}


@pytest.mark.parametrize("layer", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    "rows",
    [
        np.random.default_rng(1).permutation(N),
        np.random.default_rng(2).permutation(N)[:700],
        np.arange(3_000, 3_100),
        np.array([N - 1, 0, N - 1, 17]),
        np.array([], dtype=np.int64),
    ],
    ids=["shuffled", "some", "a slice", "one twice", "none"],
)
def test_rows_equal_those_of_indexing(stored, layer, rows):
    store, arrays = stored
    expected = arrays[layer][rows]
    key = KEY._replace(layer=layer)
    read = store.read(key, rows=rows)
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)
    padded = np.zeros((len(rows), 320), np.float64)
    given = padded[:, :300]
    assert store.read(key, rows=rows, out=given) is given
    np.testing.assert_array_equal(given, expected)
    assert not padded[:, 300:].any()


@pytest.mark.parametrize(
    "rows",
    [np.array([0, N]), np.array([-1]), np.array([0.0]), np.zeros((2, 2), int), [0, 1]],
    ids=["beyond", "negative", "floats", "two axes", "a list"],
)
def test_invalid_rows_are_refused(stored, rows):
    with pytest.raises(InputError, match="rows: expected"):
        stored[0].read(KEY._replace(layer="float32"), rows=rows)


def test_out_needs_a_row_for_each_requested_row(stored):
    with pytest.raises(InputError, match=r"expected shape \(2, 300\)"):
        stored[0].read(KEY._replace(layer="float32"), rows=np.array([0, 1]), out=np.empty((N, 300)))


def test_a_gathered_value_beyond_float32_is_an_error(tmp_path):
    with create_store(tmp_path / "store") as store:
        store.write(model="m", step=0, layers={"l": np.array([[1.0], [1e300], [2.0]])})
    narrow = np.empty((2, 1), np.float32)
    np.testing.assert_array_equal(store.read(KEY, rows=np.array([2, 0]), out=narrow), [[2], [1]])
    with pytest.raises(InputError, match="too large for float32"):
        store.read(KEY, rows=np.array([1, 0]), out=narrow)


def test_memory_does_not_grow_with_the_rows(stored):
    """Gathering 5,000 x 300 float64 (11 MiB) into ``out`` needs one or two more chunks."""
    import tracemalloc

    store, arrays = stored
    rows = np.random.default_rng(3).permutation(N)
    out = np.empty((N, 300))
    tracemalloc.start()
    try:
        store.read(KEY._replace(layer="float64"), rows=rows, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(out, arrays["float64"][rows])
    assert peak < 9 * 2**20


def test_a_fingerprint_covers_ids_and_the_named_columns(tmp_path):
    ids, region = ["a", "b", "c"], ["x", "y", "x"]
    contents = {
        "first": (ids, {"region": region, "other": [1, 2, 3]}),
        "same": (ids, {"region": region, "other": [4, 5, 6]}),
        "other ids": (["b", "a", "c"], {"region": region}),
        "other region": (ids, {"region": ["x", "y", "y"]}),
        "none": (ids, {}),
    }
    with create_store(tmp_path / "store") as store:
        for model, (example_ids, columns) in contents.items():
            store.write(
                model=model,
                step=0,
                layers={"l": np.ones((3, 1))},
                example_ids=example_ids,
                example_columns=columns,
            )
    marks = {
        model: store.examples_fingerprint(Key(model, 0, "l"), ["region"]) for model in contents
    }
    assert marks["first"] == marks["same"]
    assert len(set(marks.values())) == 4
    plain = {model: store.examples_fingerprint(Key(model, 0, "l"), []) for model in contents}
    assert len(set(plain.values())) == 2
    # The fingerprint follows from the ids, for any string width.
    assert ids_digest(ids) == plain["first"] == ids_digest(np.array(ids, "U40").tolist())
