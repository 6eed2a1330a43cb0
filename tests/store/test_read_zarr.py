"""`read_array` on folders of zarr, and the ids and columns in them."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import fastcka
import oracle
from fastcka.errors import (
    CorruptFileError,
    FastckaError,
    InputError,
    MissingExtraError,
    OutOfMemoryError,
    UnsafeFileError,
)
from fastcka.memory import FreeMemory
from fastcka.store import Key, import_tree, open_array, open_store, read_array, read_examples
from fastcka.store.foreign.examples import example_columns
from store.array_files import X

IDS = [f"image{i}" for i in range(6)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    group.create_array("block/acts", data=X, chunks=(4, 4))
    group.create_array(
        "maps", data=X.reshape(6, 2, 2).astype("f8"), shards=(4, 2, 2), chunks=(2, 2, 2)
    )
    group.create_array("image_ids", data=np.arange(6)[::-1].copy())
    return tmp_path / "x.zarr"


@pytest.fixture(params=[2, 3])
def labelled(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A dataset that xarray wrote, with coordinates of the examples and of the neurons."""
    data = xr.Dataset(
        {"it": (("image", "neuron"), X)},
        coords={
            "image": IDS,
            "neuron": list("abcd"),
            "category": ("image", list("aabbcc")),
            "size": ("image", np.arange(6.0)),
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.to_zarr(tmp_path / "it.zarr", zarr_format=request.param)
    return tmp_path / "it.zarr"


def test_arrays_in_a_group(path: Path) -> None:
    for name in ("block/acts", "/block/acts"):
        np.testing.assert_array_equal(read_array(f"{path}:{name}"), X)
    np.testing.assert_array_equal(read_array(f"{path}:maps"), X.reshape(6, 2, 2))
    with pytest.raises(
        InputError, match="contains 2 arrays; add :NAME with one of block/acts, maps"
    ):
        read_array(path)
    with pytest.raises(InputError, match=r"contains no array '\.\./x'"):
        read_array(f"{path}:../x")
    examples = read_examples(f"{path}:maps", 6)
    assert examples is not None
    assert examples.ids.tolist() == list("543210")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_folder_that_is_an_array(tmp_path: Path, zarr_format: int) -> None:
    path = tmp_path / "one.zarr"
    zarr.create_array(path, data=X, chunks=(2, 3), zarr_format=zarr_format)
    np.testing.assert_array_equal(read_array(path), X)
    rows = open_array(path)
    assert not isinstance(rows, np.ndarray)
    np.testing.assert_array_equal(rows.read(1, 5), X[1:5])
    with pytest.raises(InputError, match="one array without a name; remove ':x'"):
        read_array(f"{path}:x")


def test_coordinates_of_xarray(labelled: Path) -> None:
    np.testing.assert_array_equal(read_array(labelled), X)
    for source in (labelled, f"{labelled}:it"):
        examples = read_examples(source, 6)
        assert examples is not None
        assert examples.ids.tolist() == IDS
    columns, left_out = example_columns(labelled)
    assert columns == {"category": list("aabbcc"), "size": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]}
    assert left_out == {}


def test_compare_takes_zarr_arrays(labelled: Path) -> None:
    array = zarr.open_group(labelled, mode="r")["it"]
    y = X[:, :2] ** 2
    value = oracle.cka(X.astype("f8"), y.astype("f8"), "unbiased")
    assert fastcka.cka(array, y) == pytest.approx(value, abs=1e-6)


def test_import(labelled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree/m"
    folder.mkdir(parents=True)
    shutil.move(labelled, folder / "7.zarr")
    report = import_tree(tmp_path / "tree", tmp_path / "s")
    assert report.findings == ()
    with open_store(tmp_path / "s") as store:
        assert store.keys() == [Key("m", 7, "it")]
        np.testing.assert_array_equal(store.read(Key("m", 7, "it")), X)
        examples = store.examples(Key("m", 7, "it"))
    assert examples.ids.tolist() == IDS
    assert examples.columns["category"].tolist() == list("aabbcc")
    assert import_tree(tmp_path / "tree", tmp_path / "s").already_there == (("m", 7),)
    chunk = next(file for file in (folder / "7.zarr/it").rglob("*0*") if file.is_file())
    os.utime(chunk, ns=(1, 2**62))  # a chunk is one of the step's files
    (changed,) = import_tree(tmp_path / "tree", tmp_path / "s").skipped
    assert changed.reason == "changed files"


def metadata(path: Path, **fields: Any) -> None:
    file = path / "block/acts/zarr.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def with_codec(codec: str) -> Callable[[Path], None]:
    """Return an edit that writes an array of format 2 and changes its compressor."""

    def edit(path: Path) -> None:
        shutil.rmtree(path)
        zarr.open_group(path, mode="w", zarr_format=2).create_array("block/acts", data=X)
        file = path / "block/acts/.zarray"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"compressor": {"id": codec}}))

    return edit


def with_link(path: Path) -> None:
    chunk = path / "block/acts/c/0/0"
    chunk.rename(path.parent / "elsewhere")
    chunk.symlink_to(path.parent / "elsewhere")


def with_linked_folder(path: Path) -> None:
    (path / "block").rename(path.parent / "elsewhere")
    (path / "block").symlink_to(path.parent / "elsewhere")


