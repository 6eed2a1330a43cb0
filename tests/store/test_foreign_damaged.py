"""Damaged or malicious files of other programs."""

from __future__ import annotations

import collections
import contextlib
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastcka.errors import CorruptFileError, InputError, StoreError, UnsafeFileError
from fastcka.store import open_array, read_array
from fastcka.store.foreign.examples import id_fields

torch = pytest.importorskip("torch")

X = np.arange(24, dtype=np.float32).reshape(6, 4)


def npy(shape: str, descr: str = "'<f4'", data: bytes = X.tobytes()) -> bytes:
    """Return a .npy file with any header."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ("(-6, -4)", "'<f4'"),
        ("(-1, 4)", "'<f4'"),
        ("(True, 24)", "'<f4'"),
        ("(24, True)", "'<f4'"),
        ("(6, 4, False)", "'<f4'"),
        ("(0, 99999999999999999999)", "'<f4'"),
        ("(99999999999999999999,)", "'<f4'"),
        ("(6, 2)", "('<f4', (2,))"),
        ("(6,)", "('<f4', (2, 2))"),
        ("(6, 4)", "'<f4,'"),
        ("(6, 4)", "[('a', '<f4', -1)]"),
        ("(6, 4)", "{}"),
        ("6", "'<f4'"),
        ("(6, 4)", "'V99999999999'"),
    ],
)
def test_npy_headers(tmp_path: Path, shape: str, descr: str) -> None:
    (tmp_path / "ids.npy").write_bytes(npy(shape, descr))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("ids.npy", npy(shape, descr))
    for path in (tmp_path / "ids.npy", tmp_path / "x.npz"):
        with pytest.raises((CorruptFileError, InputError), match=path.name):
            read_array(path)
        with contextlib.suppress(CorruptFileError, InputError):
            id_fields(path)


def saved(content: object, path: Path) -> dict[str, bytes]:
    """Save by PyTorch; return the records."""
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(records: dict[str, bytes], path: Path, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in records.items():
            archive.writestr(name, content)


def test_every_flipped_bit_of_a_tensor_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    saved({"x": torch.from_numpy(X)}, path)
    data = path.read_bytes()
    start = data.index(X.tobytes())
    for offset in range(start, start + X.nbytes, 5):
        damaged = bytearray(data)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match="checksum of record x/data/0 does not match"):
            read_array(path)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_array(path), X)


@pytest.mark.parametrize("change", [-4, -1, 4])
def test_a_record_of_another_length_is_detected(tmp_path: Path, change: int) -> None:
    path = tmp_path / "x.pt"
    records = saved({"x": torch.from_numpy(X), "y": torch.ones(9)}, path)
    content = records["x/data/0"]
    records["x/data/0"] = content[:change] if change < 0 else content + bytes(change)
    pack(records, path)
    message = f"record x/data/0: expected 96 bytes, as its tensors declare, got {96 + change}"
    with pytest.raises(CorruptFileError, match=message):
        read_array(f"{path}:x")


def test_records_that_pytorch_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    records = saved({"x": torch.from_numpy(X)}, path)
    pack(records, path, zipfile.ZIP_DEFLATED)
    with pytest.raises(
        CorruptFileError, match=r"is compressed; save the file again with torch\.save"
    ):
        read_array(path)
    pack({name: record for name, record in records.items() if name != "x/data/0"}, path)
    with pytest.raises(CorruptFileError, match="record x/data/0 is missing"):
        read_array(path)
    pack(records | {"x/DATA/0": bytes(96)}, path)  # PyTorch does not distinguish the two
    with pytest.raises(CorruptFileError, match="two members have the name 'x/data/0'"):
        read_array(path)


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"x": torch.from_numpy(X)}, path)
    finally:
        torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(path) as archive:
        assert {info.CRC for info in archive.infolist()} == {0}
    np.testing.assert_array_equal(read_array(path), X)


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_shared_containers_are_refused(tmp_path: Path, kind: type) -> None:
    nested: object = torch.ones(2, 2)
    for _ in range(10):
        nested = dict.fromkeys(range(10), nested) if kind is dict else kind([nested] * 10)
    torch.save({"x": nested, "ids": ["a", "b"]}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 10_000
    with pytest.raises(UnsafeFileError, match=r"x\.pt: the same lists or dicts occur repeatedly"):
        read_array(tmp_path / "x.pt")
    if kind is dict:  # ids are not looked for in lists of lists
        with pytest.raises(UnsafeFileError, match="occur repeatedly"):
            id_fields(tmp_path / "x.pt")


def test_lists_that_are_shared_a_few_times_are_read(tmp_path: Path) -> None:
    shared = {"x": torch.from_numpy(X)}
    numbers = list(range(20_000))
    torch.save({"a": shared, "b": shared, "n": numbers, "m": numbers}, tmp_path / "x.pt")
    np.testing.assert_array_equal(read_array(f"{tmp_path}/x.pt:b.x"), X)


class Call:
    """An object that is pickled as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call  # type: ignore[return-value]


