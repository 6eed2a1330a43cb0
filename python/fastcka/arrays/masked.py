"""Refusing masked arrays and special tensors, whose missing values would turn into numbers."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError

_REMEDY: Final = "fill or drop the masked values first"


def unmasked(x: Any, where: str) -> NDArray[Any]:
    """Convert an object without a mask to a NumPy array.

    Raises
    ------
    InputError
        If ``x`` is a masked array, or converts to one with masked values (a netCDF4 variable does).
    """
    array = np.asanyarray(x)
    if _is_masked(x) or (_is_masked(array) and np.ma.is_masked(array)):
        raise InputError(f"{where} is a masked array: {_REMEDY}")
    return np.asarray(array)


def refuse_masked_items(x: list[Any] | tuple[Any, ...], where: str) -> None:
    """Refuse a nested list that contains masked arrays: NumPy would drop their masks."""
    for item in x:
        if _is_masked(item):
            raise InputError(f"{where} contains a masked array in a list: {_REMEDY}")
        if isinstance(item, list | tuple):
            refuse_masked_items(item, where)


def _is_masked(x: Any) -> bool:
    """Whether ``x`` is a masked array. NumPy imports their module on first use, in 30 ms."""
    module = sys.modules.get("numpy.ma")
    return module is not None and isinstance(x, module.MaskedArray)


def refuse_special_tensor(x: Any, where: str) -> None:
    """Refuse torch tensors whose memory does not contain their values one by one.

    Masked, distributed and fake tensors are subclasses that implement every operation themselves.
    The memory address of such a tensor may not even exist.

    Raises
    ------
    InputError
        If the tensor is sparse, quantized or nested, or of such a subclass. The message begins
        with ``where``.
    """
    dispatch = getattr(type(x), "__torch_dispatch__", None)
    plain = getattr(dispatch, "__name__", "") == "_disabled_torch_dispatch_impl"
    subclass = not (plain or dispatch is None)
    if x.is_nested:
        kind, remedy = "a nested tensor", ".to_padded_tensor(value)"
    elif subclass:
        kind = f"a {type(x).__name__}"
        remedy = ".to_tensor(value) if it is masked, .full_tensor() if it is distributed"
    elif x.layout != sys.modules["torch"].strided:
        kind, remedy = f"layout {x.layout}", ".to_dense()"
    elif x.is_quantized:
        kind, remedy = f"a quantized tensor ({x.dtype})", ".dequantize()"
    else:
        return
    raise InputError(f"{where} must be a dense torch tensor, got {kind}: convert it with {remedy}")
