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
    """Return "compact", "contiguous" or "chunked", refusing storage outside the file.

    Raises
    ------
    UnsafeFileError
        If the dataset is virtual or its values lie in another file.
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
    """Return the codes of a dataset's filters, first applied first."""
    with named_errors(path, data):
        plist = data.id.get_create_plist()
        return [int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())]


def simple_shape(path: Path, data: h5py.Dataset) -> tuple[int, ...]:
    """Return the shape of a dataset, refusing one without (a null dataspace)."""
    with named_errors(path, data):
        if data.id.get_space().get_simple_extent_type() == h5s.NULL:
            raise CorruptFileError(f"{path}: {data.name}: expected an array, got an empty space")
        return tuple(int(size) for size in data.id.shape)


def chunk_grid(data: h5py.Dataset) -> tuple[int, int]:
    """Return how many chunks a chunked dataset is declared to have, and a chunk's bytes."""
    chunk = data.id.get_create_plist().get_chunk()
    count = 1
    for size, step in zip(data.id.shape, chunk, strict=True):
        count *= -(-int(size) // int(step))
    size_of_chunk = data.id.get_type().get_size()
    for step in chunk:
        size_of_chunk *= int(step)
    return count, size_of_chunk


def chunk_offsets(path: Path, data: h5py.Dataset, size: int, file_size: int) -> NDArray[np.int64]:
    """Return where the chunks of a dataset lie in its file, (n_chunks,), by their first row.

    Parameters
    ----------
    path, data
        The file, and its chunked dataset.
    size
        Bytes that each chunk takes.
    file_size
        Bytes of the file.

    Raises
    ------
    CorruptFileError
        If the chunks are not of whole rows, or one is missing, has another size, left out a
        filter, lies outside the file or shares bytes with another.
    """
    where = f"{path}: {data.name}"
    found: list[Any] = []
    with named_errors(path, data):
        if data.chunks[1:] != data.shape[1:]:
            raise CorruptFileError(f"{where}: expected chunks of whole rows, got {data.chunks}")
        rows, n = int(data.chunks[0]), int(data.shape[0])
        data.id.chunk_iter(found.append)
        chunks = np.array(
            [(*info.chunk_offset, info.filter_mask, info.size, info.byte_offset) for info in found],
            dtype=np.uint64,
        )
    count = -(-n // rows)
    if len(chunks) != count:
        raise CorruptFileError(f"{where}: {len(chunks)} of {count} chunks are stored")
    chunks = chunks[np.argsort(chunks[:, 0])]
    positions, columns = chunks[:, 0], chunks[:, 1:-3]
    masks, sizes, offsets = chunks[:, -3:].T
    if (positions != np.arange(count, dtype=np.uint64) * np.uint64(rows)).any() or columns.any():
        raise CorruptFileError(f"{where}: chunks are stored that are not of its {n} rows")
    if masks.any():
        raise CorruptFileError(f"{where}: a chunk is stored without its checksum")
    if (sizes != size).any():
        raise CorruptFileError(
            f"{where}: a chunk of {sizes[sizes != size][0]} bytes; expected {size}"
        )
    ordered = np.sort(offsets)
    if ordered[-1] > file_size - size or (np.diff(ordered) < size).any():
        raise CorruptFileError(f"{where}: chunks lie outside the file or over each other")
    checked: NDArray[np.int64] = offsets.astype(np.int64)
    return checked


def check_chunks(path: Path, data: h5py.Dataset, file_size: int) -> None:
    """Refuse chunks that are no part of a dataset's grid, or empty, or outside the file.

    HDF5 would crash on an empty chunk with a filter.
    """
    found: list[Any] = []
    with named_errors(path, data):
        data.id.chunk_iter(found.append)
        steps, shape = data.chunks, data.shape
    if len({info.chunk_offset for info in found}) != len(found) or not all(
        info.size > 0
        and info.byte_offset + info.size <= file_size
        and all(
            at % step == 0 and at < n
            for at, step, n in zip(info.chunk_offset, steps, shape, strict=True)
        )
        for info in found
    ):
        raise CorruptFileError(
            f"{path}: {data.name}: damaged: a chunk is empty, outside the file, or not of its grid"
        )


def read_all(path: Path, data: h5py.Dataset) -> np.ndarray[Any, np.dtype[Any]]:
    """Return all values of a dataset that has been checked."""
    with named_errors(path, data):
        chunk = chunk_grid(data)[1] if data.chunks else 0
        needed = data.size * data.dtype.itemsize + 2 * chunk  # a chunk as it is stored, and read
    require_working_room(path, needed)
    with named_errors(path, data, needed=needed):
        return np.asarray(data[...])
