"""How much compressed data expand to, found without more memory than a limit."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPRESSORS: Final = {"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"}
FREE_BYTES: Final = 16 << 20
"""A decoded size up to this is not checked."""
MOST_DEFLATED: Final = 1032
"""Deflate, the codec of gzip and zlib, expands data at most this many times."""

_STREAMS: Final[dict[str, Callable[[io.BytesIO], Any]]] = {
    "gzip": gzip.open,
    "bz2": bz2.open,
    "lzma": lzma.open,
}
_PIECE: Final = 4 << 20  # decoded at a time
_ZSTD_BLOCK: Final = 128 << 10  # the largest decoded block
_ZSTD_RLE, _ZSTD_COMPRESSED = 1, 2  # kinds of blocks


def expands_beyond(codec: str, data: bytes, limit: int) -> bool:
    """Return whether data of one of `COMPRESSORS` expand to more than ``limit`` bytes.

    Formats that contain their decoded size are not decoded. The others are decoded, up to the
    limit, if they could exceed it. A size up to `FREE_BYTES` is always below the limit.
    """
    limit = max(limit, FREE_BYTES)
    if codec == "blosc":
        return int.from_bytes(data[4:8], "little") > limit
    if codec == "lz4":  # numcodecs writes the size before the data
        return int.from_bytes(data[:4], "little") > limit
    if codec == "zstd":
        return _zstd_bytes(data) > limit + _ZSTD_BLOCK
    if codec in ("gzip", "zlib") and len(data) * MOST_DEFLATED <= limit:
        return False
    if codec == "zlib":
        return _exceeds(_inflated(data), limit)
    with _STREAMS[codec](io.BytesIO(data)) as stream:
        return _exceeds(iter(partial(stream.read, _PIECE), b""), limit)


def _inflated(data: bytes) -> Iterator[bytes]:
    decoder = zlib.decompressobj()
    step = _PIECE // MOST_DEFLATED
    for start in range(0, len(data), step):
        yield decoder.decompress(data[start : start + step])


def _exceeds(pieces: Iterator[bytes], limit: int) -> bool:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            return True
    return False


def _zstd_bytes(data: bytes) -> int:
    """Return the decoded size that a frame declares, or the most that its blocks can contain.

    The format is that of RFC 8878, section 3.1.1. Data after the frame are not decoded.
    """
    descriptor = data[4]
    single = descriptor >> 5 & 1
    position = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = (single, 2, 4, 8)[descriptor >> 6]
    if width:
        declared = int.from_bytes(data[position : position + width], "little")
        return declared + 256 * (width == 2)
    size = 0
    last = False
    while not last and position + 3 <= len(data):
        header = int.from_bytes(data[position : position + 3], "little")
        last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        size += _ZSTD_BLOCK if kind == _ZSTD_COMPRESSED else length
        position += 3 + (1 if kind == _ZSTD_RLE else length)
    return size
