"""Finding representations: order of keys, unknown keys, and a checked index."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcka.errors import InputError, StoreError, UnknownKeyError
from fastcka.store import Key, Store, open_store
from fastcka.store import headers as headers_module
from fastcka.store.file.format import safe_id, step_path

X = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_keys_are_sorted_by_model_step_and_position(store: Store) -> None:
    for model, step in (("b", 10), ("a", 9), ("b", 9), ("a", 100)):
        store.write(model=model, step=step, layers={"z": X, "a": X, "10": X, "9": X})
    expected = [
        (model, step, layer)
        for model, step in (("a", 9), ("a", 100), ("b", 9), ("b", 10))
        for layer in ("z", "a", "10", "9")
    ]
    assert store.keys() == expected
    assert store.models() == ["a", "b"]
    assert store.steps("a") == [9, 100]
    assert {type(key) for key in sorted(store.keys())} == {Key}


def test_a_key_may_be_a_tuple(store: Store) -> None:
    store.write(model="m", step=0, layers={"a": X})
    np.testing.assert_array_equal(store.read(("m", 0, "a")), X)
    for wrong in ("m", ("m", 0), None):
        with pytest.raises(
            InputError, match=r"key: expected fastcka\.store\.Key\(model, step, layer\)"
        ):
            store.read(wrong)


def test_more_layers_than_fit_in_an_object_header(store: Store) -> None:
    store.write(model="m", step=0, layers={f"layer{i}": X + i for i in range(40)})
    keys = store.keys()
    assert keys == [Key("m", 0, f"layer{i}") for i in range(40)]
    for i, key in enumerate(keys):
        np.testing.assert_array_equal(store.read(key), X + i)


def test_an_empty_store(store: Store) -> None:
    assert store.keys() == store.models() == store.verify() == []
    with pytest.raises(UnknownKeyError, match="no model 'm' \\(it has: none\\)"):
        store.steps("m")


def test_unknown_keys_name_their_neighbours(store: Store) -> None:
    for step in range(0, 1000, 100):
        store.write(model="resnet", step=step, layers={"block1": X, "block2": X})
    for ask in (store.read, store.info, store.examples):
        with pytest.raises(UnknownKeyError, match=r"no model 'resmet'; did you mean resnet\?"):
            ask(Key("resmet", 0, "block1"))
        with pytest.raises(
            UnknownKeyError, match=r"no step 250; the nearest of its 10 .*\[0, 100, 200, 300"
        ):
            ask(Key("resnet", 250, "block1"))
        with pytest.raises(UnknownKeyError, match=r"no layer 'block3'; .*block"):
            ask(Key("resnet", 0, "block3"))
    with pytest.raises(UnknownKeyError, match="no model 'x'"):
        store.factors("x")


def test_factors_that_disagree_on_disk_are_an_error(store: Store, tmp_path: Path) -> None:
    store.write(model="m", step=0, layers={"a": X}, factors={"seed": 0})
    from fastcka.store import create_store

    other = create_store(tmp_path / "other")
    other.write(model="m", step=1, layers={"a": X}, factors={"seed": 1})
    step_path(other.path, "m", 1).rename(step_path(store.path, "m", 1))
    with pytest.raises(StoreError, match="factor 'seed' is 0 at step 0 and 1 at step 1"):
        store.factors("m")
    kinds = {f.path.name: (f.kind, f.message) for f in store.verify()}
    assert kinds["0.h5"][0] == "ok"
    assert "factor 'seed': expected 0, as at step 0 of model 'm', got 1" in kinds["1.h5"][1]


def test_many_threads_may_read(store: Store) -> None:
    for step in range(10):
        store.write(model="m", step=step, layers={"a": X + step, "b": X - step})
    reading = open_store(store.path)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(reading.read, reading.keys() * 3))
    for key, values in zip(reading.keys() * 3, got, strict=True):
        np.testing.assert_array_equal(values, X + key.step if key.layer == "a" else X - key.step)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_safe_ids_are_plain_and_distinct(models: list[str]) -> None:
    ids = [safe_id(model) for model in models]
    assert ids[0] != ids[1]
    assert ids[0].casefold() != ids[1].casefold()  # some file systems fold case
    for name in ids:
        assert name.isascii()
        assert len(name) <= 57
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@pytest.fixture
def indexed(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of four files with an index, although it is small."""
    monkeypatch.setattr(headers_module, "_INDEX_FROM_FILES", 1)
    for step in range(4):
        store.write(model="m", step=step, layers={"a": X}, factors={"seed": 0})
    assert len(store.keys()) == 4
    assert (store.path / "index.sqlite").exists()
    return store


def opened(store: Store, by_hdf5: list[str]) -> list[str]:
    """Check a new listing; return the names of the files that it opens."""
    by_hdf5.clear()
    keys = open_store(store.path).keys()
    files = sorted(step_path(store.path, "m", 0).parent.glob("*.h5"))
    assert [key.step for key in keys] == [int(file.stem) for file in files]
    return by_hdf5.copy()


def test_the_index_saves_opening_files(indexed: Store, by_hdf5: list[str]) -> None:
    assert opened(indexed, by_hdf5) == []
    indexed.write(model="m", step=9, layers={"a": X}, factors={"seed": 0})
    assert opened(indexed, by_hdf5) == ["9.h5"]
    assert opened(indexed, by_hdf5) == []
    step_path(indexed.path, "m", 1).unlink()
    assert opened(indexed, by_hdf5) == []
    with sqlite3.connect(indexed.path / "index.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM headers").fetchone() == (4,)
    connection.close()


