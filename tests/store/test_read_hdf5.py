"""`read_array` on HDF5 files."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastcka.errors import CorruptFileError, FastckaError, InputError, UnsafeFileError
from fastcka.store import read_array
from store.array_files import X


@pytest.fixture
def h5(tmp_path: Path) -> Path:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["layer3/acts"] = X
        file["layer3/big"] = X.astype(">f8")
        file.create_dataset("gzip", data=X, compression="gzip", shuffle=True, chunks=(4, 3))
        file.create_dataset("lzf", data=X, compression="lzf", fletcher32=True)
        file["text"] = "hello"
        file["soft"] = h5py.SoftLink("/layer3/acts")
        file["outside"] = h5py.ExternalLink("other.h5", "/x")
        file["linked"] = h5py.SoftLink("/layer3")
        file["circle/again"] = file["/"]
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = X
    return path


@pytest.mark.parametrize("name", ["/layer3/acts", "layer3/acts", "gzip", "lzf", "layer3/big"])
def test_hdf5(h5: Path, name: str) -> None:
    np.testing.assert_array_equal(read_array(f"{h5}:{name}"), X)


def test_hdf5_with_one_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "one.hdf5", "w") as file:
        file["deep/down/x"] = X
    np.testing.assert_array_equal(read_array(tmp_path / "one.hdf5"), X)


def test_a_file_of_a_store_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from fastcka.store import create_store

    store = create_store(tmp_path / "s")
    x = torch.from_numpy(X).bfloat16()
    store.write(model="m", step=0, layers={"a": x, "b": X})
    path = store.info(store.keys()[0]).path
    np.testing.assert_array_equal(read_array(f"{path}:/layers/1/x"), X)
    got = read_array(f"{path}:/layers/0/x")
    np.testing.assert_array_equal(got, x.to(torch.float32).numpy())


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nothing", InputError, "contains no array 'nothing'; it contains .*/layer3/acts"),
        ("layer3", InputError, "contains no array 'layer3'"),
        ("layer3/acts/x", InputError, "contains no array"),
        ("layer3/../gzip", InputError, "contains no array"),
        ("soft", UnsafeFileError, "/soft is a soft link; links are not followed"),
        ("linked/acts", UnsafeFileError, "/linked is a soft link"),
        ("outside", UnsafeFileError, "/outside is an external link"),
        ("text", InputError, "expected a numeric array"),
    ],
)
def test_hdf5_paths_that_are_refused(
    h5: Path, name: str, error: type[FastckaError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_array(f"{h5}:{name}")


def test_hdf5_names_and_links_are_listed(h5: Path) -> None:
    with pytest.raises(
        InputError, match=r"contains 8 arrays; add :NAME .*/linked.*/outside.*/soft"
    ):
        read_array(h5)


def external(file: h5py.File) -> None:
    (Path(file.filename).parent / "secret").write_bytes(X.tobytes())
    file.create_dataset("x", X.shape, "f4", external=[("secret", 0, X.nbytes)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(X.shape, "f4")
    layout[...] = h5py.VirtualSource(file.filename + "2", "x", X.shape)
    file.create_virtual_dataset("x", layout)


def plugin(file: h5py.File) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(X.shape)
    creation.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple(X.shape)
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, creation)
    file["x"][...] = X


def holes(file: h5py.File) -> None:
    file.create_dataset("x", (6, 4), "f4", chunks=(3, 4), fillvalue=5)[:3] = 1


def gzip_bomb(file: h5py.File) -> None:
    data = file.create_dataset("x", (300, 1 << 18), "f4", chunks=(50, 1 << 18), compression="gzip")
    for row in range(0, 300, 50):
        data[row : row + 50] = 0


HOSTILE = {
    "external storage": (external, UnsafeFileError, "external storage"),
    "virtual": (virtual, UnsafeFileError, "a virtual dataset"),
    "plugin filter": (plugin, UnsafeFileError, r"got \[32015\], which need a plugin"),
    "references": (
        lambda f: f.create_dataset("x", (2, 2), h5py.ref_dtype),
        UnsafeFileError,
        "object references",
    ),
    "contiguous bomb": (
        lambda f: f.create_dataset("x", (1 << 20, 1 << 20), "f4"),
        UnsafeFileError,
        "4398046511104 bytes, but 0 are stored",
    ),
    "chunk bomb": (
        lambda f: f.create_dataset("x", (1 << 30, 1 << 20), "f4", chunks=(1 << 10, 1 << 10)),
        UnsafeFileError,
        "declared",
    ),
    "gzip bomb": (gzip_bomb, UnsafeFileError, "at most 100 times"),
    "holes": (holes, UnsafeFileError, "expected 2 stored chunks, got 1"),
    "text of any length": (
        lambda f: f.create_dataset("x", (2, 2), h5py.string_dtype()),
        InputError,
        "expected a numeric array",
    ),
    "compound": (
        lambda f: f.create_dataset("x", (2, 2), [("a", "f4")]),
        InputError,
        "expected a numeric array",
    ),
    "empty": (lambda f: f.create_dataset("x", data=h5py.Empty("f4")), CorruptFileError, "empty"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_hdf5(tmp_path: Path, name: str) -> None:
    make, error, message = HOSTILE[name]
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(error, match=message):
        read_array(f"{path}:x")


def test_truncated_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = X
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(CorruptFileError, match="damaged"):
        read_array(path)
    path.write_text("hello")
    with pytest.raises(CorruptFileError, match="not an HDF5 file"):
        read_array(path)
