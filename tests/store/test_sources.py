"""What `read_array` and its like say of sources that are no files that can be read."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest

from fastcka.errors import CorruptFileError, InputError
from fastcka.store import open_array, read_array
from fastcka.store.foreign.examples import read_examples
from store.array_files import X


@pytest.mark.parametrize("read", [read_array, open_array, lambda source: read_examples(source, 3)])
def test_sources_that_are_no_names_of_files(read, tmp_path: Path) -> None:
    for source in (b"x.npy", None, 3, X, ["x.npy"], {"x": "x.npy"}, io.BytesIO()):
        kind = type(source).__name__
        with pytest.raises(InputError, match=rf"source: expected the name of a file.*a {kind}$"):
            read(source)


@pytest.mark.parametrize("read", [read_array, open_array])
def test_names_that_the_system_refuses(read, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.npy: cannot be read: File name too long"):
        read(tmp_path / ("a" * 5000 + ".npy"))
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    with pytest.raises(InputError, match=r"loop\.npy: cannot be read: Too many levels"):
        read(tmp_path / "loop.npy")
    with pytest.raises(InputError, match=r"no such file: ~ is not expanded"):
        read(Path("~/a.npy"))
    with pytest.raises(InputError, match=r"no such file$"):
        read("a\0.npy")


@pytest.mark.parametrize("read", [read_array, open_array])
def test_a_folder_without_permission(read, tmp_path: Path, monkeypatch) -> None:
    # Tests may run as a user whom no permission stops.
    def refuse(path: object, **_: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(InputError, match=r"a\.npy: cannot be read: Permission denied"):
        read(tmp_path / "a.npy")


def test_a_folder_of_zarr(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    group.create_array("sub/x", data=X)
    for name in ("g.zarr:sub/x", "g.zarr/:sub/x", "g.zarr//"):  # a shell completes with a slash
        for read in (read_array, open_array):
            np.testing.assert_array_equal(np.asarray(read(f"{tmp_path}/{name}")), X)
    with pytest.raises(InputError, match=r"in a zarr folder after a colon, as in .*g\.zarr:sub/x$"):
        read_array(tmp_path / "g.zarr" / "sub" / "x")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(
        CorruptFileError, match=r"contains none of \.zarray, \.zattrs, .*zarr\.json$"
    ):
        read_array(tmp_path / "empty.zarr")