def test_a_replaced_file_is_read_again(indexed: Store, by_hdf5: list[str]) -> None:
    first = indexed.info(Key("m", 2, "a"))
    indexed.write(model="m", step=2, layers={"a": X + 1}, factors={"seed": 0}, overwrite=True)
    os.utime(first.path, ns=(1, first.path.stat().st_mtime_ns))
    assert indexed.info(Key("m", 2, "a")).digest != first.digest
    assert opened(indexed, by_hdf5) == ["2.h5"]


def test_a_damaged_file_is_detected_despite_the_index(indexed: Store) -> None:
    path = step_path(indexed.path, "m", 2)
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[data.index(X.tobytes())] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh = open_store(indexed.path)
    assert len(fresh.keys()) == 4
    with pytest.raises(StoreError, match=r"2\.h5: /layers/0/x: damaged"):
        fresh.read(Key("m", 2, "a"))
    with pytest.raises(StoreError, match="the checksum of /layers/0/x does not match"):
        fresh.read(Key("m", 2, "a"))


def doctor(store: Store, old: str, new: str) -> None:
    with sqlite3.connect(store.path / "index.sqlite") as connection:
        connection.execute("UPDATE headers SET header = REPLACE(header, ?, ?)", (old, new))
    connection.close()


def test_a_manipulated_record_is_not_used(indexed: Store, by_hdf5: list[str]) -> None:
    doctor(indexed, '"seed": 0', '"seed": 1')
    assert open_store(indexed.path).factors("m") == {"seed": 0}
    assert opened(indexed, by_hdf5) == ["0.h5", "1.h5", "2.h5", "3.h5"]
    assert opened(indexed, by_hdf5) == []  # rewritten


@pytest.mark.parametrize(
    "content", [b"", b"not a database" * 100, b"SQLite format 3\0" + bytes(4096)]
)
def test_a_damaged_index_is_rebuilt(indexed: Store, by_hdf5: list[str], content: bytes) -> None:
    (indexed.path / "index.sqlite").write_bytes(content)
    assert len(opened(indexed, by_hdf5)) == 4
    assert opened(indexed, by_hdf5) == []


def test_an_index_damaged_inside_is_never_wrong(indexed: Store, by_hdf5: list[str]) -> None:
    path = indexed.path / "index.sqlite"
    good = path.read_bytes()
    rng = np.random.default_rng(2)
    for _ in range(60):
        bad = bytearray(good)
        for offset in rng.integers(0, len(bad), size=40):
            bad[offset] = rng.integers(0, 256)
        path.write_bytes(bad)
        opened(indexed, by_hdf5)  # asserts the keys
        assert open_store(indexed.path).factors("m") == {"seed": 0}


def test_an_index_of_another_layout_is_rebuilt(indexed: Store, by_hdf5: list[str]) -> None:
    with sqlite3.connect(indexed.path / "index.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert len(opened(indexed, by_hdf5)) == 4
    assert opened(indexed, by_hdf5) == []


def test_an_index_that_cannot_be_written_is_not_needed(indexed: Store, by_hdf5: list[str]) -> None:
    path = indexed.path / "index.sqlite"
    path.unlink()
    path.mkdir()
    assert len(opened(indexed, by_hdf5)) == 4
    assert len(opened(indexed, by_hdf5)) == 4


def test_a_linked_index_is_not_used(indexed: Store, by_hdf5: list[str], tmp_path: Path) -> None:
    path = indexed.path / "index.sqlite"
    path.rename(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    path.symlink_to(tmp_path / "elsewhere")
    indexed.write(model="m", step=9, layers={"a": X}, factors={"seed": 0})
    assert len(opened(indexed, by_hdf5)) == 5
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_small_store_has_no_index(store: Store) -> None:
    store.write(model="m", step=0, layers={"a": X})
    store.keys()
    assert not (store.path / "index.sqlite").exists()


def test_a_damaged_file_does_not_affect_others_and_can_be_rewritten(store: Store) -> None:
    for step in (0, 1, 2):
        store.write(model="m", step=step, layers={"a": X}, factors={"seed": 7})
    store.write(model="n", step=0, layers={"a": X})
    for step in (1, 2):
        path = step_path(store.path, "m", step)
        path.write_bytes(path.read_bytes()[:1000])
    fresh = open_store(store.path)
    keys, unreadable = fresh.inventory()
    assert keys == [Key("m", 0, "a"), Key("n", 0, "a")]
    assert [(file.model, file.step, file.factors) for file in unreadable] == [
        ("m", 1, {"seed": 7}),
        ("m", 2, {"seed": 7}),
    ]
    assert [file.is_of(name) for file in unreadable for name in ("m", "n")] == [True, False] * 2
    assert fresh.factors("m") == {"seed": 7}
    for ask in (fresh.keys, fresh.models, lambda: fresh.steps("m")):
        with pytest.raises(StoreError, match=r"1\.h5: damaged: the file is cut off after 1,000 of"):
            ask()
    with pytest.raises(UnknownKeyError, match="no model 'x'"):
        fresh.info(Key("x", 0, "a"))
    for step in (1, 2):  # works while the other file is still damaged
        store.write(model="m", step=step, layers={"a": X}, factors={"seed": 7}, overwrite=True)
    assert len(store.keys()) == 4


def test_a_file_with_damaged_layers_still_names_its_model(store: Store) -> None:
    store.write(model="lone", step=3, layers={"a": X}, factors={"seed": 7})
    path = step_path(store.path, "lone", 3)
    with h5py.File(path, "r+") as file:
        del file["layers/0/x"]
    keys, (file,) = open_store(store.path).inventory()
    assert (keys, file.model, file.factors) == ([], "lone", {"seed": 7})
    assert "write model 'lone', step 3, again with overwrite=True" in str(file.error)
