"""The datasets of a file: their chunk offsets and checksums, and the values of columns."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from h5py import h5t, h5z

from fastcka.errors import CorruptFileError, UnsafeFileError
from fastcka.store.file.checksums import FIRST, TABLE, Table, check_chunks
from fastcka.store.hdf5 import safety as safe
from fastcka.store.hdf5 import storage

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

    from fastcka.store.file.checksums import Description

_FLETCHER32_BYTES: Final = 4  # a checksum follows each chunk


class Datasets:
    """The datasets of an open file.

    Attributes
    ----------
    path, file
        The file and its descriptor.
    table
        Table of checksums; None in a file of format 1.0, and before the seal is checked.
    """

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self.file = file
        self.table: Table | None = None

    def offsets(self, data: h5py.Dataset) -> NDArray[np.int64]:
        """Return the byte offsets of the chunks, (n_chunks,), after checking the storage."""
        where = f"{self.path}: {data.name}"
        if storage.layout_name(self.path, data) != "chunked":
            raise CorruptFileError(f"{where}: expected chunked storage")
        filters = storage.filter_codes(self.path, data)
        if filters != [h5z.FILTER_FLETCHER32]:
            raise CorruptFileError(f"{where}: expected fletcher32 alone, got filters {filters}")
        with safe.named_errors(self.path, data):
            if data.maxshape != data.shape:
                raise CorruptFileError(f"{where}: expected a fixed shape, got {data.maxshape}")
            count, size = storage.chunk_grid(data)
            size += _FLETCHER32_BYTES
            declared = count * size
            available = os.fstat(self.file).st_size
            # Checked first, so that HDF5 walks no index for a size larger than the file.
            if declared > available:
                raise UnsafeFileError(
                    f"{where}: the declared shape {data.shape} needs {declared} bytes, but the "
                    f"file has {available}"
                )
        return storage.chunk_offsets(self.path, data, size, available)

    def checksums(self, data: h5py.Dataset, described: Description) -> NDArray[np.uint64] | None:
        """Return the checksums of the chunks, (n_chunks,); None in a file of format 1.0.

        Raises
        ------
        CorruptFileError
            If the dataset's description does not match its checksum.
        """
        if self.table is None:
            return None
        return self.table.chunks(described, safe.integer_attribute(self.path, data, FIRST))

    def values(self, data: h5py.Dataset, described: Description) -> NDArray[Any]:
        """Return the stored values of a column after comparing its chunks with their checksums."""
        expected = self.checksums(data, described)
        values = storage.read_all(self.path, data)
        if expected is not None:
            check_chunks(self.path, described, values, expected)
        return values

    def read_table(self, root: h5py.Group) -> NDArray[np.uint64]:
        """Return the table of checksums, (n_entries,)."""
        data = safe.dataset(self.path, root, TABLE)
        where = f"{self.path}: {data.name}"
        shape = storage.simple_shape(self.path, data)
        with safe.named_errors(self.path, data):
            if len(shape) != 1 or shape[0] < 1 or data.id.get_type() != h5t.STD_U64LE:
                raise CorruptFileError(f"{where}: expected uint64 of shape (n,), got {shape}")
        self.offsets(data)
        return storage.read_all(self.path, data).astype(np.uint64)
