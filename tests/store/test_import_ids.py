"""The ids that people have: where an import finds them, what it lists, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from checkpoint_trees import checkpoint_folder, cities, values_of, write_checkpoint
from fastcka.errors import ImportRefusedError
from fastcka.store import Key, import_tree, open_store
from fastcka.store.id_fields import is_id_name

N = 6
X = np.random.default_rng(3).normal(size=(N, 4))
NAMES = [f"img{row}.png" for row in range(N)]
INDICES = [7, 3, 11, 0, 2, 5]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/m/1").mkdir(parents=True)
    return tmp_path / "tree"


def ids_of(folder: Path, layer: str | None = None) -> tuple[list[str], bool]:
    with open_store(folder / "store") as store:
        keys = store.keys()
        key = next(key for key in keys if layer in (None, key.layer))
        examples = store.examples(key)
    return examples.ids.tolist(), examples.positional_ids


def reasons(report: Any) -> list[tuple[str, str]]:
    return [(found.kind, found.reason) for found in report.findings]


def hdf5(path: Path, **members: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, values in members.items():
            file[name] = values


TEXTS = [str(index) for index in INDICES]
INSIDE = {
    "1.npz, text": (lambda at: np.savez(at, l=X, ids=NAMES), "'ids' in m/1.npz", NAMES),
    "1.npz, bytes": (
        lambda at: np.savez(at, l=X, filenames=np.array(NAMES, dtype="S")),
        "'filenames' in m/1.npz",
        NAMES,
    ),
    "1.npz, integers": (
        lambda at: np.savez(at, l=X, image_ids=INDICES),
        "'image_ids' in m/1.npz",
        TEXTS,
    ),
    "1.npz, a column": (
        lambda at: np.savez(at, l=X, ids=np.array(INDICES)[:, None]),
        "'ids' in m/1.npz",
        TEXTS,
    ),
    "1.npz, text of another name": (
        lambda at: np.savez(at, l=X, what=NAMES),
        "'what' in m/1.npz",
        NAMES,
    ),
    "1.npz, twice the same": (
        lambda at: np.savez(at, l=X, ids=NAMES, paths=NAMES),
        "'ids' in m/1.npz",
        NAMES,
    ),
    "1.pt, a list": (
        lambda at: torch.save({"l": torch.tensor(X), "file_names": NAMES}, at),
        "'file_names' in m/1.pt",
        NAMES,
    ),
    "1.pt, a tensor": (
        lambda at: torch.save({"l": torch.tensor(X), "ids": torch.tensor(INDICES)}, at),
        "'ids' in m/1.pt",
        TEXTS,
    ),
    "1.pt, nested": (
        lambda at: torch.save({"layers": {"l": torch.tensor(X)}, "ids": NAMES}, at),
        "'ids' in m/1.pt",
        NAMES,
    ),
    "1.h5, text of any length": (
        lambda at: hdf5(at, l=X, paths=NAMES),
        "'/paths' in m/1.h5",
        NAMES,
    ),
    "1.h5, text of fixed length": (
        lambda at: hdf5(at, l=X, ids=np.array(NAMES, dtype="S")),
        "'/ids' in m/1.h5",
        NAMES,
    ),
    "1.h5, integers": (lambda at: hdf5(at, l=X, Image_ID=INDICES), "'/Image_ID' in m/1.h5", TEXTS),
}


@pytest.mark.parametrize("name", INSIDE)
def test_ids_inside_a_file_of_all_layers(tree: Path, tmp_path: Path, name: str) -> None:
    save, source, expected = INSIDE[name]
    (tree / "m/1").rmdir()
    save(tree / "m" / name.partition(",")[0])
    report = import_tree(tree, tmp_path / "store")
    assert report.findings == ()
    assert report.id_sources == report.to_dict()["id_sources"] == {source: 1}
    assert ids_of(tmp_path) == (expected, False)
    with open_store(tmp_path / "store") as store:
        (key,) = store.keys()  # the ids are no layer
        np.testing.assert_array_equal(store.read(key), X)
        assert store.provenance("m", 1)["import"]["ids"] == source
    again = import_tree(tree, tmp_path / "store")
    assert (again.already_there, again.findings) == ((("m", 1),), ())


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".h5"])
def test_ids_inside_the_file_of_each_layer_align_the_layers(
    tree: Path, tmp_path: Path, suffix: str
) -> None:
    order = np.random.default_rng(1).permutation(N)
    for layer, rows in (("a", np.arange(N)), ("b", order)):
        path, names = tree / f"m/1/{layer}{suffix}", [NAMES[row] for row in rows]
        if suffix == ".npz":
            np.savez(path, x=X[rows], ids=names)
        elif suffix == ".pt":
            torch.save({"x": torch.tensor(X[rows]), "ids": names}, path)
        else:
            hdf5(path, x=X[rows], ids=names)
    report = import_tree(tree, tmp_path / "store")
    assert (report.findings, report.layers_reordered) == ((), 1)
    assert ids_of(tmp_path, "b") == (NAMES, False)
    with open_store(tmp_path / "store") as store:
        np.testing.assert_array_equal(store.read(Key("m", 1, "b")), X)


def test_ids_in_the_groups_of_the_layers(tree: Path, tmp_path: Path) -> None:
    (tree / "m/1").rmdir()
    hdf5(tree / "m/1.h5", **{"a/x": X, "a/ids": NAMES, "b/x": X[::-1], "b/ids": NAMES[::-1]})
    report = import_tree(tree, tmp_path / "store")
    assert (report.findings, report.layers_reordered) == ((), 1)
    with open_store(tmp_path / "store") as store:
        assert [key.layer for key in store.keys()] == ["a/x", "b/x"]
        np.testing.assert_array_equal(store.read(Key("m", 1, "b/x")), X)


def lines(*items: Any, end: str = "\n") -> str:
    return "".join(f"{item}{end}" for item in items)


BESIDE = {
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
    "examples.csv, text beside a label": (
        lines("what;label", *(f"{name};cat" for name in NAMES)),
        NAMES,
    ),
    "examples.json": (json.dumps([{"image_id": index} for index in INDICES]), TEXTS),
    "examples.json, list": (json.dumps(NAMES), NAMES),
}


@pytest.mark.parametrize("where", ["m/1", "m", "."])
@pytest.mark.parametrize("name", BESIDE)
def test_ids_beside_the_arrays_or_above(tree: Path, tmp_path: Path, name: str, where: str) -> None:
    text, expected = BESIDE[name]
    np.save(tree / "m/1/l.npy", X)
    path = tree / where / name.partition(",")[0]
    path.write_bytes(text.encode())
    report = import_tree(tree, tmp_path / "store")
    assert report.findings == ()
    ((source, count),) = report.id_sources.items()
    assert source.endswith(path.relative_to(tree).as_posix())
    assert count == 1
    assert ids_of(tmp_path) == (expected, False)


@pytest.mark.parametrize("where", ["m/1", "m"])
def test_an_array_of_ids_beside_the_arrays(tree: Path, tmp_path: Path, where: str) -> None:
    np.save(tree / "m/1/l.npy", X)
    np.save(tree / where / "ids.npy", np.array(INDICES))
    report = import_tree(tree, tmp_path / "store")
    assert (report.findings, report.id_sources) == ((), {f"{where}/ids.npy": 1})
    assert ids_of(tmp_path) == (TEXTS, False)


def test_a_layer_that_is_called_like_ids_is_a_layer(tree: Path, tmp_path: Path) -> None:
    np.save(tree / "m/1/path.npy", X)
    np.savez(tree / "m/2.npz", ids=X, l=X)
    report = import_tree(tree, tmp_path / "store")
    assert reasons(report) == [("doubtful", "rows named by position")] * 2
    with open_store(tmp_path / "store") as store:
        assert [key.layer for key in store.keys()] == ["path", "ids", "l"]


def save_npz(path: Path, **members: Any) -> None:
    path.parent.rmdir()
    np.savez(path.parent.with_suffix(".npz"), l=X, **members)


REFUSED = {
    "two that differ": (
        lambda at: save_npz(at, ids=NAMES, image_ids=INDICES),
        "ambiguous ids",
        "'ids' in .*/m/1.npz and 'image_ids' in .*/m/1.npz could both be",
    ),
    "floats": (
        lambda at: save_npz(at, ids=np.arange(N, dtype=float)),
        "unusable ids",
        r"'ids' in .*/m/1.npz\[0\]: expected a non-empty text or an integer, got 0.0",
    ),
    "duplicates": (
        lambda at: save_npz(at, paths=["a"] * N),
        "duplicate ids",
        "'paths' in .*/m/1.npz: 'a' is at 0 and at 1",
    ),
    "another number": (
        lambda at: save_npz(at, ids=NAMES[1:]),
        "row counts differ",
        "'ids' in .*/m/1.npz: 5 ids, but the array has 6 rows",
    ),
    "objects": (
        lambda at: save_npz(at, ids=np.array(NAMES, dtype=object)),
        "unreadable file",
        r"1.npz:ids: holds objects.*ids.astype\(str\)",
    ),
    "inside and beside differ": (
        lambda at: (
            save_npz(at, ids=NAMES),
            (at.parents[1] / "ids.txt").write_text(lines(*NAMES[::-1])),
        ),
        "ambiguous ids",
        "'ids' in .*/m/1.npz and .*/m/ids.txt could both be",
    ),
    "two files that differ": (
        lambda at: (
            np.save(at, X),
            at.with_name("ids.txt").write_text(lines(*NAMES)),
            at.with_name("file_names.txt").write_text(lines(*NAMES[::-1])),
        ),
        "ambiguous ids",
        "file_names.txt and .*ids.txt could both be",
    ),
    "an empty line": (
        lambda at: (
            np.save(at, X),
            at.with_name("ids.txt").write_text(lines("", *NAMES[1:])),
        ),
        "rows without an id",
        r"ids.txt\[0\]: expected a non-empty text",
    ),
    "not UTF-8": (
        lambda at: (np.save(at, X), at.with_name("ids.txt").write_bytes(b"\xff\n" * N)),
        "unreadable file",
        "ids.txt: not UTF-8",
    ),
    "two delimiters": (
        lambda at: (
            np.save(at, X),
            at.with_name("examples.csv").write_text(
                lines("id,a;b", *(f"{name},1;2" for name in NAMES))
            ),
        ),
        "unreadable file",
        "could be separated by commas or semicolons",
    ),
    "ids of some layers only": (
        lambda at: (
            np.save(at, X),
            np.savez(at.with_name("other.npz"), x=X, ids=np.arange(N)),
        ),
        "ids of some layers only",
        "layer other has ids .*layer l has none",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_or_unusable_is_refused(tree: Path, tmp_path: Path, name: str) -> None:
    save, reason, message = REFUSED[name]
    save(tree / "m/1/l.npy")
    report = import_tree(tree, tmp_path / "store")
    assert report.imported == ()
    assert {(found.kind, found.reason) for found in report.findings} == {("skipped", reason)}
    with pytest.raises(ImportRefusedError, match=message):
        raise ImportRefusedError(reason, report.findings[0].detail)


@pytest.mark.parametrize(
    ("rows", "doubt"),
    [
        (lines("url,caption", *(f"{name},c{name}" for name in NAMES)), "could each be ids"),
        (lines("label", *["cat"] * N), "no ids in 'label' in .*: values are missing, repeat"),
        (lines("label;score", *(f"cat;{row},5" for row in range(N))), "'score' in .*are numbers"),
        (lines("label,score", *(f"cat,0.{row}0" for row in range(N))), "'score' in .*are numbers"),
        (
            lines("label,n", *(f"{name if at else ''},{at}" for at, name in enumerate(NAMES))),
            "miss",
        ),
    ],
)
def test_what_may_be_ids_and_is_not_taken_is_said(
    tree: Path, tmp_path: Path, rows: str, doubt: str
) -> None:
    np.save(tree / "m/1/l.npy", X)
    (tree / "examples.csv").write_text(rows)
    report = import_tree(tree, tmp_path / "store")
    assert reasons(report) == [("doubtful", "rows named by position")]
    assert report.id_sources == {}
    with pytest.raises(ImportRefusedError, match=doubt):
        raise ImportRefusedError("", report.findings[0].detail)
    assert ids_of(tmp_path) == ([str(row) for row in range(N)], True)


def test_text_that_is_not_taken_is_said(tree: Path, tmp_path: Path) -> None:
    (tree / "m/1").rmdir()
    np.savez(tree / "m/1.npz", l=X, ids=INDICES, label=["cat"] * N)
    report = import_tree(tree, tmp_path / "store")
    assert reasons(report) == [("doubtful", "text left out")]
    assert "'label' in " in report.findings[0].detail
    assert ids_of(tmp_path) == (TEXTS, False)


def test_ids_that_appear_later_are_new_files(tree: Path, tmp_path: Path) -> None:
    np.save(tree / "m/1/l.npy", X)
    import_tree(tree, tmp_path / "store")
    (tree / "ids.txt").write_text(lines(*NAMES))
    report = import_tree(tree, tmp_path / "store")
    assert reasons(report) == [("skipped", "changed files")]
    assert "new: ../ids.txt" in report.findings[0].detail


@pytest.mark.parametrize("where", ["representations.pt", "metadata.json"])
def test_a_checkpoint_tree_without_city_info(tree: Path, tmp_path: Path, where: str) -> None:
    folder = checkpoint_folder(tree, "pt", 3, 0)
    write_checkpoint(folder, values_of("pt", 0, 3), None, layer=3, step=0)
    names = [city["name"] for city in cities()]
    if where == "metadata.json":
        fields = json.loads((folder / where).read_text())
        (folder / where).write_text(json.dumps(fields | {"image_ids": names}))
    else:
        torch.save(torch.load(folder / where) | {"image_ids": names}, folder / where)
    report = import_tree(tree, tmp_path / "store")
    assert report.findings == ()
    (source,) = report.id_sources
    assert source.startswith("'image_ids' in pt/")
    assert source.endswith(where)
    assert ids_of(tmp_path) == (names, False)


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "ids",
        "ID",
        "filenames",
        "File Names",
        "file-name",
        "image_path",
        "paths",
        "stimulus_id",
    ],
)
def test_names_of_ids(name: str) -> None:
    assert is_id_name(name)


@pytest.mark.parametrize(
    "name", ["input_ids", "token_ids", "label", "names", "idx", "index", "x", "grid", "valid", ""]
)
def test_names_of_other_things(name: str) -> None:
    assert not is_id_name(name)


def test_text_in_hdf5_that_would_grow_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "m/1").rmdir()
    hdf5(tree / "m/1.h5", l=X, ids=["x" * 5000, *NAMES[1:]])
    report = import_tree(tree, tmp_path / "store")
    assert reasons(report) == [("skipped", "unreadable file")]
    assert "a text of 5000 bytes; at most 4096" in report.findings[0].detail


def test_a_link_that_is_called_ids_is_not_followed(tree: Path, tmp_path: Path) -> None:
    (tree / "m/1").rmdir()
    with h5py.File(tree / "m/1.h5", "w") as file:
        file["l"] = X
        file["names"] = NAMES
        file["ids"] = h5py.SoftLink("/names")
    report = import_tree(tree, tmp_path / "store")
    assert ("skipped", "unreadable file") in reasons(report)
    assert any("/ids is a soft link" in found.detail for found in report.findings)


def test_csv_as_spreadsheets_write_it(tree: Path, tmp_path: Path) -> None:
    """A byte-order mark, semicolons, decimal commas, line ends within fields, and odd spaces."""
    np.save(tree / "m/1/l.npy", X)
    table = lines("file;note;score", *(f'{name};"a\r\nb";{at},5' for at, name in enumerate(NAMES)))
    (tree / "examples.csv").write_bytes(b"\xef\xbb\xbf" + table.replace("a\r", "\x85a\r").encode())
    report = import_tree(tree, tmp_path / "store")
    assert report.findings == ()
    assert ids_of(tmp_path) == (NAMES, False)
    with open_store(tmp_path / "store") as store:
        columns = store.examples(store.keys()[0]).columns
    assert columns["note"].tolist() == ["\x85a\r\nb"] * N
    (tree / "examples.csv").write_bytes(
        lines("id", *(f"é{row}" for row in range(N))).encode("cp1252")
    )
    report = import_tree(tree, tmp_path / "store", overwrite=True)
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
def test_ids_that_matlab_wrote(tree: Path, stored: Any, expected: list[str]) -> None:
    with h5py.File(tree / "m/1.mat", "w") as file:
        for name, values in (("l", X.T), ("ids", stored)):
            file[name] = values
            kind = "int32" if values.dtype == np.int32 else "double"
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    import_tree(tree, tree.parent / "store")
    assert ids_of(tree.parent) == (expected, False)
    with open_store(tree.parent / "store") as store:
        np.testing.assert_array_equal(store.read(Key("m", 1, "l")), X)


def test_text_of_matlab_is_no_column_of_ids(tree: Path) -> None:
    with h5py.File(tree / "m/1.mat", "w") as file:
        file["l"] = X.T
        file["l"].attrs["MATLAB_class"] = np.bytes_("double")
        file["filename"] = np.frombuffer(b"ab.png", dtype=np.uint8).astype(np.uint16)[:, None]
        file["filename"].attrs["MATLAB_class"] = np.bytes_("char")
    report = import_tree(tree, tree.parent / "store")
    assert ("skipped", "unreadable file") in reasons(report)
    assert ids_of(tree.parent) == ([str(row) for row in range(N)], True)


def test_ids_of_a_netcdf_file(tree: Path) -> None:
    with h5py.File(tree / "m/1.nc", "w") as file:
        file["l"] = X
        file["image_id"] = INDICES
    import_tree(tree, tree.parent / "store")
    assert ids_of(tree.parent) == (TEXTS, False)
