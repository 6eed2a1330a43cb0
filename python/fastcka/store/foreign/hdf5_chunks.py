"""Compressed chunks of HDF5 files: HDF5 decodes a chunk to whatever size it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from h5py import h5z

from fastcka.errors import UnsafeFileError
from fastcka.store.foreign.decoded_sizes import MOST_DEFLATED, expands_beyond
from fastcka.store.foreign.numpy_files import FREE_EXPANSION_BYTES
from fastcka.store.hdf5 import storage
from fastcka.store.hdf5.safety import named_errors

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

_CHECKSUM_BYTES: Final = 4  # of fletcher32


def check_deflated(path: Path, data: h5py.Dataset, start: int = 0, stop: int | None = None) -> None:
    """Refuse gzip chunks, of some rows or of all, that expand to more than their shape.

    Chunks that cannot expand to more than `FREE_EXPANSION_BYTES` are not decoded for this.

    Raises
    ------
    UnsafeFileError
        If a chunk expands to more than its shape and to more than `FREE_EXPANSION_BYTES`.
    """
    codes = storage.filter_codes(path, data)
    if h5z.FILTER_DEFLATE not in codes:
        return
    chunks: list[Any] = []
    with named_errors(path, data):
        limit = max(storage.chunk_grid(data)[1], FREE_EXPANSION_BYTES)
        data.id.chunk_iter(chunks.append)
        tail = _CHECKSUM_BYTES * (codes[-1] == h5z.FILTER_FLETCHER32)
        for chunk in chunks:
            first = chunk.chunk_offset[0]
            outside = first + data.chunks[0] <= start or (stop is not None and first >= stop)
            if outside or chunk.size * MOST_DEFLATED <= limit:
                continue
            _, stored = data.id.read_direct_chunk(chunk.chunk_offset)
            if expands_beyond("zlib", stored[: len(stored) - tail], limit):
                raise UnsafeFileError(
                    f"{path}:{data.name}: the chunk at {chunk.chunk_offset}: expected "
                    f"{storage.chunk_grid(data)[1]} bytes after decompression, got more than "
                    f"{limit} from {len(stored)} stored bytes; get the file from its source again"
                )
