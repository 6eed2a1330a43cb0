"""Checking the global heaps of HDF5 files, which contain text of variable length.

A collection is ``GCOL``, a version, its size in bytes, then objects: index, references, size and
data. HDF5 moves from object to object by their sizes, so a size of 0 makes it loop forever.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import TYPE_CHECKING, Final

from h5py import h5z

from fastcka.errors import CorruptFileError
from fastcka.store.hdf5 import safety as safe
from fastcka.store.hdf5 import storage

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

_REFERENCE: Final = struct.Struct("<IQI")  # length of the text, address of the collection, index
_COLLECTION: Final = struct.Struct("<4sB3xQ")
_OBJECT: Final = struct.Struct("<HHIQ")
_NOWHERE: Final = {0, 2**64 - 1}  # the address of an empty text
_MAX_BYTES: Final = 64 << 20
_DECODED: Final = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}


def text_lengths(path: Path, data: h5py.Dataset) -> list[int]:
    """Check the collections that contain the texts of a dataset; return the lengths of the texts.

    Texts in chunks with other filters than gzip, shuffle and fletcher32, and in files with
    addresses shorter than 8 bytes, are not checked, and their lengths are not known.

    Raises
    ------
    CorruptFileError
        If an object reaches beyond its collection, or its size is 0.
    """
    file = safe.descriptor(path, data.file)
    file_size = os.fstat(file).st_size
    addresses: set[int] = set()
    lengths: list[int] = []
    with safe.named_errors(path, data):
        base = data.file.userblock_size
        if data.file.id.get_create_plist().get_sizes() != (8, 8):  # bytes of addresses and sizes
            return []
        extents: list[tuple[int, int, int]] = []
        layout, codes = storage.layout_name(path, data), storage.filter_codes(path, data)
        limit = file_size
        if layout == "chunked" and set(codes) <= _DECODED:
            limit = storage.chunk_grid(data)[1] + 4  # with a checksum inside
            data.id.chunk_iter(
                lambda info: extents.append((info.byte_offset, info.size, info.filter_mask))
            )
        elif layout == "contiguous" and data.id.get_offset() is not None:
            extents.append((data.id.get_offset(), data.id.get_storage_size(), 0))
        for offset, size, mask in extents:
            raw = _decoded(os.pread(file, min(size, file_size), offset), codes, mask, limit)
            whole = len(raw) - len(raw) % _REFERENCE.size
            for length, address, _ in _REFERENCE.iter_unpack(raw[:whole]):
                if address not in _NOWHERE:
                    lengths.append(length)
                    addresses.add(address)
    for address in addresses:
        if not _is_sound(file, base + address, file_size):
            raise CorruptFileError(
                f"{path}: {data.name}: damaged: the text heap at byte {address} is not valid"
            )
    return lengths


def _decoded(raw: bytes, codes: list[int], mask: int, limit: int) -> bytes:
    """Undo the filters of a chunk; a bit of the mask says that a filter was not applied."""
    for position, code in reversed([*enumerate(codes)]):
        if mask >> position & 1:
            continue
        if code == h5z.FILTER_FLETCHER32:
            raw = raw[:-4]
        elif code == h5z.FILTER_DEFLATE:
            try:
                raw = zlib.decompressobj().decompress(raw, limit)
            except zlib.error as error:
                raise ValueError(f"a chunk cannot be decompressed: {error}") from error
        else:  # shuffle: first bytes of all references, second bytes, ...
            count = len(raw) // _REFERENCE.size
            head = raw[: count * _REFERENCE.size]
            raw = b"".join(head[i::count] for i in range(count))
    return raw


def _is_sound(file: int, address: int, file_size: int) -> bool:
    if address > file_size:
        return False
    head = os.pread(file, _COLLECTION.size, address)
    if len(head) < _COLLECTION.size:
        return False
    signature, _, size = _COLLECTION.unpack(head)
    if signature != b"GCOL" or not _COLLECTION.size <= size <= _MAX_BYTES:
        return False
    content = os.pread(file, size, address)
    position = _COLLECTION.size
    while position + _OBJECT.size <= len(content):
        index, _, _, length = _OBJECT.unpack_from(content, position)
        need = length if index == 0 else _OBJECT.size + -(-length // 8) * 8
        if need < _OBJECT.size or position + need > size:
            return False
        position += need
    return len(content) == int(size)
