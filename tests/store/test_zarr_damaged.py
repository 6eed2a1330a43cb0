"""Folders of zarr whose chunks are damaged, missing, or expand to more than their shape."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c  # installed with zarr
import numcodecs
import numpy as np
import pyarrow as pa
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from child_memory import MIB, output_of
from fastcka.errors import CorruptFileError, FastckaError, UnsafeFileError
from fastcka.store import open_array, read_array
from store.array_files import X

READ = """
from fastcka.errors import FastckaError
from fastcka.store import open_array, read_array
import numpy as np

for path, small in zip(sys.argv[1::2], sys.argv[2::2]):
    read_array(small)  # what is imported does not count
    for read in (read_array, lambda path: np.asarray(open_array(path).read(0, 3))):
        reset_peak()
        start = memory("VmRSS")
        try:
            read(path)
        except FastckaError as error:
            grown = memory("VmHWM") - start
            print(json.dumps([path, type(error).__name__, str(error), grown]))
"""
BOMB = 96 * MIB
CODECS: dict[str, tuple[int, Any, Callable[[bytes], bytes]]] = {
    "gzip": (3, [GzipCodec()], gzip.compress),
    "zstd": (3, [ZstdCodec()], lambda data: numcodecs.Zstd().encode(data)),
    "zstd and a checksum": (
        3,
        [ZstdCodec(), Crc32cCodec()],
        lambda data: with_checksum(numcodecs.Zstd().encode(data)),
    ),
    "zstd without its size": (3, [ZstdCodec()], lambda data: streamed(data)),
    "blosc": (3, [BloscCodec()], lambda data: numcodecs.Blosc().encode(data)),
    "gzip, format 2": (2, numcodecs.GZip(), gzip.compress),
    "zlib, format 2": (2, numcodecs.Zlib(), zlib.compress),
    "bz2, format 2": (2, numcodecs.BZ2(), bz2.compress),
    "lzma, format 2": (2, numcodecs.LZMA(), lambda data: lzma.compress(data, preset=0)),
    "lz4, format 2": (2, numcodecs.LZ4(), lambda data: numcodecs.LZ4().encode(data)),
    "blosc, format 2": (2, numcodecs.Blosc(), lambda data: numcodecs.Blosc().encode(data)),
}


def with_checksum(data: bytes) -> bytes:
    return data + struct.pack("<I", google_crc32c.value(bytes(data)))


def streamed(data: bytes) -> bytes:
    """A frame of zstd that does not contain its decoded size."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        for start in range(0, len(data), MIB):
            stream.write(data[start : start + MIB])
    return sink.getvalue().to_pybytes()


