"""A second read of a file does not open it through HDF5, but detects changes of the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastcka.store.headers as headers_module
from fastcka.errors import CorruptFileError, FastckaError, StoreError, UnsafeFileError
from fastcka.store import Key, Store, open_store
from fastcka.store.file.stamp import FileStamp

KEY = Key("m", 3, "b")


@pytest.fixture
def path(store: Store, values: np.ndarray) -> Path:
    store.write(model="m", step=3, layers={"a": values, "b": values + 1})
    return store.info(KEY).path


def test_hdf5_opens_a_file_once(
    path: Path,
    store: Store,
    values: np.ndarray,
    by_hdf5: list[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(headers_module, "_INDEX_FROM_FILES", 1)
    for _ in range(2):  # the second time, from the index
        listed = open_store(store.path)
        listed.keys()
        for layer, expected in (("a", values), ("b", values + 1)):
            np.testing.assert_array_equal(listed.read(KEY._replace(layer=layer)), expected)
        assert by_hdf5 == ["3.h5"]


def test_a_replaced_file_is_read_again(path: Path, store: Store, values: np.ndarray):
    reading = open_store(store.path)
    reading.keys()
    store.write(model="m", step=3, layers={"b": values[:5] * 2, "a": values[:5]}, overwrite=True)
    np.testing.assert_array_equal(reading.read(KEY), values[:5] * 2)
    store.write(model="m", step=3, layers={"c": values}, overwrite=True)
    with pytest.raises(FastckaError, match=r"no layer 'b' \(it has: c\)"):
        reading.read(KEY)


def linked(path: Path) -> None:
    os.rename(path, path.parents[2] / "x")
    path.symlink_to(path.parents[2] / "x")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def damaged(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(np.float32(1).tobytes(), bytes(4)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (linked, UnsafeFileError, "a symbolic link"),
        (piped, UnsafeFileError, "not a plain file"),
        (
            damaged,
            CorruptFileError,
            r"3\.h5: /layers/1/x: damaged: the checksum of /layers/1/x does not match \(chunk 0 of "
            r"1, rows 0 to 6\); write model 'm', step 3, again with overwrite=True",
        ),
        (lambda path: os.truncate(path, 1000), CorruptFileError, "cut off after 1,000 of"),
    ],
    ids=["linked", "piped", "damaged", "cut"],
)
def test_a_changed_file_is_an_error(
    store: Store,
    values: np.ndarray,
    change: Callable[[Path], object],
    error: type[StoreError],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
):
    # A disk can damage a file without changing its size and times.
    monkeypatch.setattr(FileStamp, "of", lambda status: (status.st_size, status.st_ino))
    values[0] = 0  # so that only layer b contains 1.0
    store.write(model="m", step=3, layers={"a": values, "b": values + 1})
    path = store.info(KEY).path
    reading = open_store(store.path)
    reading.keys()
    change(path)
    for _ in range(2):
        with pytest.raises(error, match=message):
            reading.read(KEY)
