"""Files in a store that are foreign, unreadable or of another version."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastcka.errors import (
    CorruptFileError,
    FormatVersionError,
    StoreError,
    UnsafeFileError,
)
from fastcka.store import Store, open_store
from fastcka.store.file.checksums import seal_of
from store.malformed_files import KEY, text


def truncate(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


FILES = {
    "empty": (lambda p: p.write_bytes(b""), CorruptFileError, "cut off after 0 bytes"),
    "text": (lambda p: p.write_text("step,loss"), CorruptFileError, "not an HDF5 file .*step,los"),
    "cut to 1%": (lambda p: truncate(p, 0.01), CorruptFileError, "damaged"),
    "cut to half": (lambda p: truncate(p, 0.5), CorruptFileError, "damaged"),
    "cut by a little": (lambda p: truncate(p, 0.999), CorruptFileError, "damaged"),
    "other step's name": (lambda p: p.rename(p.with_name("8.h5")), CorruptFileError, "step 3"),
    "other model's folder": (
        lambda p: p.parent.rename(p.parent.with_name("x-0123456789abcdef")),
        CorruptFileError,
        "contains model 'm', whose folder is",
    ),
    "symbolic link": (
        lambda p: (shutil.move(p, p.parents[2] / "x"), p.symlink_to(p.parents[2] / "x")),
        UnsafeFileError,
        "a symbolic link",
    ),
    "linked folder": (
        lambda p: (
            shutil.move(p.parent, p.parents[3] / "x"),
            p.parent.symlink_to(p.parents[3] / "x"),
        ),
        UnsafeFileError,
        "a symbolic link",
    ),
    "pipe": (lambda p: (p.unlink(), os.mkfifo(p)), UnsafeFileError, "not a plain file"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), UnsafeFileError, "not a plain file"),
    "user block": (
        lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(504) + p.read_bytes()),
        CorruptFileError,
        "damaged|user block",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_a_store_file(store: Store, written: Path, name: str) -> None:
    damage, error, message = FILES[name]
    damage(written)
    with pytest.raises(error, match=message):
        open_store(store.path).keys()
    errors = [f for f in open_store(store.path).verify() if f.kind == "error"]
    assert len(errors) == 1
    with pytest.raises(error, match=message):
        raise error(errors[0].message)


def test_a_file_without_permission_is_an_error(store: Store, written: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may open everything")
    written.chmod(0)
    with pytest.raises(StoreError, match="cannot be opened: Permission denied"):
        open_store(store.path).keys()


def test_a_higher_minor_version_may_contain_more(
    store: Store, sealed: Path, values: np.ndarray
) -> None:
    with h5py.File(sealed, "r+", libver=("v110", "v110")) as file:
        text(file, "format_version", "1.7")
        names = ("format_version", "model", "factors", "provenance")
        root = {name: file.attrs[name].decode() for name in names} | {"step": 3}
        text(file, "seal", seal_of(root, ["c", "flag"], 2, file["checksums"][...]))
        text(file, "mood", "good")
        file["future"] = h5py.ExternalLink("elsewhere.h5", "/")
        text(file, "colour", "red", "layers/0")
    np.testing.assert_array_equal(open_store(store.path).read(KEY), values)
    assert [finding.kind for finding in store.verify()] == ["ok"]


@pytest.mark.parametrize(
    ("marker", "error", "message"),
    [
        ("", CorruptFileError, "not the marker"),
        ("[]", CorruptFileError, "expected an object, got list"),
        ("[" * 50_000, CorruptFileError, "nested too deep"),
        ('{"format": "zarr"}', CorruptFileError, "expected 'fastcka.store', got 'zarr'"),
        ('{"format": "fastcka.store"}', FormatVersionError, "got 'None'"),
        (
            json.dumps({"format": "fastcka.store", "format_version": "3.0"}),
            FormatVersionError,
            r"expected format version 1\.1, which this fastcka reads, got 3\.0: update",
        ),
    ],
)
def test_markers_that_are_refused(
    store: Store, marker: str, error: type[StoreError], message: str
) -> None:
    (store.path / "store.json").write_text(marker)
    with pytest.raises(error, match=message):
        open_store(store.path)
