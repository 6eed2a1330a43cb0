"""Chunks read without HDF5, compared with HDF5."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastcka import _core
from fastcka.errors import CorruptFileError, InputError, StoreError
from fastcka.store import Key, Store
from fastcka.store.file.chunks import LayerChunks
from fastcka.store.hdf5.safety import open_hdf5
from fastcka.store.hdf5.storage import chunk_offsets

NAMES = {"<f2": "float16", "<u2": "bfloat16", "<f4": "float32", "<f8": "float64"}
PATTERNS = ("normal", "zeros", "ones", "rare")


def values_of(pattern: str, rng: np.random.Generator, shape: tuple[int, int], dtype: str):
    """Values whose words are random, all 0, all 0xFFFF (0 to the checksum), or mostly 0."""
    if pattern == "normal":
        x = rng.normal(size=shape)
        return x.astype(dtype) if dtype != "<u2" else (x * 1000).astype(np.int64).astype(dtype)
    words = np.zeros(shape[0] * shape[1] * np.dtype(dtype).itemsize, np.uint8)
    if pattern == "ones":
        words[:] = 0xFF
    if pattern == "rare":
        words[rng.integers(0, len(words))] = rng.integers(1, 256)
    return words.view(dtype).reshape(shape)


def write(path: Path, x: np.ndarray, rows: int, **options) -> None:
    with h5py.File(path, "w", **options) as file:
        file.create_dataset("x", data=x, chunks=(rows, x.shape[1]), fletcher32=True)


def layer_of(path: Path, file: h5py.File) -> LayerChunks:
    data = file["x"]
    rows, d = data.chunks
    size = rows * d * data.dtype.itemsize + 4
    offsets = chunk_offsets(path, data, size, path.stat().st_size)
    return LayerChunks("/x", *data.shape, NAMES[data.dtype.str], rows, offsets)


def read(path: Path, rows: np.ndarray | None = None) -> np.ndarray:
    with open_hdf5(path) as file:
        layer = layer_of(path, file)
        shape = (layer.n_examples if rows is None else len(rows), layer.n_features)
        out = np.empty(shape, file["x"].dtype.newbyteorder("="))
        layer.read(path, file.id.get_vfd_handle(), out, rows)
    return out


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("dtype", NAMES)
def test_files_of_h5py_are_read_bit_for_bit(tmp_path: Path, dtype: str, pattern: str):
    rng = np.random.default_rng(0)
    path = tmp_path / "x.h5"
    for _ in range(25):
        shape = int(rng.integers(1, 300)), int(rng.integers(1, 90))
        x = values_of(pattern, rng, shape, dtype)
        write(path, x, int(rng.integers(1, shape[0] + 1)))
        rows = rng.integers(0, shape[0], size=int(rng.integers(0, 2 * shape[0])))
        assert read(path).tobytes() == x.tobytes()
        assert read(path, rows).tobytes() == x[rows].tobytes()


def test_a_chunk_larger_than_a_block_of_the_checksum(tmp_path: Path):
    path = tmp_path / "x.h5"
    for shape, rows in (((40_001, 7), 40_001), ((3, 200_001), 2)):
        x = np.random.default_rng(1).normal(size=shape)
        write(path, x, rows)
        np.testing.assert_array_equal(read(path), x)


def hdf5_reads(path: Path) -> bool:
    try:
        with h5py.File(path) as file:
            file["x"][...]
    except OSError:
        return False
    return True


def test_exactly_the_chunks_that_hdf5_refuses_are_refused(tmp_path: Path):
    """Damage in the values, in the padding after the last row, and in the checksum."""
    rng = np.random.default_rng(2)
    path = tmp_path / "x.h5"
    x = rng.normal(size=(10, 3)).astype("<f4")
    x[::2] = 0  # the checksum cannot detect that a word 0 becomes 0xFFFF
    write(path, x, 4)
    good = path.read_bytes()
    with h5py.File(path) as file:
        last = file["x"].id.get_chunk_info(2)
    verdicts = []
    for offset in range(last.byte_offset, last.byte_offset + last.size, 2):
        for word in (b"\xff\xff", b"\x00\x00", bytes(rng.integers(0, 256, size=2, dtype=np.uint8))):
            path.write_bytes(good[:offset] + word + good[offset + 2 :])
            fine = hdf5_reads(path)
            verdicts.append(fine)
            if fine:
                read(path)
                continue
            with pytest.raises(CorruptFileError, match=r"of /x does not match \(chunk 2 of 3, row"):
                read(path)
    assert 10 < sum(verdicts) < len(verdicts) - 30


def test_a_damaged_chunk_without_requested_rows_is_not_read(tmp_path: Path):
    path = tmp_path / "x.h5"
    x = np.arange(40.0).reshape(10, 4)
    write(path, x, 3)
    data = bytearray(path.read_bytes())
    data[data.index(x[4].tobytes())] ^= 1
    path.write_bytes(data)
    rows = np.array([9, 0, 2, 9, 7])
    np.testing.assert_array_equal(read(path, rows), x[rows])
    with pytest.raises(CorruptFileError, match="chunk 1 of 4, rows 3 to 5"):
        read(path, np.array([0, 5]))


def test_a_chunk_index_with_wrong_offsets_is_refused(tmp_path: Path):
    """The oldest index of HDF5 has no checksum, so HDF5 reads wrong values."""
    path = tmp_path / "x.h5"
    x = np.arange(64.0).reshape(8, 8)
    write(path, x, 4, libver="earliest")
    good = path.read_bytes()
    with h5py.File(path) as file:
        first, second = (file["x"].id.get_chunk_info(index).byte_offset for index in (0, 1))
    offset = good.index(struct.pack("<Q", second))
    for wrong in (first, first + 8, len(good) - 100, 2**63, 2**64 - 100):
        path.write_bytes(good[:offset] + struct.pack("<Q", wrong) + good[offset + 8 :])
        with pytest.raises(CorruptFileError, match=r"outside the file or overlap|damaged"):
            read(path)
    path.write_bytes(good[:offset] + struct.pack("<Q", first) + good[offset + 8 :])
    with h5py.File(path) as file:
        assert (file["x"][4:] == x[:4]).all()  # HDF5 reads the wrong chunk


def test_a_chunk_without_its_checksum_is_refused(tmp_path: Path):
    path = tmp_path / "x.h5"
    x = np.arange(32.0).reshape(8, 4)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", x.shape, x.dtype, chunks=(4, 4), fletcher32=True)
        data[:4] = x[:4]
        data.id.write_direct_chunk((4, 0), x[4:].tobytes() + bytes(4), filter_mask=1)
    with pytest.raises(CorruptFileError, match="a chunk is stored without its checksum"):
        read(path)


def test_a_chunk_of_another_size_is_refused(tmp_path: Path):
    path = tmp_path / "x.h5"
    x = np.arange(32.0).reshape(8, 4)
    write(path, x, 4)
    with h5py.File(path, "r+") as file:
        file["x"].id.write_direct_chunk((4, 0), x[4:].tobytes())
    with pytest.raises(CorruptFileError, match="chunks of 132 bytes, got one of 128"):
        read(path)


def test_a_file_that_shrinks_or_closes_during_a_read(tmp_path: Path):
    path = tmp_path / "x.h5"
    x = np.arange(4000.0).reshape(1000, 4)
    write(path, x, 100)
    out = np.empty_like(x)
    with open_hdf5(path) as file:
        layer = layer_of(path, file)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(CorruptFileError, match=r"the file ends inside /x \(chunk"):
            layer.read(path, file.id.get_vfd_handle(), out)
    closed = os.open(path, os.O_RDONLY)
    os.close(closed)
    with pytest.raises(StoreError, match=r"/x: cannot be read: Bad file descriptor \(chunk 0 of"):
        layer.read(path, closed, out)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_conversions_equal_those_of_numpy(tmp_path: Path, dtype: str):
    info = np.finfo(dtype)
    limits = np.finfo(np.float32)
    special = [0.0, -0.0, 1.0, -1.5, info.tiny, info.smallest_subnormal, info.max, -info.max]
    special += [np.inf, -np.inf, np.nan, limits.tiny, limits.smallest_subnormal, 1e30]
    with np.errstate(over="ignore"):
        x = np.array([special], dtype=dtype).T
    if dtype == "<f2":
        x = np.arange(2**16, dtype=np.uint16).view("<f2")[:, None]  # all values
    path = tmp_path / "x.h5"
    write(path, x, len(x))
    for wide in (np.float32, np.float64):
        with np.errstate(over="ignore"):
            beyond = np.isinf(x.astype(wide)) & np.isfinite(x)
        rows = np.flatnonzero(~beyond[:, 0])
        out = np.empty((len(rows), 3), wide)[:, 1:2]
        with open_hdf5(path) as file:
            layer_of(path, file).read(path, file.id.get_vfd_handle(), out, rows)
        np.testing.assert_array_equal(out, x[rows].astype(wide))
        assert (np.signbit(out) == np.signbit(x[rows])).all()


def test_a_value_beyond_float32_is_an_error_and_an_infinity_is_not(tmp_path: Path):
    path = tmp_path / "x.h5"
    write(path, np.array([[np.inf], [3.4028235677973366e38], [3.402823567797336e38]]), 3)
    out = np.empty((1, 1), np.float32)
    with open_hdf5(path) as file:
        layer, handle = layer_of(path, file), file.id.get_vfd_handle()
        for row, expected in ((0, np.inf), (2, np.finfo(np.float32).max)):
            layer.read(path, handle, out, np.array([row]))
            assert out[0, 0] == expected
        with pytest.raises(InputError, match="/x are too large for float32"):
            layer.read(path, handle, out, np.array([1]))


def test_a_read_into_a_staged_buffer_keeps_its_padding(store: Store):
    x = np.random.default_rng(4).normal(size=(9000, 100)).astype(np.float32)
    store.write(model="m", step=0, layers={"l": x})
    padded = np.full((9008, 112), 7, np.float32)
    store.read(Key("m", 0, "l"), out=padded[:9000, :100])
    np.testing.assert_array_equal(padded[:9000, :100], x)
    assert (padded[9000:] == 7).all()
    assert (padded[:, 100:] == 7).all()


def test_the_compiled_reader_refuses_wrong_arguments():
    offsets = np.array([0, 100], np.int64)
    good = {
        "offsets": offsets,
        "chunk_rows": 2,
        "n": 4,
        "stored": "float32",
        "dataset": "/x",
        "checksums": None,
        "out": np.empty((4, 3), np.float32),
        "wanted": None,
        "threads": 1,
    }
    rising, targets = np.array([0, 3]), np.array([1, 0])
    two = np.empty((2, 3), np.float32)
    read_only = np.empty((4, 3), np.float32)
    read_only.flags.writeable = False
    for message, wrong in {
        "expected an offset for each chunk": {"n": 5},
        "n positive": {"n": 0},
        "a checksum for each": {"checksums": np.zeros(3, np.uint64)},
        "must have a row for each": {"out": two},
        "in the machine's byte order": {"out": np.empty((4, 3), ">f4")},
        "stored must be float16, bfloat16": {"stored": "int8"},
        "of 16 bits only": {"out": np.empty((4, 3), np.float16)},
        "writeable": {"out": read_only},
        "threads": {"threads": 0},
        "two vectors": {"wanted": (rising, targets[:1]), "out": two},
        "must be rising rows below n": {"wanted": (rising[::-1].copy(), targets), "out": two},
        "rising rows below n": {"wanted": (rising + 1, targets), "out": two},
        "rows of out": {"wanted": (rising, targets + 1), "out": two},
    }.items():
        with pytest.raises(ValueError, match=message):
            _core.read_rows(-1, **(good | wrong))
