"""A layer to be written: an array of any library, converted a few rows at a time."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.arrays import MAX_EXACT, plain_array, refuse_special_tensor, unwrapped
from fastcka.errors import InputError
from fastcka.store.file.dtypes import STORED_DTYPES, non_finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Exact in float32. The caller must choose a dtype for wider integers.
_EXACT_IN_FLOAT32: Final = {"bool", "int8", "uint8", "int16", "uint16"}
_SCAN_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class LayerArray:
    """A layer to be written: (n_examples, n_features) values and their stored dtype.

    Attributes
    ----------
    name
        Layer name, for messages.
    values
        The array that the caller passed, (n_examples, ...), in any strides and byte order;
        bfloat16 as bits.
    dtype
        Name of the stored dtype.
    """

    name: str
    values: NDArray[Any]
    dtype: str

    @property
    def n_examples(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns once the axes after the first are flattened."""
        return int(np.prod(self.values.shape[1:], dtype=np.int64))

    @property
    def row_bytes(self) -> int:
        """Size of a stored row."""
        return self.n_features * STORED_DTYPES[self.dtype].itemsize

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows as a (stop - start, n_features) little-endian array in C order.

        Raises
        ------
        InputError
            If the rows contain NaN or infinities.
        """
        rows = self._canonical(start, stop)
        if non_finite(rows, self.dtype).any():
            raise self._non_finite_error()
        return rows

    def _canonical(self, start: int, stop: int) -> NDArray[Any]:
        rows = self.values[start:stop].reshape(stop - start, self.n_features)
        return np.ascontiguousarray(rows, dtype=STORED_DTYPES[self.dtype])

    def _non_finite_error(self) -> InputError:
        count = 0
        first: tuple[int, int] | None = None
        step = max(1, _SCAN_BYTES // self.row_bytes)
        for start in range(0, self.n_examples, step):
            rows = self._canonical(start, min(start + step, self.n_examples))
            bad = non_finite(rows, self.dtype)
            count += int(np.count_nonzero(bad))
            if first is None and bad.any():
                row, column = np.argwhere(bad)[0]
                first = start + int(row), int(column)
        total = self.n_examples * self.n_features
        return InputError(
            f"layers[{self.name!r}]: expected finite values, got {count} NaN or Inf of {total}, "
            f"the first at [example, feature] = {list(first or ())}"
        )


def as_layer_array(name: str, value: object) -> LayerArray:
    """Return an array-like object as a layer to be written.

    The object is a NumPy array, a torch CPU tensor, an object that supports DLPack on the CPU, a
    table of pandas, polars or pyarrow, an xarray DataArray, or an object that `numpy.asarray`
    accepts. Booleans and integers of at most 16 bits become float32, which is exact. Wider integers
    are refused.

    Raises
    ------
    InputError
        If the object is not a numeric array in CPU memory with at least two axes and one value.
    """
    where = f"layers[{name!r}]"
    array, dtype = _as_numpy(where, value)
    if array.ndim < 2:
        raise InputError(
            f"{where}: expected (n_examples, n_features) or more axes, got shape {array.shape}"
        )
    if array.size == 0:
        raise InputError(f"{where}: expected at least one value, got shape {array.shape}")
    layer = LayerArray(name, array, dtype)
    if layer.row_bytes >= 2**32 - 4:
        raise InputError(
            f"{where}: expected rows of less than 4 GiB, the limit of HDF5, got {layer.row_bytes} "
            "bytes"
        )
    return layer


def _as_numpy(where: str, value: object) -> tuple[NDArray[Any], str]:
    value = unwrapped(value, where)
    if isinstance(value, Mapping):
        raise InputError(
            f"{where}: expected an array, got a mapping with the keys {[*value][:4]}: give every "
            "array a layer name"
        )
    if isinstance(value, list | tuple) and value and getattr(value[0], "ndim", 0) > 1:
        raise InputError(
            f"{where}: expected an array, got a {type(value).__name__} of {len(value)} arrays, the "
            f"first of shape {tuple(value[0].shape)}: if these are outputs of a module, pass one "
            "of them; if they are examples, pass numpy.stack(list)"
        )
    torch = sys.modules.get("torch")  # a tensor exists only if torch is already imported
    if torch is not None and isinstance(value, torch.Tensor):
        return _from_torch(where, value, torch)
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            array = np.from_dlpack(value)
        else:  # preferred if both exist: NumPy's DLPack does not support bfloat16
            array = plain_array(value, where, shift=False)
    except InputError:
        raise
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: expected an array in CPU memory, got {type(value).__name__}: {error}"
        ) from error
    return _numpy_format(where, array)


def _numpy_format(where: str, array: NDArray[Any]) -> tuple[NDArray[Any], str]:
    name = array.dtype.name
    if name == "bfloat16":  # from ml_dtypes, which JAX uses
        return array.view(np.uint16), "bfloat16"
    if name in STORED_DTYPES:
        return array, name
    if name in _EXACT_IN_FLOAT32:
        return array, "float32"
    remedy = _remedy(array) if array.dtype.kind in "iu" else ""
    raise InputError(
        f"{where}: expected float16, bfloat16, float32 or float64 values (booleans and integers "
        f"of 16 bits or fewer become float32), got {name}{remedy}"
    )


def _remedy(integers: NDArray[Any]) -> str:
    """Return how to convert integers without losing digits, as the end of a message."""
    low, high = int(integers.min(initial=0)), int(integers.max(initial=0))
    if low < -MAX_EXACT or high > MAX_EXACT:
        return (
            f" from {low} to {high}, which float64 cannot represent: if the range of each column "
            'is small, subtract a constant, as in (x - x.min(axis=0)).astype("float64")'
        )
    if low < -(2**24) or high > 2**24:
        return '; convert them with x.astype("float64"), which is exact'
    return '; convert them with x.astype("float32") or x.astype("float64")'


def _from_torch(where: str, tensor: Any, torch: Any) -> tuple[NDArray[Any], str]:
    refuse_special_tensor(tensor, where)
    if tensor.device.type != "cpu":
        raise InputError(
            f"{where}: expected a tensor on the CPU, got one on {tensor.device}; call .cpu() first"
        )
    plain = tensor.detach().resolve_neg()
    if plain.dtype == torch.bfloat16:
        return plain.view(torch.int16).numpy().view(np.uint16), "bfloat16"
    try:
        array = plain.numpy()
    except TypeError as error:
        raise InputError(f"{where}: expected float values, got {plain.dtype}") from error
    return _numpy_format(where, array)
