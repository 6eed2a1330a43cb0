"""FILE:NAME: arrays of other tools, which must not run code, read files or fill memory."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastcka.errors import (
    CorruptFileError,
    FastckaError,
    InputError,
    MissingExtraError,
    UnsafeFileError,
)
from fastcka.store import read_array
from fastcka.store.foreign.arrays import split_source
from store.array_files import X


class Evil:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def evil(tmp_path: Path) -> Evil:
    return Evil(tmp_path / "executed")


# NumPy


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path: Path, dtype: str, order: str) -> None:
    x = np.asarray(X * 10, dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", x)
    got = read_array(tmp_path / "x.npy")
    assert got.dtype == x.dtype
    assert got.shape == x.shape
    np.testing.assert_array_equal(got, x)


def test_npy_has_no_names(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(InputError, match="remove ':x'"):
        read_array(f"{tmp_path}/x.npy:x")


@pytest.mark.parametrize("compressed", [False, True])
def test_npz(tmp_path: Path, compressed: bool) -> None:
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "x.npz", a=X, **{"b/c": X + 1})
    np.testing.assert_array_equal(read_array(f"{tmp_path}/x.npz:a"), X)
    np.testing.assert_array_equal(read_array(f"{tmp_path}/x.npz:b/c"), X + 1)
    with pytest.raises(InputError, match="contains 2 arrays; add :NAME with one of a, b/c"):
        read_array(tmp_path / "x.npz")
    with pytest.raises(InputError, match="contains no array 'd'; it contains a, b/c"):
        read_array(f"{tmp_path}/x.npz:d")
    save(tmp_path / "one.npz", a=X)
    np.testing.assert_array_equal(read_array(tmp_path / "one.npz"), X)
    np.savez(tmp_path / "none.npz")
    with pytest.raises(InputError, match="got a file or folder without any"):
        read_array(tmp_path / "none.npz")


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", CorruptFileError, "not a .npy array"),
        (b"step,loss\n1,2", CorruptFileError, "not a .npy array"),
        (
            header("(6, 4)") + bytes(95),
            CorruptFileError,
            r"\(6, 4\) of float32 needs 96 bytes, but 95 are",
        ),
        (header("(10000000, 10000000)") + bytes(96), CorruptFileError, "but 96 are stored"),
        (header("(-1, 4)") + bytes(96), CorruptFileError, "declared"),
        (header("(6, 4)", "|O") + bytes(96), UnsafeFileError, "could run code"),
        (header("(6, 4)", "<U1") + bytes(96), InputError, "expected a numeric array, got <U1"),
        (header("(6, 4)", "<c8") + bytes(192), InputError, "expected a numeric array"),
        (header("(6, 4)").replace(b"\x01\x00", b"\x03\x00", 1), FastckaError, "version|not a .npy"),
        (header("__import__('os').getpid()"), CorruptFileError, "not a .npy array"),
    ],
)
def test_npy_files_that_are_refused(
    tmp_path: Path, data: bytes, error: type[FastckaError], message: str
) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(error, match=message):
        read_array(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(error, match=message):
        read_array(tmp_path / "x.npz")


def test_numpy_pickles_are_not_executed(tmp_path: Path, evil: Evil) -> None:
    np.save(tmp_path / "x.npy", np.array([evil], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", a=np.array([evil], dtype=object))
    (tmp_path / "y.npy").write_bytes(pickle.dumps(evil))
    for name in ("x.npy", "x.npz", "y.npy"):
        with pytest.raises((UnsafeFileError, CorruptFileError), match=r"could run code|not a .npy"):
            read_array(tmp_path / name)
    assert not evil.path.exists()


def test_zip_bombs(tmp_path: Path) -> None:
    zeros = bytes(1 << 20)
    with (
        zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w") as member,
    ):
        member.write(header(f"({300 << 18},)"))
        for _ in range(300):
            member.write(zeros)
    with pytest.raises(UnsafeFileError, match=r"at most 100 times, got .* bytes declared and"):
        read_array(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", header("(1,)") + bytes(4))
    with pytest.raises(UnsafeFileError, match="got compression method 14"):
        read_array(tmp_path / "y.npz")


def test_damaged_zip_files(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=X)
    good = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(good[:-30])
    with pytest.raises(CorruptFileError, match="not a zip file, or damaged"):
        read_array(tmp_path / "x.npz")
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 255
    (tmp_path / "x.npz").write_bytes(bad)
    with pytest.raises(CorruptFileError, match="damaged"):
        read_array(tmp_path / "x.npz")


# PyTorch and safetensors


def test_pt(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(X)
    torch.save(x, tmp_path / "bare.pt")
    np.testing.assert_array_equal(read_array(tmp_path / "bare.pt"), X)
    with pytest.raises(InputError, match="without a name; remove ':x'"):
        read_array(f"{tmp_path}/bare.pt:x")
    nested = {
        "block.0": {"act": x, "half": x.half()},
        "list": [x, x.t().requires_grad_()],
        "bf16": x.bfloat16(),
        "step": 3,
        7: x.double(),
    }
    torch.save(nested, tmp_path / "x.pt")
    for name, expected in {
        "block.0.act": X,
        "block.0.half": X.astype(np.float16),
        "list.0": X,
        "list.1": X.T,
        "7": X.astype(np.float64),
        "bf16": x.bfloat16().to(torch.float32).numpy(),
    }.items():
        got = read_array(f"{tmp_path}/x.pt:{name}")
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(InputError, match=r"contains 6 arrays; add :NAME with one of block\.0\.act"):
        read_array(tmp_path / "x.pt")
    with pytest.raises(InputError, match="contains no array 'step'"):
        read_array(f"{tmp_path}/x.pt:step")
    torch.save({"a": {"b": x}, "a.b": x}, tmp_path / "twice.pt")
    with pytest.raises(InputError, match=r"two tensors have the name 'a.b'"):
        read_array(f"{tmp_path}/twice.pt:a.b")


def test_pt_files_that_are_refused(tmp_path: Path, evil: Evil) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.from_numpy(X), "evil": evil}, tmp_path / "evil.pt")
    with pytest.raises(UnsafeFileError, match="could run code"):
        read_array(f"{tmp_path}/evil.pt:x")
    torch.save({"x": evil}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UnsafeFileError, match="could run code"):
        read_array(f"{tmp_path}/old.pt:x")
    assert not evil.path.exists()
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises((CorruptFileError, UnsafeFileError)):
        read_array(tmp_path / "text.pt")
    torch.save(torch.ones(1).expand(10**6, 10**6), tmp_path / "bomb.pt")
    with pytest.raises(UnsafeFileError, match=r"\(1000000, 1000000\) needs more than the 4 bytes"):
        read_array(tmp_path / "bomb.pt")
    loop: dict = {}
    loop["x"] = loop
    torch.save(loop, tmp_path / "loop.pt")
    with pytest.raises(UnsafeFileError, match="nested more than 16 levels deep"):
        read_array(f"{tmp_path}/loop.pt:x")
    torch.save(torch.from_numpy(X).to_sparse(), tmp_path / "sparse.pt")
    with pytest.raises(FastckaError):
        read_array(tmp_path / "sparse.pt")


def test_safetensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors_torch = pytest.importorskip("safetensors.torch")
    x = torch.from_numpy(X)
    path = tmp_path / "x.safetensors"
    safetensors_torch.save_file({"a": x, "b": x.bfloat16(), "c:d": x.double()}, path)
    np.testing.assert_array_equal(read_array(f"{path}:a"), X)
    np.testing.assert_array_equal(read_array(f"{path}:c:d"), X.astype(np.float64))
    got = read_array(f"{path}:b")
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, x.bfloat16().to(torch.float32).numpy())
    with pytest.raises(InputError, match="add :NAME with one of a, b, c:d"):
        read_array(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CorruptFileError, match="damaged"):
        read_array(f"{path}:a")
    path.write_bytes(b"hello")
    with pytest.raises(CorruptFileError, match="damaged"):
        read_array(f"{path}:a")


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_missing_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name in ("torch", "safetensors"):
            raise ImportError(name)
        return real(name, *rest)

    (tmp_path / f"x.{suffix}").touch()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"reading .*its \[torch\] extra"):
        read_array(tmp_path / f"x.{suffix}")


# Names


@pytest.mark.parametrize(
    ("source", "path", "name"),
    [
        ("a.npy", "a.npy", None),
        ("A.NPY", "A.NPY", None),
        ("d:x/a.h5:/b/c", "d:x/a.h5", "/b/c"),
        ("a.npz:b:c", "a.npz", "b:c"),
        ("a.npz:", "a.npz", None),
        ("a.pt:layer.h5:x", "a.pt", "layer.h5:x"),
        ("models.h5/a.npz:x", "models.h5/a.npz", "x"),
    ],
)
def test_file_and_name(source: str, path: str, name: str | None) -> None:
    assert split_source(source) == (Path(path), name)


def test_a_file_name_with_a_colon(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy:b.npy", X)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy:b.npy"), X)


def test_paths_that_are_not_array_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'x.csv': expected a file that ends in .npy, .npz, .pt"):
        read_array("x.csv")
    with pytest.raises(InputError, match=r"absent.npy: no such file"):
        read_array(tmp_path / "absent.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InputError, match=r"folder\.npy: expected a file, got a folder$"):
        read_array(tmp_path / "folder.npy")
    (tmp_path / "parts.parquet").mkdir()  # as Spark and Dask write
    with pytest.raises(InputError, match=r"got a folder: write its tables into one file"):
        read_array(tmp_path / "parts.parquet:x")
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(InputError, match="not a plain file"):
        read_array(tmp_path / "pipe.h5")


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        *(("F8_E4M3", 8), ("F8_E5M2", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8)),
        *(("F6_E2M3", 6), ("F6_E3M2", 6), ("F4", 4)),
    ],
)
def test_safetensors_formats_that_numpy_lacks(tmp_path: Path, dtype: str, bits: int) -> None:
    pytest.importorskip("safetensors")
    header = {"x": {"dtype": dtype, "shape": [8], "data_offsets": [0, bits]}}
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(bits))
    with pytest.raises(
        InputError,
        match=rf"safetensors:x: expected a dtype that NumPy supports, got {dtype}; .*float",
    ):
        read_array(f"{path}:x")


def test_safetensors_complex_numbers(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"x": np.ones(3, dtype=np.complex64)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="expected a numeric array, got complex64"):
        read_array(f"{tmp_path}/a.safetensors:x")


@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_arrays_name_the_remedy(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    for make, message in (
        (lambda: torch.ones(3).to(torch.float8_e5m2), r"got torch\.float8_e5m2; .*x\.float\(\)"),
        (lambda: torch.ones(3).to(torch.complex32), r"got torch\.complex32|complex"),
        (lambda: torch.eye(3).to_sparse(), r"layout torch\.sparse_coo: .*to_dense"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8), "dequantize"),
        (lambda: torch.empty(3, device="meta"), "device 'meta'"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "padded"),
    ):
        torch.save({"x": make()}, path)
        with pytest.raises(InputError, match=f"a.pt:x.*{message}"):
            read_array(f"{path}:x")
    for value in (np.ones(3), np.float64(3.0)):
        torch.save({"x": value, "y": torch.ones(3)}, path)
        with pytest.raises(UnsafeFileError, match=r"NumPy values \(numpy.*torch\.as_tensor"):
            read_array(f"{path}:y")
