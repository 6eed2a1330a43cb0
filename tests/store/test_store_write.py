"""Writing: formats, layouts, examples, factors, and refusals."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastcka.errors import InputError, KeyExistsError, StoreError
from fastcka.store import Key, Store, create_store, open_store
from fastcka.store import store as store_module
from fastcka.sweep import SweepConfig, plan_sweep
from fastcka.sweep.results.table import header
from store.written_layers import KEY, write


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "expected a mapping of at least one layer"),
        ({"a": np.zeros(3)}, r"expected \(n_examples, n_features\).*got shape \(3,\)"),
        ({"a": np.zeros(())}, "got shape"),
        ({"a": np.zeros((0, 3))}, "expected at least one value"),
        ({"a": np.zeros((3, 0))}, "expected at least one value"),
        (
            {"a": np.zeros((3, 2)), "b": np.zeros((4, 2))},
            "'b'.: expected 3 examples, as in .*'a'.*, got 4",
        ),
        ({"": np.zeros((3, 2))}, "non-empty string"),
        ({"a\0b": np.zeros((3, 2))}, "without NUL"),
        ({3: np.zeros((3, 2))}, "non-empty string"),
        ({"a": np.ma.masked_equal(np.eye(2), 0)}, "masked"),
        ({"a": "text"}, "got <?str|got shape"),
        (
            {"a": [[1.0], [1.0, 2.0]]},
            "expected rows of one length, got the length 1 in row 0 and 2",
        ),
    ],
)
def test_layers_that_are_refused(store: Store, layers: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        store.write(model="m", step=0, layers=layers)


def test_examples_are_read_as_written(store: Store, values: np.ndarray) -> None:
    columns = {
        "region": ["a", "", "é", "日本", "b", "b", "b"],
        "index": np.arange(7),
        "weight": [0.5, 1, 2, float("nan"), 4, 5, 6],
        "held out": [True, False] * 3 + [True],
    }
    write(store, values, example_ids=[f"id{i}é" for i in range(7)], example_columns=columns)
    examples = store.examples(KEY)
    assert examples.ids.tolist() == [f"id{i}é" for i in range(7)]
    assert examples.columns["region"].tolist() == columns["region"]
    assert examples.columns["index"].dtype == np.int64
    assert examples.columns["index"].tolist() == list(range(7))
    np.testing.assert_array_equal(examples.columns["weight"], columns["weight"])
    assert examples.columns["held out"].dtype == np.bool_
    assert examples.columns["held out"].tolist() == columns["held out"]


def test_default_ids(store: Store, values: np.ndarray) -> None:
    write(store, values)
    assert store.examples(KEY).ids.tolist() == ["0", "1", "2", "3", "4", "5", "6"]
    assert store.examples(KEY).columns == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"example_ids": ["a", "b"]}, "example_ids: expected 7 ids, .* got 2"),
        ({"example_ids": list("abcdefa")}, "got 'a' at 0 and at 6"),
        ({"example_ids": [True] * 7}, r"example_ids\[0\]: .* or an integer, got True"),
        ({"example_ids": [1, "1", *"abcde"]}, "integers .* and text"),
        ({"example_ids": "abcdefg"}, "example_ids: expected a sequence of ids, got str"),
        ({"example_ids": [*"abcdef", "g\0"]}, "without NUL"),
        ({"example_ids": [*"abcdef", ""]}, "non-empty"),
        ({"example_ids": [*"abcdef", "\ud800"]}, "not UTF-8"),
        ({"example_columns": {"c": [1]}}, r"example_columns\['c'\]: expected 7 values"),
        ({"example_columns": {"c": [1, "a"] + [1] * 5}}, "one kind, got int, str"),
        ({"example_columns": {"c": [True, 1] + [1] * 5}}, "one kind, got bool, int"),
        ({"example_columns": {"c": [None] * 7}}, "got None"),
        ({"example_columns": {"c": [2**70] * 7}}, "64 bits"),
        (
            {"example_columns": {"id": [1] * 7}},
            "expected names of columns|expected a name other than",
        ),
        (
            {"example_columns": {"a/b": [1] * 7}},
            "expected names of columns|expected a name other than",
        ),
        (
            {"example_columns": {"..": [1] * 7}},
            "expected names of columns|expected a name other than",
        ),
        ({"factors": {"a": {"b": 1}}}, r"factors\['a'\]"),
        ({"factors": {"a": [[1]]}}, r"factors\['a'\]"),
        ({"factors": {"a": float("nan")}}, "finite"),
        ({"factors": {1: 1}}, "names that are non-empty strings"),
        ({"factors": [1]}, "expected a mapping"),
        ({"factors": {"a": "x" * 60_000}}, "at most 60000"),
        ({"provenance": {"a": object()}}, "provenance: expected values that JSON"),
        ({"provenance": {"a": float("inf")}}, "provenance"),
        ({"layer_attributes": {"b": {"io": "out"}}}, "got 'b'"),
        ({"layer_attributes": {"a": {"x": "out"}}}, "expected pooling or io, got 'x'"),
        ({"layer_attributes": {"a": {"io": 3}}}, "non-empty string"),
    ],
)
def test_options_that_are_refused(
    store: Store, values: np.ndarray, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write(store, values, **options)
    assert store.keys() == []


@pytest.mark.parametrize("step", [-1, 1.0, True, "1", None, 2**63])
def test_steps_that_are_refused(store: Store, values: np.ndarray, step: object) -> None:
    with pytest.raises(InputError, match="step: expected an integer"):
        store.write(model="m", step=step, layers={"a": values})


@pytest.mark.parametrize("model", ["", "a\0", 3, "\ud800", "x" * 2000])
def test_model_names_that_are_refused(store: Store, values: np.ndarray, model: object) -> None:
    with pytest.raises(InputError, match="model: "):
        store.write(model=model, step=0, layers={"a": values})


def test_factors_are_read_as_plain_values(store: Store, values: np.ndarray) -> None:
    factors = {
        "seed": np.int64(3),
        "rate": np.float32(0.5),
        "bias": np.bool_(True),
        "tasks": ("a", "b"),
        "name": "é",
        "none": None,
    }
    write(store, values, factors=factors)
    got = store.factors("m")
    assert got == {
        "seed": 3,
        "rate": 0.5,
        "bias": True,
        "tasks": ["a", "b"],
        "name": "é",
        "none": None,
    }
    assert [type(value) for value in got.values()][:4] == [int, float, bool, list]
    got["tasks"].append("c")
    assert store.factors("m")["tasks"] == ["a", "b"]


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ({"seed": 1}, r"factors\['seed'\]: expected 0, as at step 5 of model 'm', got 1"),
        ({"seed": False}, "got false"),
        ({"seed": 0.0}, r"got 0\.0"),
        (None, r"factors\['seed'\]: expected 0, .* got nothing"),
        ({"seed": 0, "more": 1}, r"factors\['more'\]: expected nothing, .* got 1"),
    ],
)
def test_factors_are_the_same_at_all_steps(
    store: Store, values: np.ndarray, later: dict | None, message: str
) -> None:
    store.write(model="m", step=5, layers={"a": values}, factors={"seed": 0})
    with pytest.raises(InputError, match=message):
        store.write(model="m", step=6, layers={"a": values}, factors=later)
    store.write(model="m", step=6, layers={"a": values}, factors={"seed": 0})
    store.write(model="other", step=6, layers={"a": values}, factors={"seed": 1})
    assert store.steps("m") == [5, 6]


def test_an_existing_step_is_kept_unless_overwritten(store: Store, values: np.ndarray) -> None:
    write(store, values, factors={"seed": 0})
    with pytest.raises(KeyExistsError, match=r"model 'm' at step 0; pass overwrite=True"):
        write(store, values + 1)
    np.testing.assert_array_equal(store.read(KEY), values)
    write(store, values + 1, overwrite=True, factors={"seed": 1})  # its only step: free to change
    np.testing.assert_array_equal(store.read(KEY), values + 1)
    assert store.factors("m") == {"seed": 1}


def test_an_existing_step_is_refused_before_anything_is_written(
    store: Store, values: np.ndarray
) -> None:
    write(store, values)
    with pytest.raises(KeyExistsError):
        write(store, np.full((7, 5), np.nan))  # detected only while writing


def test_a_step_that_appears_during_a_write_is_kept(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store_module.write_file

    def overtaken(path: Path, *content: object, **options: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(store_module, "write_file", real)
            write(create_store(store.path, exist_ok=True), values)
        real(path, *content, **options)

    monkeypatch.setattr(store_module, "write_file", overtaken)
    with pytest.raises(KeyExistsError, match="at step 0"):
        write(store, values + 1)
    np.testing.assert_array_equal(store.read(KEY), values)
    assert [finding.kind for finding in store.verify()] == ["ok"]


def test_provenance_and_layer_attributes(store: Store, values: np.ndarray) -> None:
    provenance = {"checkpoint": {"sha256": "00", "sizes": [1, 2.5, None]}}
    store.write(
        model="m",
        step=0,
        layers={"a": values, "b": values},
        provenance=provenance,
        layer_attributes={"b": {"pooling": "mean", "io": "output"}},
    )
    assert store.provenance("m", 0) == provenance
    info = store.info(Key("m", 0, "b"))
    assert (info.pooling, info.io) == ("mean", "output")
    assert store.info(KEY).pooling is None


def test_the_digest_is_of_the_little_endian_values_in_c_order(
    store: Store, values: np.ndarray
) -> None:
    write(store, np.asfortranarray(values.astype(">f4")))
    expected = hashlib.blake2b(values.astype("<f4").tobytes("C"), digest_size=32).hexdigest()
    assert store.info(KEY).digest == expected


def test_the_layout_of_the_file_follows_the_format(store: Store, values: np.ndarray) -> None:
    write(store, values, factors={"seed": 0}, example_columns={"c": ["é"] * 7, "b": [True] * 7})
    path = store.info(KEY).path
    assert path.parent.parent == store.path / "models"
    assert path.name == "0.h5"
    assert path.read_bytes()[8] == 3  # the superblock of library version v110
    with h5py.File(path) as file:
        assert file.attrs["format"] == b"fastcka.store"
        assert file.attrs["format_version"] == b"1.1"
        assert file.attrs["model"] == b"m"
        assert file.attrs["step"] == 0
        assert file.attrs["factors"] == b'{"seed":0}'
        assert file.attrs["complete"] == 1
        assert file["layers/0"].attrs["name"] == b"a"
        datasets = ("examples/id", "examples/c", "examples/b", "layers/0/x", "checksums")
        for name in ("/", "examples", "layers", "layers/0", *datasets):
            creation = file[name].id.get_create_plist()
            assert not creation.get_obj_track_times()  # the same content gives the same bytes
        for name in datasets:
            data = file[name]
            assert data.fletcher32
            assert data.compression is None
            assert data.chunks is not None
            assert not h5py.check_dtype(vlen=data.dtype)
            assert data.id.get_type().get_class() != h5py.h5t.ENUM


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, values: np.ndarray) -> None:
    files = []
    for name in ("one", "two"):
        with create_store(tmp_path / name) as store:
            write(store, values, factors={"seed": 0})
            files.append(store.info(KEY).path.read_bytes())
    assert files[0] == files[1]


def test_a_store_open_for_reading_cannot_be_written(store: Store, values: np.ndarray) -> None:
    with (
        open_store(store.path) as reading,
        pytest.raises(StoreError, match=r"reading only; .* create_store\(path, exist_ok=True\)"),
    ):
        write(reading, values)


def test_create_store_refuses_an_existing_path(tmp_path: Path, values: np.ndarray) -> None:
    with create_store(tmp_path / "a" / "b") as store:
        write(store, values)
    with pytest.raises(StoreError, match="already contains a store; pass exist_ok=True"):
        create_store(store.path)
    assert create_store(store.path, exist_ok=True).keys() == [KEY]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(StoreError, match="expected a new or empty folder, or a store"):
        create_store(tmp_path / "full", exist_ok=True)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        create_store(tmp_path / "file")
    with pytest.raises(StoreError, match="no such store"):
        open_store(tmp_path / "absent")
    with pytest.raises(StoreError, match=r"contains no store\.json"):
        open_store(tmp_path)


def test_integer_ids_are_stored_as_text(store: Store, values: np.ndarray) -> None:
    for ids in (range(-3, 4), np.arange(-3, 4), [2**70 + index for index in range(7)]):
        write(store, values, example_ids=list(ids), overwrite=True)
        assert store.examples(KEY).ids.tolist() == [str(int(i)) for i in ids]


def test_no_factor_hides_the_key_or_a_column_of_the_results(store: Store) -> None:
    """Try every column of a table without factors, and each part of the key."""
    for model in "ab":
        store.write(model=model, step=0, layers={"l": np.random.default_rng(0).normal(size=(8, 2))})
    config = SweepConfig.model_validate(
        {
            "store": store.path,
            "output": store.path.parent / "out",
            "compare": {},
            "inference": True,
        }
    )
    columns = header(plan_sweep(config, store))
    for name in ["model", "step", "layer", *columns]:
        with pytest.raises(
            InputError, match=f"factors: '{name}' is the name of a part of the key or of a col"
        ):
            store.write(model="m", step=0, layers={"l": np.zeros((3, 2))}, factors={name: 1})
    store.write(model="m", step=0, layers={"l": np.zeros((3, 2))}, factors={"group_name": 1})
