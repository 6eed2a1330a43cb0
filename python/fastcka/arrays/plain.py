"""Converting tables, labelled arrays and nested lists to one NumPy array without loss."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastcka.arrays.exact import MAX_EXACT, exact_floats, lost_digits
from fastcka.arrays.masked import refuse_masked_items, unmasked
from fastcka.arrays.missing import refuse_missing, with_fill_value
from fastcka.errors import InputError

_NUMBERS: Final = "biuf"
_LISTS: Final = (list, tuple, np.ndarray)
_NO_ARRAYS: Final = (
    ("anndata", ("AnnData",), "its representations are x.X, x.layers[name] and x.obsm[name]"),
    ("scipy.sparse", ("sparray", "spmatrix"), "x.toarray() is dense"),
    ("zarr", ("Group",), "its arrays are dict(x.arrays()), and one of them is x[name]"),
)
"""(Library, classes, what to pass instead) for objects that NumPy would misread."""


def instance_of(x: Any, library: str, *names: str) -> bool:
    """Whether ``x`` is an instance of a library's class, without importing the library."""
    kind: type = type(x)
    return _is_subclass(kind, library, names)


@lru_cache(maxsize=256)
def _is_subclass(kind: type, library: str, names: tuple[str, ...]) -> bool:
    # The answer is final: a class cannot exist before the library that it is derived from.
    module = sys.modules.get(library)
    return issubclass(kind, tuple(getattr(module, name) for name in names if hasattr(module, name)))


def no_array(x: Any) -> str | None:
    """Return what an object of another library is and what to pass instead; None for others."""
    for library, classes, remedy in _NO_ARRAYS:
        if instance_of(x, library, *classes):
            return f"{type(x).__name__} of {library}: {remedy}"
    return None


def unwrapped(x: Any, where: str) -> Any:
    """Return the array inside an xarray DataArray, which may be on a device; else return ``x``.

    A dask array is computed, because its array protocol would drop a mask.

    Raises
    ------
    InputError
        For a Dataset, an object of `no_array`, or an array whose attributes mark missing or packed
        values.
    """
    if isinstance(x, np.ndarray):
        return x
    if other := no_array(x):
        raise InputError(f"{where}: expected an array, got {other}")
    if instance_of(x, "xarray", "Dataset"):
        names = ", ".join(repr(name) for name in list(x.data_vars)[:8])
        raise InputError(
            f"{where}: expected an array, got an xarray Dataset: pass one variable, x[name], of "
            f"{names}"
        )
    labelled = instance_of(x, "xarray", "DataArray")
    data = x.data if labelled else x
    if instance_of(data, "dask.array", "Array"):
        data = data.compute()
    if labelled and isinstance(data, np.ndarray) and data.dtype.kind in _NUMBERS:
        refuse_missing(data, x.attrs, where)
    return data


def plain_array(x: Any, where: str, *, shift: bool) -> NDArray[Any]:
    """Return a table, nested list or array in CPU memory as a NumPy array.

    Parameters
    ----------
    x
        A pandas, polars or pyarrow table, a nested list of numbers, an array, or any other object
        that `numpy.asanyarray` accepts.
    where
        The name of ``x`` in error messages.
    shift
        Whether a constant may be subtracted from a column of integers that float64 cannot
        represent.

    Raises
    ------
    InputError
        For masked, missing or packed values, a table column without numbers, lists as items of an
        array or of different lengths, and integers that would lose digits when stored together with
        the other columns.
    """
    array = _plain(x, where, shift=shift)
    if array.dtype == object and array.size and isinstance(first := array.flat[0], _LISTS):
        raise InputError(
            f"{where}: expected numbers, got items of type {type(first).__name__}: if all have "
            "one length, numpy.stack(list(x)) makes an array of them"
        )
    return array


def _plain(x: Any, where: str, *, shift: bool) -> NDArray[Any]:
    if isinstance(x, np.ndarray):
        return unmasked(x, where)
    columns = _columns(x, where)
    if columns is not None:
        return _stacked(columns, where, shift=shift)
    if isinstance(x, list | tuple):
        return _of_lists(x, where, shift=shift)
    array = unmasked(x, where)
    attributes = getattr(x, "attrs", None)  # a dataset of h5py or zarr
    if isinstance(attributes, Mapping) and array.dtype.kind in _NUMBERS:
        unwritten = getattr(x, "fillvalue", getattr(x, "fill_value", None))
        refuse_missing(array, with_fill_value(attributes, unwritten), where)
    return array


