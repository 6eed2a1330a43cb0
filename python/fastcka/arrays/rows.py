"""Representations that are read in blocks of rows: in files, in stores, in mapped memory."""

from __future__ import annotations

import math
import mmap
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.arrays.missing import refuse_missing, with_fill_value
from fastcka.arrays.plain import instance_of


class Rows(ABC):
    """A representation whose rows are read when they are needed.

    `fastcka.compare` and the functions around it take one in place of an array. They read it whole
    if it fits into memory, otherwise in blocks of rows.

    Attributes
    ----------
    shape
        (n_examples, ...).
    dtype
        Of the values that `read` returns.
    mapped
        Whether the values are in memory already, or in a mapped file.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    mapped: bool = False

    @abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """Return the rows from ``start`` to ``stop - 1`` as an array, (stop - start, ...)."""

    @property
    def n_features(self) -> int:
        """Number of columns once the axes after the first are flattened."""
        return math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows as an array of NumPy; so `numpy.asarray` reads the whole."""
        if copy is False:
            raise ValueError("the rows are not in memory: an array of them is a copy")
        return np.asarray(self.read(0, self.shape[0]), dtype=dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape {self.shape}, {self.dtype})"


class SlicedRows(Rows):
    """The rows of an object that slices read: an array of NumPy or dask, a dataset of h5py or zarr.

    Parameters
    ----------
    x
        The object.
    where
        Its name in error messages.
    """

    def __init__(self, x: Any, where: str, *, mapped: bool) -> None:
        self._x = x
        self._where = where
        self.shape = tuple(int(length) for length in x.shape)
        self.mapped = mapped
        self.dtype = x.dtype if isinstance(x.dtype, np.dtype) else np.dtype(_dtype_name(x))
        self._attributes: dict[str, Any] = {}
        attributes = getattr(x, "attrs", None)  # a dataset of h5py or zarr
        if isinstance(attributes, Mapping):
            unwritten = getattr(x, "fillvalue", getattr(x, "fill_value", None))
            self._attributes = with_fill_value(attributes, unwritten)

    def read(self, start: int, stop: int) -> Any:
        """Return rows; values that attributes mark as missing are errors."""
        values = self._x[start:stop]
        if self._attributes and values.dtype.kind in "biuf":
            rows = "" if (start, stop) == (0, self.shape[0]) else f"[{start}:{stop}]"
            refuse_missing(values, self._attributes, f"{self._where}{rows}")
        return values


def rows_of(x: Any, where: str) -> Rows | None:
    """Return the rows of an object that is not in memory as a whole; None for all others.

    Parameters
    ----------
    x
        `Rows`, a dataset of h5py or zarr, a dask array, or a NumPy array in a mapped file.
    where
        Its name in error messages.
    """
    if isinstance(x, Rows):
        return x
    if type(x) is not np.ndarray and (
        instance_of(x, "h5py", "Dataset")
        or instance_of(x, "zarr", "Array")
        or instance_of(x, "dask.array", "Array")
    ):
        # dask does not know all lengths until it computes.
        lengths = getattr(x, "shape", (None,))
        known = all(isinstance(length, int | np.integer) for length in lengths)
        return SlicedRows(x, where, mapped=False) if known else None
    if isinstance(x, np.ndarray) and is_mapped(x):
        return SlicedRows(x, where, mapped=True)
    return None


def is_mapped(x: NDArray[Any]) -> bool:
    """Whether an array is in a mapped file."""
    base: Any = x
    while isinstance(base, np.ndarray | memoryview):
        if isinstance(base, np.memmap):
            return True
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return isinstance(base, mmap.mmap)


def _dtype_name(x: Any) -> str:
    """Return the dtype of a torch tensor; bfloat16 counts as float32, which represents it."""
    name = str(x.dtype).removeprefix("torch.")
    return "float32" if name == "bfloat16" else name
