"""Opening an array of zarr that may be damaged or hostile."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import CorruptFileError, UnsafeFileError
from fastcka.store.foreign.numpy_files import check_expansion
from fastcka.store.foreign.zarr_chunks import MISSING, ChunkCheck, codec_name

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA: Final = {"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"}
"""Files that contain no values."""
# Codecs of numbers. The others of numcodecs include pickle, which executes code.
NUMBER_CODECS: Final = {
    *("bytes", "transpose", "sharding_indexed", "crc32c"),
    *("blosc", "gzip", "zlib", "zstd", "lz4", "bz2", "lzma"),
    *("shuffle", "delta", "crc32", "adler32", "fletcher32"),
}
TEXT_CODECS: Final = {*NUMBER_CODECS, "vlen-utf8"}


def checked_array(path: Path, name: str, allowed: set[str]) -> tuple[str, Any]:
    """Return the name of an array for messages, and the array, which checks its chunks.

    Parameters
    ----------
    path, name
        The folder of zarr, and the array inside; "" for a folder that is itself an array.
    allowed
        The codecs that it may have.

    Raises
    ------
    CorruptFileError, UnsafeFileError
        If a codec may execute code, a file of the folder is a link, chunks are missing, or the
        array expands implausibly. Reading values raises the same for each chunk.
    """
    import zarr

    where = f"{path}:{name}".rstrip(":")
    folder = path / name
    stored, n_files = _stored(where, path, folder)
    local = zarr.storage.LocalStore(folder, read_only=True)
    array = zarr.open_array(store=local, mode="r")
    unknown = sorted(codec_names(array.metadata.to_dict()) - allowed)
    if unknown:
        raise UnsafeFileError(
            f"{where}: expected codecs among {', '.join(sorted(allowed))}, got {', '.join(unknown)}"
            "; write the array again without them"
        )
    side = tuple(getattr(array, "shards", None) or array.chunks)
    count = math.prod(-(-length // step) for length, step in zip(array.shape, side, strict=True))
    if n_files != count:
        raise CorruptFileError(f"{where}: expected {count} stored chunks, got {n_files}; {MISSING}")
    # Whole chunks are in memory while they are read; the last one may be mostly padding.
    declared = count * math.prod(side) * int(array.dtype.itemsize)
    check_expansion(where, declared, stored)
    return where, _checking(local, ChunkCheck(where, array))


def _checking(local: Any, chunks: ChunkCheck) -> Any:
    """Return the array of a store; its chunks are checked when they are read."""
    import zarr
    from zarr.abc.store import RangeByteRequest, SuffixByteRequest

    class CheckedStore(zarr.storage.WrapperStore[Any]):
        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            buffer = await super().get(key, prototype, byte_range)
            if key.rpartition("/")[2] in METADATA:
                return buffer
            start = length = None
            if isinstance(byte_range, RangeByteRequest):
                start, length = byte_range.start, byte_range.end - byte_range.start
            elif isinstance(byte_range, SuffixByteRequest):
                start = -byte_range.suffix
            elif byte_range is not None:
                start = byte_range.offset
            chunks.check(key, buffer, start, length)
            return buffer

    return zarr.open_array(store=CheckedStore(local), mode="r")


def codec_names(metadata: Mapping[str, Any]) -> set[str]:
    """Return the names of all codecs in metadata of format 2 or 3, also of those inside shards."""
    names: set[str] = set()
    waiting = [metadata.get("compressor"), *(metadata.get("filters") or ())]
    waiting += metadata.get("codecs") or ()
    while waiting:
        codec = waiting.pop()
        if codec is None:
            continue
        names.add(codec_name(codec))
        inner = codec.get("configuration") or {}
        waiting += [*(inner.get("codecs") or ()), *(inner.get("index_codecs") or ())]
    return names


def _stored(where: str, top: Path, folder: Path) -> tuple[int, int]:
    """Return the bytes and the number of the files with chunks in the folder of an array."""
    size = count = 0
    if folder.is_symlink() or folder.resolve() != top.resolve() / folder.relative_to(top):
        raise UnsafeFileError(f"{where}: its folder is a link; links are not followed")
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    raise UnsafeFileError(
                        f"{where}: {entry.path} is a link or no plain file; it is not followed"
                    )
                elif entry.name not in METADATA:
                    size += entry.stat(follow_symlinks=False).st_size
                    count += 1
    return size, count
