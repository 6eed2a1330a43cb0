"""Ids that are ambiguous or unusable, and arrays that only look like ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastcka.errors import ImportRefusedError
from fastcka.store import import_tree
from fastcka.store.foreign.id_fields import is_id_name
from store.import_samples import INDICES, NAMES, TEXTS, N, X, hdf5, ids_of, lines, reasons


def save_npz(path: Path, **members: Any) -> None:
    path.parent.rmdir()
    np.savez(path.parent.with_suffix(".npz"), l=X, **members)


REFUSED = {
    "two that differ": (
        lambda path: save_npz(path, ids=NAMES, image_ids=INDICES),
        "ambiguous ids",
        "'ids' in .*/m/1.npz and 'image_ids' in .*/m/1.npz could both be",
    ),
    "floats": (
        lambda path: save_npz(path, ids=np.arange(N, dtype=float)),
        "unusable ids",
        r"'ids' in .*/m/1.npz\[0\]: expected a non-empty text or an integer, got 0.0",
    ),
    "duplicates": (
        lambda path: save_npz(path, paths=["a"] * N),
        "duplicate ids",
        "'paths' in .*/m/1.npz: expected unique ids, got 'a' at 0 and at 1",
    ),
    "another number": (
        lambda path: save_npz(path, ids=NAMES[1:]),
        "row counts differ",
        "'ids' in .*/m/1.npz: expected 6 ids, one for each row of the array, got 5",
    ),
    "objects": (
        lambda path: save_npz(path, ids=np.array(NAMES, dtype=object)),
        "unreadable file",
        r"1.npz:ids: expected text or integers, got pickled objects.*ids.astype\(str\)",
    ),
    "ids inside and in a folder differ": (
        lambda path: (
            save_npz(path, ids=NAMES),
            (path.parents[1] / "ids.txt").write_text(lines(*NAMES[::-1])),
        ),
        "ambiguous ids",
        "'ids' in .*/m/1.npz and .*/m/ids.txt could both be",
    ),
    "two files that differ": (
        lambda path: (
            np.save(path, X),
            path.with_name("ids.txt").write_text(lines(*NAMES)),
            path.with_name("file_names.txt").write_text(lines(*NAMES[::-1])),
        ),
        "ambiguous ids",
        "file_names.txt and .*ids.txt could both be",
    ),
    "an empty line": (
        lambda path: (
            np.save(path, X),
            path.with_name("ids.txt").write_text(lines("", *NAMES[1:])),
        ),
        "rows without an id",
        r"ids.txt\[0\]: expected a non-empty text",
    ),
    "not UTF-8": (
        lambda path: (np.save(path, X), path.with_name("ids.txt").write_bytes(b"\xff\n" * N)),
        "unreadable file",
        "ids.txt: not UTF-8",
    ),
    "two delimiters": (
        lambda path: (
            np.save(path, X),
            path.with_name("examples.csv").write_text(
                lines("id,a;b", *(f"{name},1;2" for name in NAMES))
            ),
        ),
        "unreadable file",
        "could be separated by commas or semicolons",
    ),
    "ids of some layers only": (
        lambda path: (
            np.save(path, X),
            np.savez(path.with_name("other.npz"), x=X, ids=np.arange(N)),
        ),
        "ids of some layers only",
        "layer other has ids .*layer l has none",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_or_unusable_ids_are_refused(array_tree: Path, tmp_path: Path, name: str) -> None:
    save, reason, message = REFUSED[name]
    save(array_tree / "m/1/l.npy")
    report = import_tree(array_tree, tmp_path / "store")
    assert report.imported == ()
    assert {(finding.kind, finding.reason) for finding in report.findings} == {("skipped", reason)}
    with pytest.raises(ImportRefusedError, match=message):
        raise ImportRefusedError(reason, report.findings[0].detail)


@pytest.mark.parametrize(
    ("rows", "doubt"),
    [
        (lines("url,caption", *(f"{name},c{name}" for name in NAMES)), "could each be ids"),
        (lines("label", *["cat"] * N), "no ids in 'label' in .*: values are missing, repeat"),
        (
            lines("label;score", *(f"cat;{row},5" for row in range(N))),
            "'score' in .*repeated or numbers",
        ),
        (
            lines("label,score", *(f"cat,0.{row}0" for row in range(N))),
            "'score' in .*repeated or numbers",
        ),
        (
            lines(
                "label,n", *(f"{name if index else ''},{index}" for index, name in enumerate(NAMES))
            ),
            "miss",
        ),
    ],
)
def test_possible_ids_that_are_not_used_are_reported(
    array_tree: Path, tmp_path: Path, rows: str, doubt: str
) -> None:
    np.save(array_tree / "m/1/l.npy", X)
    (array_tree / "examples.csv").write_text(rows)
    report = import_tree(array_tree, tmp_path / "store")
    assert reasons(report) == [("doubtful", "rows named by position")]
    assert report.id_sources == {}
    with pytest.raises(ImportRefusedError, match=doubt):
        raise ImportRefusedError("", report.findings[0].detail)
    assert ids_of(tmp_path) == ([str(row) for row in range(N)], True)


def test_text_that_is_not_used_is_reported(array_tree: Path, tmp_path: Path) -> None:
    (array_tree / "m/1").rmdir()
    np.savez(array_tree / "m/1.npz", l=X, ids=INDICES, label=["cat"] * N)
    report = import_tree(array_tree, tmp_path / "store")
    assert reasons(report) == [("doubtful", "text left out")]
    assert "'label' in " in report.findings[0].detail
    assert ids_of(tmp_path) == (TEXTS, False)


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


def test_long_ids_in_hdf5_are_refused(array_tree: Path, tmp_path: Path) -> None:
    (array_tree / "m/1").rmdir()
    hdf5(array_tree / "m/1.h5", l=X, ids=["x" * 5000, *NAMES[1:]])
    report = import_tree(array_tree, tmp_path / "store")
    assert reasons(report) == [("skipped", "unreadable file")]
    assert "at most 4096 bytes, got one of 5000 bytes" in report.findings[0].detail


def test_a_link_named_ids_is_not_followed(array_tree: Path, tmp_path: Path) -> None:
    (array_tree / "m/1").rmdir()
    with h5py.File(array_tree / "m/1.h5", "w") as file:
        file["l"] = X
        file["names"] = NAMES
        file["ids"] = h5py.SoftLink("/names")
    report = import_tree(array_tree, tmp_path / "store")
    assert ("skipped", "unreadable file") in reasons(report)
    assert any("/ids is a soft link" in finding.detail for finding in report.findings)
