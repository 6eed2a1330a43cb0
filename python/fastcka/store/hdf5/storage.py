"""How a dataset of an HDF5 file is stored: its layout, filters, shape and chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from h5py import h5d, h5s

from fastcka.errors import CorruptFileError, UnsafeFileError
from fastcka.store.hdf5.safety import named_errors, require_working_room

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

_LAYOUTS: Final = {h5d.COMPACT: "compact", h5d.CONTIGUOUS: "contiguous", h5d.CHUNKED: "chunked"}


def layout_name(path: Path, data: h5py.Dataset) -> str:
    """Return "compact", "contiguous" or "chunked"; refuse storage outside the file.

    Raises
    ------
    UnsafeFileError
        If the dataset is virtual or its values are in another file.
    """
    with named_errors(path, data):
        plist = data.id.get_create_plist()
        if plist.get_external_count():
            raise UnsafeFileError(
                f"{path}: {data.name}: external storage; values in other files are not read"
            )
        layout = plist.get_layout()
        if layout not in _LAYOUTS:
            raise UnsafeFileError(
                f"{path}: {data.name}: a virtual dataset; values in other files are not read"
            )
        return _LAYOUTS[layout]


def filter_codes(path: Path, data: h5py.Dataset) -> list[int]:
    """Return the codes of a dataset's filters in the order in which they were applied."""
    with named_errors(path, data):
        plist = data.id.get_create_plist()
        return [int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())]


def simple_shape(path: Path, data: h5py.Dataset) -> tuple[int, ...]:
    """Return the shape of a dataset; refuse a dataset without a shape (a null dataspace)."""
    with named_errors(path, data):
        if data.id.get_space().get_simple_extent_type() == h5s.NULL:
            raise CorruptFileError(f"{path}: {data.name}: expected an array, got a null dataspace")
        return tuple(int(size) for size in data.id.shape)


def chunk_grid(data: h5py.Dataset) -> tuple[int, int]:
    """Return the declared number of chunks of a chunked dataset, and the bytes of one chunk."""
    chunk = data.id.get_create_plist().get_chunk()
    count = 1
    for size, step in zip(data.id.shape, chunk, strict=True):
        count *= -(-int(size) // int(step))
    size_of_chunk = data.id.get_type().get_size()
    for step in chunk:
        size_of_chunk *= int(step)
    return count, size_of_chunk


def chunk_offsets(path: Path, data: h5py.Dataset, size: int, file_size: int) -> NDArray[np.int64]:
    """Return the byte offsets of a dataset's chunks, (n_chunks,), in the order of their rows.

    Parameters
    ----------
    path, data
        The file, and its chunked dataset.
    size
        Expected size of each stored chunk in bytes.
    file_size
        Size of the file in bytes.

    Raises
    ------
    CorruptFileError
        If the chunks do not contain whole rows, or a chunk is missing, has another size, was
        stored without a filter, is outside the file or overlaps another chunk.
    """
    where = f"{path}: {data.name}"
    infos: list[Any] = []
    with named_errors(path, data):
        if data.chunks[1:] != data.shape[1:]:
            raise CorruptFileError(f"{where}: expected chunks of whole rows, got {data.chunks}")
        rows, n = int(data.chunks[0]), int(data.shape[0])
        data.id.chunk_iter(infos.append)
        chunks = np.array(
            [(*info.chunk_offset, info.filter_mask, info.size, info.byte_offset) for info in infos],
            dtype=np.uint64,
        )
    count = -(-n // rows)
    if len(chunks) != count:
        raise CorruptFileError(f"{where}: expected {count} stored chunks, got {len(chunks)}")
    chunks = chunks[np.argsort(chunks[:, 0])]
    positions, columns = chunks[:, 0], chunks[:, 1:-3]
    masks, sizes, offsets = chunks[:, -3:].T
    if (positions != np.arange(count, dtype=np.uint64) * np.uint64(rows)).any() or columns.any():
        raise CorruptFileError(f"{where}: the positions of its chunks do not match its {n} rows")
    if masks.any():
        raise CorruptFileError(f"{where}: a chunk is stored without its checksum")
    if (sizes != size).any():
        raise CorruptFileError(
            f"{where}: expected chunks of {size} bytes, got one of {sizes[sizes != size][0]}"
        )
    ordered = np.sort(offsets)
    if ordered[-1] > file_size - size or (np.diff(ordered) < size).any():
        raise CorruptFileError(f"{where}: chunks are outside the file or overlap")
    checked: NDArray[np.int64] = offsets.astype(np.int64)
    return checked


def check_chunks(path: Path, data: h5py.Dataset, file_size: int) -> None:
    """Refuse chunks that are empty, outside the file or outside the dataset's grid, or that repeat.

    HDF5 would crash on an empty chunk with a filter.
    """
    infos: list[Any] = []
    with named_errors(path, data):
        data.id.chunk_iter(infos.append)
        steps, shape = data.chunks, data.shape
    if len({info.chunk_offset for info in infos}) != len(infos) or not all(
        info.size > 0
        and info.byte_offset + info.size <= file_size
        and all(
            start % step == 0 and start < n
            for start, step, n in zip(info.chunk_offset, steps, shape, strict=True)
        )
        for info in infos
    ):
        raise CorruptFileError(
            f"{path}: {data.name}: damaged: a chunk is empty, repeated, outside the file or "
            "outside the dataset's grid"
        )


def read_all(path: Path, data: h5py.Dataset) -> np.ndarray[Any, np.dtype[Any]]:
    """Return all values of a dataset that has been checked."""
    with named_errors(path, data):
        chunk = chunk_grid(data)[1] if data.chunks else 0
        needed = data.size * data.dtype.itemsize + 2 * chunk  # a chunk as stored, and decoded
    require_working_room(path, needed)
    with named_errors(path, data, needed=needed):
        return np.asarray(data[...])
