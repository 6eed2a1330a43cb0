"""The chunks of an array of zarr, checked as they are stored and before zarr decodes them.

zarr replaces a missing chunk by the fill value, and decodes a chunk to whatever size it has.
"""

from __future__ import annotations

import math
import re
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fastcka.errors import CorruptFileError, UnsafeFileError
from fastcka.store.foreign.decoded_sizes import COMPRESSORS, expands_beyond
from fastcka.store.foreign.numpy_files import FREE_EXPANSION_BYTES, MAX_EXPANSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CHECKSUM_BYTES: Final = 4  # of crc32c, at the end
_ENTRY_BYTES: Final = 16  # of the index of a shard: the offset and the length of a chunk
_NO_CHUNK: Final = 2**64 - 1
MISSING: Final = (
    "missing chunks would be read as the fill value. If all their values are 0, write the array "
    "again with config={'write_empty_chunks': True}"
)


class _Shards(NamedTuple):
    """A shard is a file with several chunks and an index of them."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    array: tuple[int, ...]
    checksum: bool
    at_start: bool

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis of a shard."""
        return tuple(a // b for a, b in zip(self.shape, self.chunk, strict=True))

    @property
    def index_bytes(self) -> int:
        """Size of the index."""
        return math.prod(self.counts) * _ENTRY_BYTES + self.checksum * _CHECKSUM_BYTES

    def needed(self, coordinates: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return which chunks of a shard contain a part of the array, flat."""
        inside = [
            shard * side + np.arange(count) * step < length
            for shard, side, count, step, length in zip(
                coordinates, self.shape, self.counts, self.chunk, self.array, strict=True
            )
        ]
        return np.asarray(reduce(np.multiply.outer, inside)).reshape(-1)


class ChunkCheck:
    """Checks the stored bytes of the chunks of one array.

    Parameters
    ----------
    where
        The name of the array in messages.
    array
        The `zarr.Array`.

    Raises
    ------
    UnsafeFileError
        If several codecs compress the values, or another codec follows the compressing one.
    """

    def __init__(self, where: str, array: Any) -> None:
        self._where = where
        metadata = array.metadata.to_dict()
        codecs = metadata.get("codecs")
        if codecs is None:  # format 2
            codecs = [*(metadata.get("filters") or ()), metadata.get("compressor")]
        codecs = [codec for codec in codecs if codec is not None]
        chunk = tuple(array.chunks)
        self._shards = None
        if "sharding_indexed" in map(codec_name, codecs):
            if len(codecs) > 1:
                raise self._unsafe("no other codec around sharding_indexed", codecs)
            inside = codecs[0]["configuration"]
            codecs, index = inside["codecs"], inside["index_codecs"]
            if [codec_name(codec) for codec in index] not in (["bytes"], ["bytes", "crc32c"]):
                raise self._unsafe("an index of the codecs bytes and crc32c", index)
            self._shards = _Shards(
                shape=tuple(array.shards),
                chunk=chunk,
                array=tuple(array.shape),
                checksum=len(index) > 1,
                at_start=inside.get("index_location") == "start",
            )
        names = [codec_name(codec) for codec in codecs]
        first = next((i for i, name in enumerate(names) if name in COMPRESSORS), len(names))
        if names[first + 1 :] not in ([], ["crc32c"]):
            raise self._unsafe("at most one compressing codec, followed by crc32c or none", codecs)
        self._compressor = names[first] if first < len(names) else None
        self._tail = _CHECKSUM_BYTES * len(names[first + 1 :])
        text = "vlen-utf8" in names
        self._limit = None if text else math.prod(chunk) * int(array.dtype.itemsize)

    def check(self, key: str, buffer: Any, start: int | None, length: int | None) -> None:
        """Check what a store returns for a key: all bytes, or ``length`` of them from ``start``.

        The ``buffer`` is None if there is no such file. A negative ``start`` counts from the end.

        Raises
        ------
        CorruptFileError
            If a chunk is missing.
        UnsafeFileError
            If a chunk expands to more than its shape declares.
        """
        if buffer is None:
            raise CorruptFileError(f"{self._where}: chunk {key} is missing; {MISSING}")
        if self._shards is None:
            self._check_size(key, buffer)
            return
        size, at_start = self._shards.index_bytes, self._shards.at_start
        if start is None:
            data = buffer.to_bytes()
            entries = self._entries(self._shards, key, data[:size] if at_start else data[-size:])
            for offset, count in entries:
                self._check_size(key, buffer[offset : offset + count])
            return
        is_index = (start, length) == (0, size) if at_start else start < 0
        if is_index:
            self._entries(self._shards, key, buffer.to_bytes())
        else:
            self._check_size(key, buffer)

    def _entries(self, shards: _Shards, key: str, index: bytes) -> list[tuple[int, int]]:
        """Return the offset and the length of each chunk in the index of a shard."""
        count = math.prod(shards.counts)
        if len(index) < count * _ENTRY_BYTES:
            raise CorruptFileError(
                f"{self._where}: shard {key} is damaged: expected an index of "
                f"{shards.index_bytes} bytes, got {len(index)}"
            )
        table = np.frombuffer(index, "<u8", 2 * count).reshape(count, 2)
        needed = shards.needed([int(digits) for digits in re.findall(r"\d+", key)])
        missing = int((needed & (table[:, 0] == _NO_CHUNK)).sum())
        if missing:
            raise CorruptFileError(
                f"{self._where}: {missing} chunks of shard {key} are missing; {MISSING}"
            )
        entries: list[tuple[int, int]] = table[table[:, 0] != _NO_CHUNK].tolist()
        return entries

    def _check_size(self, key: str, buffer: Any) -> None:
        if self._compressor is None:
            return
        data = buffer.to_bytes()
        limit = self._limit
        if limit is None:
            limit = max(FREE_EXPANSION_BYTES, MAX_EXPANSION * len(data))
        if expands_beyond(self._compressor, data[: len(data) - self._tail], limit):
            raise UnsafeFileError(
                f"{self._where}: chunk {key}: expected {limit} bytes after decompression with "
                f"{self._compressor}, got more from {len(data)} stored bytes; get the array from "
                "its source again"
            )

    def _unsafe(self, expected: str, codecs: Sequence[Any]) -> UnsafeFileError:
        names = ", ".join(codec_name(codec) for codec in codecs)
        return UnsafeFileError(
            f"{self._where}: expected {expected}, got {names}; write the array again without them"
        )


def codec_name(codec: Mapping[str, Any]) -> str:
    """Return the name of a codec in metadata of format 2 or 3."""
    return str(codec.get("name", codec.get("id")))