def with_pipe(path: Path) -> None:
    (path / "block/acts/c/0/0").unlink()
    os.mkfifo(path / "block/acts/c/0/0")


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (with_codec("base64"), UnsafeFileError, "expected codecs among .*, got base64; write"),
        (with_codec("pickle"), CorruptFileError, "not a folder of zarr, or damaged: .*pickle"),
        (with_link, UnsafeFileError, "is a link or no plain file"),
        (with_linked_folder, UnsafeFileError, "its folder is a link"),
        (with_pipe, UnsafeFileError, "is a link or no plain file"),
        (
            lambda path: (path / "block/acts/c/1/0").unlink(),
            CorruptFileError,
            "expected 2 stored chunks, got 1; missing chunks would be read as the fill value",
        ),
        (
            lambda path: metadata(path, shape=[10**9, 4]),
            CorruptFileError,
            "250000000 stored chunks",
        ),
        (
            lambda path: metadata(
                path,
                shape=[10**9, 10**9],
                chunk_grid={
                    "name": "regular",
                    "configuration": {"chunk_shape": [10**9, 5 * 10**8]},
                },
            ),
            UnsafeFileError,
            "expands at most 100 times",
        ),
        (
            lambda path: (path / "block/acts/c/0/0").write_bytes(b"\x28\xb5\x2f\xfdx"),
            CorruptFileError,
            "block/acts: not an array of zarr, or damaged",
        ),
        (
            lambda path: (path / "zarr.json").write_text("{"),
            CorruptFileError,
            "not a folder of zarr",
        ),
        (lambda path: (path / "zarr.json").unlink(), CorruptFileError, "not a folder of zarr"),
    ],
)
def test_folders_that_are_refused(
    path: Path, edit: Any, error: type[FastckaError], message: str
) -> None:
    edit(path)
    for read in (read_array, lambda source: np.asarray(open_array(source))):
        with pytest.raises(error, match=message):
            read(f"{path}:block/acts")


def test_missing_values(tmp_path: Path) -> None:
    data = xr.DataArray(np.where(X > 1, np.nan, X), dims=("image", "neuron"), name="it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.to_dataset().to_zarr(tmp_path / "it.zarr", encoding={"it": {"_FillValue": -9.0}})
    with pytest.raises(InputError, match=r"values equal attribute '_FillValue' \(-9\.0\)"):
        read_array(f"{tmp_path / 'it.zarr'}:it")


def test_without_zarr(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"needs zarr.*\[formats\] extra"):
        read_array(f"{path}:maps")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x.zarr").write_bytes(b"")
    with pytest.raises(InputError, match=r"x\.zarr: expected a folder"):
        read_array(tmp_path / "x.zarr")


def test_columns_of_groups(tmp_path: Path) -> None:
    folder = tmp_path / "tree/m"
    folder.mkdir(parents=True)
    group = zarr.open_group(folder / "7.zarr", mode="w")
    arrays = {
        "train/x": X,
        "train/label": np.arange(6),
        "test/x": X + 1,
        "test/label": np.arange(6) + 10,
        "test/inner/x": X + 2,
        "test2/label": np.arange(6) + 20,  # of no array
        "weight": np.arange(6) / 4,
    }
    for name, values in arrays.items():
        group.create_array(name, data=values)
    weight = (np.arange(6) / 4).tolist()
    test = {"label": [10, 11, 12, 13, 14, 15], "weight": weight}
    expected = {"train/x": {"label": [0, 1, 2, 3, 4, 5], "weight": weight}}
    expected |= {"test/x": test, "test/inner/x": test}
    for name, columns in expected.items():
        assert example_columns(folder / "7.zarr", name) == (columns, {})
    report = import_tree(tmp_path / "tree", tmp_path / "s")
    differing = [note for note in report.findings if note.reason == "columns differ between layers"]
    assert [note.layer for note in differing] == ["train/x"]  # the first layer is in another group


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """An array, its ids, and text that contains no ids."""
    group = zarr.open_group(tmp_path / "t.zarr", mode="w", zarr_format=2)
    for name, values in {"x": X, "image_ids": np.array(IDS), "label": np.array(IDS)}.items():
        group.create_array(name, data=values, chunks=(4, 4)[: values.ndim])
    return tmp_path / "t.zarr"


def test_unreadable_text(texts: Path) -> None:
    (texts / "label/0").unlink()
    examples = read_examples(f"{texts}:x", 6)
    assert examples is not None
    assert examples.ids.tolist() == IDS  # other text is not read
    (texts / "image_ids/0").unlink()
    with pytest.raises(CorruptFileError, match="image_ids: expected 2 stored chunks, got 1"):
        read_examples(f"{texts}:x", 6)


def test_arrays_larger_than_memory_are_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastcka.memory.UNCHECKED_BYTES", 0)
    monkeypatch.setattr("fastcka.memory.free_memory", lambda: FreeMemory(10, "free"))
    np.testing.assert_array_equal(open_array(f"{path}:maps").read(1, 3), X.reshape(6, 2, 2)[1:3])
    with pytest.raises(OutOfMemoryError, match="maps needs"):
        read_array(f"{path}:maps")


@pytest.mark.parametrize("objects", [False, True])
def test_text_of_variable_length(
    tmp_path: Path, objects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = zarr.open_group(tmp_path / "v.zarr", mode="w", zarr_format=2)
    group.create_array("x", data=X)
    for name, values in {"image_ids": IDS, "label": list("aabbcc")}.items():
        group.create_array(name, shape=6, dtype=str)[:] = np.array(values, object)
    if objects:  # as with NumPy 1
        dtype = zarr.Array.dtype.fget
        objects_dtype = np.dtype(object)
        patched = property(lambda x: dtype(x) if dtype(x).kind in "iuf" else objects_dtype)
        monkeypatch.setattr(zarr.Array, "dtype", patched)
    assert example_columns(tmp_path / "v.zarr")[0]["label"] == list("aabbcc")
    examples = read_examples(f"{tmp_path / 'v.zarr'}:x", 6)
    assert examples is not None
    assert examples.ids.tolist() == IDS