@pytest.mark.parametrize("options", [{}, {"chunks": (2,)}])
def test_an_endless_text_heap_is_refused(tmp_path: Path, options: dict) -> None:
    """HDF5 would read a free object of size 0 forever."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("ids", data=["one", "two", "three"], **options)
    assert list(id_fields(path)["/ids"].values) == [b"one", b"two", b"three"]
    whole = path.read_bytes()
    offset = whole.index(b"GCOL") + 16
    for size in (0, 8, 2**63, 2**64 - 1):
        path.write_bytes(
            whole[:offset] + struct.pack("<HHIQ", 0, 0, 0, size) + whole[offset + 16 :]
        )
        with pytest.raises(CorruptFileError, match="/ids: damaged: the text heap at byte"):
            id_fields(path)


def test_an_empty_chunk_does_not_crash_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", data=X, chunks=(3, 4), compression="gzip")
        sizes: list[int] = []
        data.id.chunk_iter(lambda info: sizes.append(info.size))
    np.testing.assert_array_equal(read_array(path), X)
    whole = path.read_bytes()
    key = struct.pack("<IIQ", sizes[0], 0, 0)  # size and filter mask of the first chunk, its row
    assert whole.count(key) == 1
    for changed in (bytes(4) + key[4:], key[:8] + struct.pack("<Q", 1)):
        path.write_bytes(whole.replace(key, changed))
        with pytest.raises(StoreError, match=r"x\.h5"):
            read_array(path)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (bytearray, (2**31,)),
        (torch.FloatTensor, (2**29,)),
        (torch.UntypedStorage, (2**31,)),
        (torch.FloatTensor, (torch.Size([2**29]),)),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_small_file_cannot_ask_for_memory(
    tmp_path: Path, function: object, arguments: tuple[object, ...], zipped: bool
) -> None:
    path = tmp_path / "x.pt"
    content = {"x": torch.ones(2), "bomb": Call(function, *arguments)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFileError, match=r"x\.pt: its pickle calls .*any amount of memory"):
        read_array(f"{path}:x")


def test_small_bytearrays_are_read(tmp_path: Path) -> None:
    content = {"x": torch.from_numpy(X), "log": bytearray(b"abc"), "o": collections.OrderedDict()}
    torch.save(content, tmp_path / "x.pt")
    np.testing.assert_array_equal(read_array(tmp_path / "x.pt"), X)


def test_an_old_file_that_declares_more_than_it_contains(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"x": torch.from_numpy(X)}, path, _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read_array(path), X)
    data = path.read_bytes()
    old = pickle.dumps(24, protocol=2)[2:-1]
    assert data.count(old + b"N") == 1
    path.write_bytes(data.replace(old + b"N", b"J" + struct.pack("<i", 2**29) + b"N"))
    with pytest.raises(
        CorruptFileError, match="its tensors need 2147483648 bytes, but the file has"
    ):
        read_array(path)


def test_tensors_stay_in_their_storage(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    for zipped in (True, False):
        torch.save(torch.from_numpy(X), path, _use_new_zipfile_serialization=zipped)
        data = path.read_bytes()
        shape = b"K\x06K\x04\x86"
        assert data.count(shape) == 1
        if zipped:
            records = saved(torch.from_numpy(X), path)
            records["x/data.pkl"] = records["x/data.pkl"].replace(shape, b"K\x07K\x04\x86")
            pack(records, path)
        else:
            path.write_bytes(data.replace(shape, b"K\x07K\x04\x86"))
        with pytest.raises(CorruptFileError, match=r"\(7, 4\) reaches beyond the 24 values"):
            read_array(path)


def test_formats_that_numpy_lacks(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "x.safetensors"
    half = torch.from_numpy(X).bfloat16()
    safetensors.save_file({"x": torch.ones(4).to(torch.float8_e4m3fn), "y": half}, path)
    with pytest.raises(InputError, match=r"x: expected a dtype that NumPy supports, got F8_E4M3"):
        read_array(f"{path}:x")
    np.testing.assert_array_equal(read_array(f"{path}:y"), X)  # exact in bfloat16


def test_safetensors_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for entry in (
        {"dtype": "F32", "shape": [2**63, 2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        [1],
    ):
        text = json.dumps({"x": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
        with pytest.raises(CorruptFileError, match="not a safetensors file, or damaged"):
            read_array(path)


def test_a_zip_that_spans_disks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(torch.ones(3), path)
    data = path.read_bytes()
    offset = data.rindex(b"PK\x06\x07")  # zip64: the number of disks
    path.write_bytes(data[: offset + 16] + struct.pack("<I", 9) + data[offset + 20 :])
    with pytest.raises(StoreError, match=r"x\.pt: not a zip file, or damaged"):
        read_array(path)


@pytest.mark.parametrize("checksum", [False, True])
def test_a_chunk_that_expands_beyond_its_shape(tmp_path: Path, checksum: bool) -> None:
    path = tmp_path / "x.h5ad"
    encoder = zlib.compressobj(9)
    bomb = b"".join(encoder.compress(bytes(1 << 20)) for _ in range(300)) + encoder.flush()
    with h5py.File(path, "w") as file:
        options = {"chunks": (3, 4), "compression": "gzip", "fletcher32": checksum}
        data = file.create_dataset("obsm/x", data=X, **options)
        data.id.write_direct_chunk((0, 0), bomb + bytes(4 * checksum))
    message = r"/obsm/x: the chunk at \(0, 0\): expected 48 bytes after decompression, got more"
    with pytest.raises(UnsafeFileError, match=message):
        read_array(f"{path}:obsm/x")
    rows = open_array(f"{path}:obsm/x")
    assert not isinstance(rows, np.ndarray)
    np.testing.assert_array_equal(rows.read(3, 6), X[3:])
    with pytest.raises(UnsafeFileError, match=message):
        rows.read(2, 4)


def test_large_gzip_chunks_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 9, (1500, 1024), dtype=np.int16)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=(1000, 1024), compression="gzip", shuffle=True)
        sizes: list[int] = []
        file["x"].id.chunk_iter(lambda info: sizes.append(info.size))
    assert max(sizes) * 1032 > 256 << 20  # large enough to be checked
    np.testing.assert_array_equal(read_array(tmp_path / "x.h5"), values)
