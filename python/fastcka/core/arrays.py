"""The caller's arrays, as views that the compiled pass reads in place."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.arrays import exact_floats, plain_array, refuse_special_tensor, unwrapped
from fastcka.core.backend import STAGING_LANES
from fastcka.core.base_plan import round_up
from fastcka.core.device_arrays import device_view, on_device, plain_views
from fastcka.core.members import not_an_array
from fastcka.core.sums import non_finite_text
from fastcka.core.views import (
    ITEMSIZE,
    NATIVE,
    ArrayView,
    DeviceView,
    View,
    check_shape,
    check_torch_dtype,
)
from fastcka.errors import DeviceError, InputError

_DLPACK_CPU = 1


class StagedRepresentation:
    """A representation in a buffer that the pass may centre in place, without a copy.

    For code that fills a buffer and does not need it afterwards. The buffer is float32. Both of its
    extents are padded to whole cache lines, so that the pass can rearrange it.
    """

    def __init__(self, base: NDArray[np.float32], n_examples: int, n_features: int) -> None:
        self._base: NDArray[np.float32] | None = base
        self._shape = (n_examples, n_features)

    @classmethod
    def empty(
        cls, n_examples: int, n_features: int, *, room: NDArray[np.uint8] | None = None
    ) -> StagedRepresentation:
        """Return an uninitialised float32 buffer for (n_examples, n_features) values.

        It takes the first `bytes_of` bytes of ``room``, or new memory.
        """
        if n_examples < 1 or n_features < 1:
            raise InputError(
                f"a representation needs at least one example and one feature, "
                f"got ({n_examples}, {n_features})"
            )
        rows, pitch = _padded(n_examples), _padded(n_features)
        if room is None:
            room = np.empty(cls.bytes_of(n_examples, n_features), np.uint8)
        skip = -room.ctypes.data % (4 * STAGING_LANES)
        base = room[skip : skip + 4 * rows * pitch].view(np.float32).reshape(rows, pitch)
        return cls(base, n_examples, n_features)

    @staticmethod
    def bytes_of(n_examples: int, n_features: int) -> int:
        """Return the bytes of the buffer that `empty` allocates."""
        return 4 * (_padded(n_examples) * _padded(n_features) + STAGING_LANES)

    @property
    def array(self) -> NDArray[np.float32]:
        """The writable (n_examples, n_features) view to fill; its rows are not adjacent."""
        if self._base is None:
            raise InputError("this staged representation was used up by an earlier pass")
        return self._base[: self._shape[0], : self._shape[1]]

    def view(self) -> ArrayView:
        """Return the buffer as a view for the pass."""
        array = self.array
        pitch = _padded(self._shape[1]) * array.itemsize
        return ArrayView(
            array, array.ctypes.data, *self._shape, pitch, array.itemsize, "float32", staged=True
        )

    def consume(self) -> None:
        """Mark the buffer as used: a pass overwrites it, so nothing else may read it."""
        self._base = None


def _padded(extent: int) -> int:
    return round_up(extent, STAGING_LANES)


def as_views(arrays: Sequence[Any], names: Sequence[str]) -> tuple[View, ...]:
    """View each array; see `as_view`."""
    plain = plain_views()
    return tuple(
        [
            (type(x) in plain and plain[type(x)](x)) or as_view(x, name)
            for x, name in zip(arrays, names, strict=True)
        ]
    )


def as_view(x: Any, name: str, *, shift: bool = True) -> View:
    """View an array (n_examples, ...) as (n_examples, n_features), in place if possible.

    Parameters
    ----------
    x
        A NumPy array, a `StagedRepresentation`, a torch tensor, a cupy array, or any object that
        supports DLPack or the array protocol, on the CPU or on a CUDA device; or a table of pandas,
        polars or pyarrow, or an xarray DataArray. Axes after the first are flattened. Integers and
        booleans become float32 if float32 represents the whole dtype, otherwise float64.
    name
        The name of the array in error messages.
    shift
        Whether a constant is subtracted from a column that float64 cannot represent: from integers
        the smallest, from extended floats the median. Otherwise such a column is an error.

    Raises
    ------
    InputError
        For fewer than two axes, an empty axis, values that are not real numbers, masked or missing
        values, or integers that float64 cannot represent (even after the subtraction).
    DeviceError
        For an array that is neither in the memory of the CPU nor on a CUDA device.
    """
    if type(x) is np.ndarray and x.dtype in NATIVE:  # most arrays need no conversion
        return _of_floats(x, name)
    if isinstance(x, StagedRepresentation):
        return x.view()
    x = unwrapped(x, name)
    if on_device(x):
        return device_view(x, name)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return _of_torch(x, name, shift)
    return _of_numpy(_to_numpy(x, name, shift), name, shift)


def as_float64(x: Any, name: str, *, shift: bool = True) -> NDArray[np.float64]:
    """Return a copy of an array on the CPU as (n_examples, n_features) in float64.

    `shift` and the errors are those of `as_view`; NaN, infinite values and an array on a CUDA
    device are errors too.
    """
    values = float64_of(x, name, shift=shift)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise InputError(non_finite_text(name, len(wrong), *wrong[0].tolist()))
    return values


def float64_of(x: Any, name: str, *, shift: bool) -> NDArray[np.float64]:
    """Return the same as `as_float64`, also with NaN and infinite values."""
    view = as_view(x, name, shift=shift)
    if isinstance(view, DeviceView):
        raise DeviceError(f"{name} is on a CUDA device: copy it to the host first")
    return float64_of_view(view)


def float64_of_view(view: ArrayView) -> NDArray[np.float64]:
    """Return a copy of a view on the CPU in float64, (n_examples, n_features)."""
    owner: Any = view.owner
    array = owner if isinstance(owner, np.ndarray) else owner.double().numpy()  # of torch
    return np.array(array, dtype=np.float64).reshape(view.n_examples, view.n_features)


def _of_torch(x: Any, name: str, shift: bool) -> ArrayView:
    if x.device.type != "cpu":
        raise DeviceError(
            f"{name} is a torch tensor on {x.device}, which is neither the CPU nor a CUDA device: "
            f"move it to one of them"
        )
    refuse_special_tensor(x, name)
    x = x.detach().resolve_neg()
    dtype = str(x.dtype).removeprefix("torch.")
    check_torch_dtype(dtype, name)
    if dtype not in ITEMSIZE:
        return _of_numpy(x.numpy(), name, shift)
    check_shape(tuple(x.shape), name)
    x = x.reshape(x.shape[0], -1)
    size = x.element_size()
    return ArrayView(
        x, x.data_ptr(), x.shape[0], x.shape[1], x.stride(0) * size, x.stride(1) * size, dtype
    )


def _to_numpy(x: Any, name: str, shift: bool) -> NDArray[Any]:
    if isinstance(x, str | bytes | os.PathLike):
        raise InputError(
            f"{name} must be an array, got {x!r}; read_array, from "
            "fastcka.store, reads one from a file"
        )
    if isinstance(x, np.ndarray):
        return plain_array(x, name, shift=shift)
    if isinstance(x, Mapping):
        raise not_an_array(x, name)
    if hasattr(x, "__dlpack_device__"):
        kind, index = x.__dlpack_device__()
        if int(kind) != _DLPACK_CPU:
            raise DeviceError(
                f"{name} is on a device (DLPack type {int(kind)}, index {index}) that is neither "
                f"the CPU nor a CUDA device: copy it to the host first"
            )
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError):
            pass  # NumPy's DLPack lacks the dtype, for example bfloat16; use the array protocol
    try:
        array = plain_array(x, name, shift=shift)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be an array of shape (n_examples, n_features), got {type(x).__name__}: "
            f"{error}"
        ) from error
    if array.dtype == object:
        raise InputError(
            f"{name} must be an array of real numbers, got {type(x).__name__} (dtype object)"
        )
    return array


def _of_numpy(x: NDArray[Any], name: str, shift: bool) -> ArrayView:
    if x.dtype.kind not in "biuf" and x.dtype.name not in ITEMSIZE:
        raise _not_real(x.dtype, name)
    check_shape(x.shape, name)
    return _of_floats(_widened(x, name, shift), name)


def _of_floats(x: NDArray[Any], name: str) -> ArrayView:
    check_shape(x.shape, name)
    if x.ndim > 2:
        x = x.reshape(x.shape[0], -1)
    address = x.__array_interface__["data"][0]  # takes a tenth of the time of `ctypes`
    (n, d), (row_stride, column_stride) = x.shape, x.strides
    dtype = NATIVE.get(x.dtype) or x.dtype.name
    return ArrayView(x, address, n, d, row_stride, column_stride, dtype)


def _widened(x: NDArray[Any], name: str, shift: bool) -> NDArray[Any]:
    """Return an array in native byte order with a dtype of `ITEMSIZE`; a copy only if necessary."""
    if x.dtype in NATIVE:
        return x
    if x.dtype.name in ITEMSIZE:
        return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))
    return exact_floats(x, name, shift=shift)


def _not_real(dtype: np.dtype[Any], name: str) -> InputError:
    remedy = ""
    if dtype.names:
        remedy = ": numpy.lib.recfunctions.structured_to_unstructured makes an array of its fields"
    elif dtype.kind in "mM":
        remedy = ": x.astype('int64') counts its units"
    elif dtype.kind == "c":
        remedy = ": give the real and the imaginary part as features"
    return InputError(f"{name} must hold real numbers, got dtype {dtype}{remedy}")
