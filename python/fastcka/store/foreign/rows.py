"""Arrays in files that fastcka did not write, read in blocks of rows."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.arrays import Rows
from fastcka.errors import CorruptFileError, InputError
from fastcka.out_of_memory import named_shortage
from fastcka.store.foreign.arrays import read_array, split_source
from fastcka.store.foreign.h5ad import h5ad_dataset
from fastcka.store.foreign.hdf5 import (
    HDF5_SUFFIXES,
    DatasetLayout,
    dataset_layout,
    read_dataset_rows,
)
from fastcka.store.foreign.numpy_files import npy_layout
from fastcka.store.foreign.zarr_folders import open_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class NpyRows(Rows):
    """The rows of a .npy file; it is opened for each block, and no memory is mapped."""

    def __init__(self, path: Path) -> None:
        layout = npy_layout(path)
        self._path = path
        self._offset, self._fortran = layout.offset, layout.fortran
        self.shape, self.dtype = layout.shape, layout.dtype
        self._stamp = _stamp(path)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows from the file."""
        with self._path.open("rb", buffering=0) as file:
            _require_unchanged(self._path, self._stamp)
            count = math.prod(self.shape[1:])
            size = self.dtype.itemsize
            if not self._fortran:
                values = np.empty((stop - start, *self.shape[1:]), self.dtype)
                self._fill(file, values, self._offset + start * count * size)
                return values
            # Column after column; the first axis is the fastest.
            columns = np.empty((count, stop - start), self.dtype)
            for column, row in enumerate(columns):
                self._fill(file, row, self._offset + (column * self.shape[0] + start) * size)
            return columns.reshape(*self.shape[:0:-1], stop - start).T

    def _fill(self, file: Any, out: NDArray[Any], offset: int) -> None:
        view = out.reshape(-1).view(np.uint8).data
        file.seek(offset)
        filled = 0
        while filled < len(view) and (got := file.readinto(view[filled:])):
            filled += got
        if filled != len(view):
            raise CorruptFileError(f"{self._path}: cut off at byte {offset + filled}")


class Hdf5Rows(Rows):
    """The rows of a dataset of an HDF5 file; it is opened for each block."""

    def __init__(self, path: Path, layout: DatasetLayout) -> None:
        self._path = path
        self._layout = layout
        self.shape = layout.shape
        self.dtype = np.dtype("f4") if layout.bfloat16 else layout.dtype
        self._stamp = _stamp(path)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows; values that attributes mark as missing are errors."""
        _require_unchanged(self._path, self._stamp)
        return read_dataset_rows(self._path, self._layout, start, stop)


@named_shortage("opening an array")
def open_array(source: str | os.PathLike[str]) -> Rows | NDArray[Any]:
    """Open an array in a file, to read it in blocks of rows.

    `fastcka.compare` and the functions around it take the result in place of an array. They read
    it whole if it fits into memory, otherwise in blocks of rows.

    Parameters
    ----------
    source
        As of `read_array`.

    Returns
    -------
    Rows or ndarray
        Arrays in .npy, HDF5 and zarr files are read later; ``read(start, stop)`` returns rows, and
        `numpy.asarray` all of them. MATLAB variables, whose axes are reversed in the file, sparse
        matrices and arrays in other files are read at once.

    Raises
    ------
    InputError, CorruptFileError, UnsafeFileError, MissingExtraError
        As `read_array`.
    """
    path, name = split_source(source)
    suffix = path.suffix.lower()
    try:
        if path.is_file() and suffix == ".npy" and name is None:
            return NpyRows(path)
        if path.is_dir() and suffix == ".zarr":
            return open_zarr(path, name)
        dense = h5ad_dataset(path, name) if path.is_file() and suffix == ".h5ad" else None
        if dense is not None or (path.is_file() and suffix in HDF5_SUFFIXES):
            name = dense or name
            layout = dataset_layout(path, name)
            if layout is not None and layout.shape:
                return Hdf5Rows(path, layout)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return read_array(source)


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _require_unchanged(path: Path, stamp: tuple[int, int, int]) -> None:
    if _stamp(path) != stamp:
        raise InputError(f"{path}: the file has changed while it was read: run again")