def _columns(x: Any, where: str) -> list[NDArray[Any]] | None:
    """Return the columns of a table; None if ``x`` is no table.

    A pandas table with a single NumPy dtype gives one array with two axes.
    """
    if instance_of(x, "pandas", "DataFrame"):
        kinds = list(x.dtypes)
        if all(isinstance(kind, np.dtype) and kind == kinds[0] for kind in kinds):
            return [x.to_numpy()]
        named = [(x.columns[i], x.iloc[:, i]) for i in range(x.shape[1])]
        return [_of_pandas(name, column, where) for name, column in named]
    if instance_of(x, "polars", "DataFrame"):
        return [
            _of_arrow(column.name, column, int(column.null_count()), column.dtype, where)
            for column in x.get_columns()
        ]
    if instance_of(x, "pyarrow", "Table", "RecordBatch"):
        return [
            _of_arrow(name, column, int(column.null_count), column.type, where)
            for name, column in zip(x.schema.names, x.columns, strict=True)
        ]
    return None


def _of_pandas(name: Any, column: Any, where: str) -> NDArray[Any]:
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        return _numeric(column.to_numpy(), name, dtype, where)
    missing = column.isna().to_numpy()
    if missing.any():
        raise _nulls(where, name, int(missing.sum()), int(missing.argmax()))
    plain = getattr(dtype, "numpy_dtype", None)  # nullable and pyarrow dtypes have it
    try:
        return _numeric(column.to_numpy(dtype=plain), name, dtype, where)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _not_numbers(where, name, dtype) from error


def _of_arrow(name: str, column: Any, nulls: int, dtype: Any, where: str) -> NDArray[Any]:
    if nulls:
        missing = np.asarray(column.is_null())
        raise _nulls(where, name, nulls, int(missing.argmax()))
    return _numeric(np.asarray(column), name, dtype, where)


def _numeric(values: NDArray[Any], name: Any, dtype: Any, where: str) -> NDArray[Any]:
    if values.dtype.kind not in _NUMBERS or values.ndim != 1:
        raise _not_numbers(where, name, dtype)
    return values


def _nulls(where: str, name: Any, count: int, first: int) -> InputError:
    return InputError(
        f"{where} has {count} missing value{'s' * (count != 1)} in column {name!r}, the first in "
        f"row {first}: fill or drop missing values first"
    )


def _not_numbers(where: str, name: Any, dtype: Any) -> InputError:
    return InputError(
        f"{where} must contain real numbers, but column {name!r} has dtype {dtype}: drop or "
        f"convert the column"
    )


def _stacked(columns: list[NDArray[Any]], where: str, *, shift: bool) -> NDArray[Any]:
    if len(columns) == 1 and columns[0].ndim == 2:
        return columns[0]
    if len({column.dtype for column in columns}) > 1:
        # NumPy would round all columns to a common dtype: int64 and uint64 to float64.
        columns = [
            column
            if column.dtype.kind == "f"
            else exact_floats(column[:, None], where, shift=shift, column=(position,))[:, 0]
            for position, column in enumerate(columns)
        ]
    return np.stack(columns, axis=1) if columns else np.empty((0, 0))


def _of_lists(x: list[Any] | tuple[Any, ...], where: str, *, shift: bool) -> NDArray[Any]:
    refuse_masked_items(x, where)
    lengths = [
        len(row) if isinstance(row, _LISTS) and getattr(row, "ndim", None) != 0 else None
        for row in x
    ]
    for i, length in enumerate(lengths):
        if length != lengths[0] and None not in (length, lengths[0]):
            raise InputError(
                f"{where}: expected rows of one length, got the length {lengths[0]} in row 0 and "
                f"{length} in row {i}"
            )
    array = np.asarray(x)
    if array.dtype != np.float64 or array.ndim < 2 or not (abs(array) >= MAX_EXACT).any():
        return array
    # NumPy rounded integers mixed with floats, and integers beyond int64 and uint64.
    items = np.array(x, dtype=object)
    if items.shape != array.shape:
        return array
    for position in np.ndindex(array.shape[1:]):
        column = items[(slice(None), *position)].tolist()
        whole = [item for item in column if isinstance(item, int | np.integer)]
        if all(int(float(item)) == int(item) for item in whole):
            continue
        low, high = min(whole), max(whole)
        if not shift or len(whole) != len(column) or high - low > MAX_EXACT:
            raise lost_digits(where, position, int(low), int(high))
        array[(slice(None), *position)] = [float(int(item) - int(low)) for item in column]
    return array