def write(path: Path, zarr_format: int, compressors: Any, **options: Any) -> Path:
    options = {"chunks": (3, 4), **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.create_array(path, data=X, zarr_format=zarr_format, compressors=compressors, **options)
    return path


def chunk_of(path: Path) -> Path:
    """The first chunk."""
    return next(file for name in ("0.0", "c/0/0") if (file := path / name).is_file())


def test_chunks_that_expand_beyond_their_shape(tmp_path: Path) -> None:
    paths = []
    for name, (zarr_format, compressors, compress) in CODECS.items():
        path = write(tmp_path / f"{name}.zarr", zarr_format, compressors)
        chunk_of(path).write_bytes(compress(X[:3].tobytes()))  # this test writes valid chunks
        np.testing.assert_array_equal(read_array(path), X)
        chunk_of(path).write_bytes(compress(bytes(BOMB)))
        assert chunk_of(path).stat().st_size < MIB
        paths.append(str(path))
        small = write(tmp_path / f"{name} small.zarr", zarr_format, compressors)
        paths.append(str(small))
    lines = [json.loads(line) for line in output_of(READ, *paths).splitlines()]
    assert len(lines) == 2 * len(CODECS)
    for path, kind, message, grown in lines:
        assert kind == "UnsafeFileError", message
        assert f"{path}: chunk " in message
        assert "expected 48 bytes after decompression with " in message
        assert "get the array from its source again" in message
        assert grown < 70 * MIB, path


def shard(chunks: list[bytes | None]) -> bytes:
    """A shard of chunks, with its index at the end."""
    index, data = b"", b""
    for chunk in chunks:
        place = (2**64 - 1, 2**64 - 1) if chunk is None else (len(data), len(chunk))
        index += struct.pack("<QQ", *place)
        data += chunk or b""
    return data + with_checksum(index)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Shards of 4 x 4 values with chunks of 2 x 4; the last shard is half outside the array."""
    return write(tmp_path / "s.zarr", 3, [ZstdCodec()], shards=(4, 4), chunks=(2, 4))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a, b: [a, numcodecs.Zstd().encode(bytes(BOMB))], UnsafeFileError, "expected 32 b"),
        (lambda a, b: [a, None], CorruptFileError, "1 chunks of shard c/0/0 are missing; missing"),
        (lambda a, b: [a, b[:9]], CorruptFileError, "not an array of zarr, or damaged"),
    ],
)
def test_chunks_of_shards(
    sharded: Path, change: Callable[..., Any], error: type[FastckaError], message: str
) -> None:
    parts = [numcodecs.Zstd().encode(X[start : start + 2].tobytes()) for start in (0, 2)]
    chunk_of(sharded).write_bytes(shard(parts))
    np.testing.assert_array_equal(read_array(sharded), X)
    chunk_of(sharded).write_bytes(shard(change(*parts)))
    with pytest.raises(error, match=message):
        read_array(sharded)
    rows = open_array(sharded)
    assert not isinstance(rows, np.ndarray)
    np.testing.assert_array_equal(rows.read(4, 6), X[4:6])  # of the other shard
    for start, stop in ((2, 4), (3, 5)):
        with pytest.raises(error, match=message):
            rows.read(start, stop)


@pytest.mark.parametrize("shards", [None, (6, 4)])
def test_chunks_of_zeros_must_be_written(tmp_path: Path, shards: Any) -> None:
    values = np.concatenate([X[:3], np.zeros((3, 4), X.dtype)])
    options = {"data": values, "chunks": (3, 4), "shards": shards}
    zarr.create_array(tmp_path / "x.zarr", **options)
    with pytest.raises(CorruptFileError, match=r"read as the fill value.*write_empty_chunks"):
        read_array(tmp_path / "x.zarr")
    zarr.create_array(tmp_path / "y.zarr", config={"write_empty_chunks": True}, **options)
    np.testing.assert_array_equal(read_array(tmp_path / "y.zarr"), values)


def test_a_chunk_under_another_name(tmp_path: Path) -> None:
    path = write(tmp_path / "x.zarr", 3, None)
    chunk_of(path).rename(path / "c/0/7")
    with pytest.raises(CorruptFileError, match=r"x\.zarr: chunk c/0/0 is missing; missing chunks"):
        read_array(path)


def edited(path: Path, **fields: Any) -> None:
    file = next(path / name for name in ("zarr.json", ".zarray") if (path / name).is_file())
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


GZIP = {"name": "gzip", "configuration": {"level": 5}}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: edited(path, data_type="float64", dtype="<f8"), "x.zarr: "),
        (lambda path: edited(path, shape=[7, 4]), "expected 3 stored chunks, got 2"),
        (lambda path: edited(path, shape=[-6, 4]), "x.zarr: "),
        (lambda path: edited(path, data_type="float99", dtype="<q9"), "not a folder of zarr, or d"),
        (lambda path: chunk_of(path).write_bytes(chunk_of(path).read_bytes()[:-5]), "or damaged"),
        (lambda path: chunk_of(path).write_bytes(b""), "or damaged"),
        (lambda path: chunk_of(path).unlink(), "expected 2 stored chunks, got 1"),
    ],
)
def test_damage(tmp_path: Path, zarr_format: int, damage: Any, message: str) -> None:
    path = write(tmp_path / "x.zarr", zarr_format, [GzipCodec()] if zarr_format == 3 else None)
    damage(path)
    for read in (read_array, lambda source: np.asarray(open_array(source))):
        with pytest.raises(FastckaError, match=message):
            read(path)


def test_a_chunk_larger_than_the_array(tmp_path: Path) -> None:
    path = write(tmp_path / "x.zarr", 3, None, chunks=(6, 4))
    grid = {"name": "regular", "configuration": {"chunk_shape": [10**6, 10**6]}}
    edited(path, chunk_grid=grid)
    with pytest.raises(UnsafeFileError, match="got 4000000000000 bytes declared and 96 stored"):
        read_array(path)


@pytest.mark.parametrize(
    ("codecs", "message"),
    [
        ([BYTES, GZIP, GZIP], "at most one compressing codec, followed by crc32c or none, got byt"),
        ([BYTES, {"name": "crc32c"}, GZIP, {"name": "crc32c"}], None),
    ],
)
def test_codecs_one_after_the_other(tmp_path: Path, codecs: Any, message: str | None) -> None:
    path = write(tmp_path / "x.zarr", 3, None)
    edited(path, codecs=codecs)
    with pytest.raises(FastckaError, match=message or "not an array of zarr, or damaged"):
        read_array(path)


def test_flipped_bits_of_chunks_with_a_checksum(tmp_path: Path) -> None:
    path = write(tmp_path / "x.zarr", 3, [ZstdCodec(), Crc32cCodec()])
    whole = chunk_of(path).read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        chunk_of(path).write_bytes(damaged)
        with pytest.raises(FastckaError, match=r"x\.zarr"):
            read_array(path)
    chunk_of(path).write_bytes(whole)
    np.testing.assert_array_equal(read_array(path), X)


def test_large_plain_arrays_are_read(tmp_path: Path) -> None:
    values = np.zeros((100_000, 64), np.float32)
    values[::7] = 1
    for name, options in {
        "chunks": {"chunks": (100_000, 64)},
        "shards": {"chunks": (1000, 64), "shards": (50_000, 64)},
    }.items():
        path = tmp_path / f"{name}.zarr"
        zarr.create_array(path, data=values, compressors=[GzipCodec(level=9)], **options)
        np.testing.assert_array_equal(read_array(path), values)
        rows = open_array(path)
        assert not isinstance(rows, np.ndarray)
        np.testing.assert_array_equal(rows.read(999, 50_001), values[999:50_001])
        shutil.rmtree(path)
