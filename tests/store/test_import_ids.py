"""The files and fields in which an import finds ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from checkpoint_trees import checkpoint_folder, cities, values_of, write_checkpoint
from fastcka.store import Key, import_tree, open_store
from store.import_samples import INDICES, NAMES, TEXTS, N, X, hdf5, ids_of, lines, reasons

INSIDE = {
    "1.npz, text": (lambda path: np.savez(path, l=X, ids=NAMES), "'ids' in m/1.npz", NAMES),
    "1.npz, bytes": (
        lambda path: np.savez(path, l=X, filenames=np.array(NAMES, dtype="S")),
        "'filenames' in m/1.npz",
        NAMES,
    ),
    "1.npz, integers": (
        lambda path: np.savez(path, l=X, image_ids=INDICES),
        "'image_ids' in m/1.npz",
        TEXTS,
    ),
    "1.npz, a column": (
        lambda path: np.savez(path, l=X, ids=np.array(INDICES)[:, None]),
        "'ids' in m/1.npz",
        TEXTS,
    ),
    "1.npz, text of another name": (
        lambda path: np.savez(path, l=X, what=NAMES),
        "'what' in m/1.npz",
        NAMES,
    ),
    "1.npz, twice the same": (
        lambda path: np.savez(path, l=X, ids=NAMES, paths=NAMES),
        "'ids' in m/1.npz",
        NAMES,
    ),
    "1.pt, a list": (
        lambda path: torch.save({"l": torch.tensor(X), "file_names": NAMES}, path),
        "'file_names' in m/1.pt",
        NAMES,
    ),
    "1.pt, a tensor": (
        lambda path: torch.save({"l": torch.tensor(X), "ids": torch.tensor(INDICES)}, path),
        "'ids' in m/1.pt",
        TEXTS,
    ),
    "1.pt, nested": (
        lambda path: torch.save({"layers": {"l": torch.tensor(X)}, "ids": NAMES}, path),
        "'ids' in m/1.pt",
        NAMES,
    ),
    "1.h5, text of any length": (
        lambda path: hdf5(path, l=X, paths=NAMES),
        "'/paths' in m/1.h5",
        NAMES,
    ),
    "1.h5, text of fixed length": (
        lambda path: hdf5(path, l=X, ids=np.array(NAMES, dtype="S")),
        "'/ids' in m/1.h5",
        NAMES,
    ),
    "1.h5, integers": (
        lambda path: hdf5(path, l=X, Image_ID=INDICES),
        "'/Image_ID' in m/1.h5",
        TEXTS,
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_ids_inside_a_file_of_all_layers(array_tree: Path, tmp_path: Path, name: str) -> None:
    save, source, expected = INSIDE[name]
    (array_tree / "m/1").rmdir()
    save(array_tree / "m" / name.partition(",")[0])
    report = import_tree(array_tree, tmp_path / "store")
    assert report.findings == ()
    assert report.id_sources == report.to_dict()["id_sources"] == {source: 1}
    assert ids_of(tmp_path) == (expected, False)
    with open_store(tmp_path / "store") as store:
        (key,) = store.keys()  # the ids are not a layer
        np.testing.assert_array_equal(store.read(key), X)
        assert store.provenance("m", 1)["import"]["ids"] == source
    again = import_tree(array_tree, tmp_path / "store")
    assert (again.already_there, again.findings) == ((("m", 1),), ())


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".h5"])
def test_ids_inside_the_file_of_each_layer_align_the_layers(
    array_tree: Path, tmp_path: Path, suffix: str
) -> None:
    order = np.random.default_rng(1).permutation(N)
    for layer, rows in (("a", np.arange(N)), ("b", order)):
        path, names = array_tree / f"m/1/{layer}{suffix}", [NAMES[row] for row in rows]
        if suffix == ".npz":
            np.savez(path, x=X[rows], ids=names)
        elif suffix == ".pt":
            torch.save({"x": torch.tensor(X[rows]), "ids": names}, path)
        else:
            hdf5(path, x=X[rows], ids=names)
    report = import_tree(array_tree, tmp_path / "store")
    assert (report.findings, report.layers_reordered) == ((), 1)
    assert ids_of(tmp_path, "b") == (NAMES, False)
    with open_store(tmp_path / "store") as store:
        np.testing.assert_array_equal(store.read(Key("m", 1, "b")), X)


def test_ids_in_the_groups_of_the_layers(array_tree: Path, tmp_path: Path) -> None:
    (array_tree / "m/1").rmdir()
    hdf5(array_tree / "m/1.h5", **{"a/x": X, "a/ids": NAMES, "b/x": X[::-1], "b/ids": NAMES[::-1]})
    report = import_tree(array_tree, tmp_path / "store")
    assert (report.findings, report.layers_reordered) == ((), 1)
    with open_store(tmp_path / "store") as store:
        assert [key.layer for key in store.keys()] == ["a/x", "b/x"]
        np.testing.assert_array_equal(store.read(Key("m", 1, "b/x")), X)


FILES_OF_IDS = {
    "ids.txt": (lines(*NAMES), NAMES),
    "file_names.txt": (lines(*NAMES, end="\r\n"), NAMES),
    "image_ids.txt": (lines(*INDICES), TEXTS),
    "filenames.json": (json.dumps(NAMES), NAMES),
    "ids.json": (json.dumps(INDICES), TEXTS),
    "ids.csv": (lines("id", *NAMES), NAMES),
    "examples.csv": (lines("id;digit", *(f"{name};1" for name in NAMES)), NAMES),
    "examples.csv, tabs": (lines("id\tdigit", *(f"{name}\t1" for name in NAMES)), NAMES),
    "examples.csv, named": (lines("File Name,label", *(f"{name},a" for name in NAMES)), NAMES),
    "examples.csv, text": (lines("what,digit", *(f"{name},1" for name in NAMES)), NAMES),
    "examples.csv, text and a label": (
        lines("what;label", *(f"{name};cat" for name in NAMES)),
        NAMES,
    ),
    "examples.json": (json.dumps([{"image_id": index} for index in INDICES]), TEXTS),
    "examples.json, list": (json.dumps(NAMES), NAMES),
}


@pytest.mark.parametrize("where", ["m/1", "m", "."])
@pytest.mark.parametrize("name", FILES_OF_IDS)
def test_ids_next_to_the_arrays_or_in_a_parent_folder(
    array_tree: Path, tmp_path: Path, name: str, where: str
) -> None:
    text, expected = FILES_OF_IDS[name]
    np.save(array_tree / "m/1/l.npy", X)
    path = array_tree / where / name.partition(",")[0]
    path.write_bytes(text.encode())
    report = import_tree(array_tree, tmp_path / "store")
    assert report.findings == ()
    ((source, count),) = report.id_sources.items()
    assert source.endswith(path.relative_to(array_tree).as_posix())
    assert count == 1
    assert ids_of(tmp_path) == (expected, False)


@pytest.mark.parametrize("where", ["m/1", "m"])
def test_an_array_of_ids_next_to_the_arrays(array_tree: Path, tmp_path: Path, where: str) -> None:
    np.save(array_tree / "m/1/l.npy", X)
    np.save(array_tree / where / "ids.npy", np.array(INDICES))
    report = import_tree(array_tree, tmp_path / "store")
    assert (report.findings, report.id_sources) == ((), {f"{where}/ids.npy": 1})
    assert ids_of(tmp_path) == (TEXTS, False)


def test_a_layer_with_a_name_of_ids_is_a_layer(array_tree: Path, tmp_path: Path) -> None:
    np.save(array_tree / "m/1/path.npy", X)
    np.savez(array_tree / "m/2.npz", ids=X, l=X)
    report = import_tree(array_tree, tmp_path / "store")
    assert reasons(report) == [("doubtful", "rows named by position")] * 2
    with open_store(tmp_path / "store") as store:
        assert [key.layer for key in store.keys()] == ["path", "ids", "l"]


def test_ids_that_appear_later_are_new_files(array_tree: Path, tmp_path: Path) -> None:
    np.save(array_tree / "m/1/l.npy", X)
    import_tree(array_tree, tmp_path / "store")
    (array_tree / "ids.txt").write_text(lines(*NAMES))
    report = import_tree(array_tree, tmp_path / "store")
    assert reasons(report) == [("skipped", "changed files")]
    assert "new: ../ids.txt" in report.findings[0].detail


@pytest.mark.parametrize("where", ["representations.pt", "metadata.json"])
def test_a_checkpoint_tree_without_city_info(array_tree: Path, tmp_path: Path, where: str) -> None:
    folder = checkpoint_folder(array_tree, "pt", 3, 0)
    write_checkpoint(folder, values_of("pt", 0, 3), None, layer=3, step=0)
    names = [city["name"] for city in cities()]
    if where == "metadata.json":
        fields = json.loads((folder / where).read_text())
        (folder / where).write_text(json.dumps(fields | {"image_ids": names}))
    else:
        torch.save(torch.load(folder / where) | {"image_ids": names}, folder / where)
    report = import_tree(array_tree, tmp_path / "store")
    assert report.findings == ()
    (source,) = report.id_sources
    assert source.startswith("'image_ids' in pt/")
    assert source.endswith(where)
    assert ids_of(tmp_path) == (names, False)


def test_csv_of_spreadsheets(array_tree: Path, tmp_path: Path) -> None:
    """A byte-order mark, semicolons, decimal commas, line breaks in fields, and spaces."""
    np.save(array_tree / "m/1/l.npy", X)
    table = lines(
        "file;note;score", *(f'{name};"a\r\nb";{index},5' for index, name in enumerate(NAMES))
    )
    (array_tree / "examples.csv").write_bytes(
        b"\xef\xbb\xbf" + table.replace("a\r", "\x85a\r").encode()
    )
    report = import_tree(array_tree, tmp_path / "store")
    assert report.findings == ()
    assert ids_of(tmp_path) == (NAMES, False)
    with open_store(tmp_path / "store") as store:
        columns = store.examples(store.keys()[0]).columns
    assert columns["note"].tolist() == ["\x85a\r\nb"] * N
    (array_tree / "examples.csv").write_bytes(
        lines("id", *(f"é{row}" for row in range(N))).encode("cp1252")
    )
    report = import_tree(array_tree, tmp_path / "store", overwrite=True)
    assert reasons(report) == [("skipped", "unreadable file")]
    assert "examples.csv: not UTF-8" in report.findings[0].detail
    assert "save it as UTF-8" in report.findings[0].detail


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([INDICES], dtype="f8"), TEXTS),  # a column vector: the file reverses the axes
        (np.array(INDICES, dtype="i4")[:, None], TEXTS),  # a row vector, such as 1:6
    ],
)
def test_ids_of_a_matlab_file(array_tree: Path, stored: Any, expected: list[str]) -> None:
    with h5py.File(array_tree / "m/1.mat", "w") as file:
        for name, values in (("l", X.T), ("ids", stored)):
            file[name] = values
            kind = "int32" if values.dtype == np.int32 else "double"
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    import_tree(array_tree, array_tree.parent / "store")
    assert ids_of(array_tree.parent) == (expected, False)
    with open_store(array_tree.parent / "store") as store:
        np.testing.assert_array_equal(store.read(Key("m", 1, "l")), X)


def test_text_of_matlab_is_not_a_column_of_ids(array_tree: Path) -> None:
    with h5py.File(array_tree / "m/1.mat", "w") as file:
        file["l"] = X.T
        file["l"].attrs["MATLAB_class"] = np.bytes_("double")
        file["filename"] = np.frombuffer(b"ab.png", dtype=np.uint8).astype(np.uint16)[:, None]
        file["filename"].attrs["MATLAB_class"] = np.bytes_("char")
    report = import_tree(array_tree, array_tree.parent / "store")
    assert ("skipped", "unreadable file") in reasons(report)
    assert ids_of(array_tree.parent) == ([str(row) for row in range(N)], True)


def test_ids_of_a_netcdf_file(array_tree: Path) -> None:
    with h5py.File(array_tree / "m/1.nc", "w") as file:
        file["l"] = X
        file["image_id"] = INDICES
    import_tree(array_tree, array_tree.parent / "store")
    assert ids_of(array_tree.parent) == (TEXTS, False)
