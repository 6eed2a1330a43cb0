"""Inputs with missing values, which a plain array would show as values."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError

_REMEDY: Final = "fill or drop its masked values first"


def unmasked(x: Any, where: str) -> NDArray[Any]:
    """Return what NumPy makes of an object, once it is known to have no mask.

    Raises
    ------
    InputError
        If it is a masked array, or becomes one with masked values (a netCDF4 variable does).
    """
    array = np.asanyarray(x)
    if isinstance(x, np.ma.MaskedArray) or np.ma.is_masked(array):
        raise InputError(f"{where} is a masked array: {_REMEDY}")
    return np.asarray(array)


def refuse_masked_items(x: list[Any] | tuple[Any, ...], where: str) -> None:
    """Refuse a nested list that holds masked arrays: NumPy would drop their masks."""
    for item in x:
        if isinstance(item, np.ma.MaskedArray):
            raise InputError(f"{where} holds a masked array in a list: {_REMEDY}")
        if isinstance(item, list | tuple):
            refuse_masked_items(item, where)


def refuse_special_tensor(x: Any, where: str) -> None:
    """Refuse torch tensors whose values are not those of their memory, one by one.

    Masked, nested, distributed and fake tensors are subclasses that answer every operation
    themselves; the memory that such a tensor names may not even exist.

    Raises
    ------
    InputError
        If it is sparse, quantized, nested, or of such a subclass; the message begins with
        ``where``.
    """
    dispatch = getattr(type(x), "__torch_dispatch__", None)
    plain = getattr(dispatch, "__name__", "") == "_disabled_torch_dispatch_impl"
    subclass = not (plain or dispatch is None)
    if x.is_nested:
        kind, remedy = "a nested tensor", ".to_padded_tensor(value)"
    elif subclass:
        kind = f"a {type(x).__name__}"
        remedy = ".to_tensor(value) if it is masked, by .full_tensor() if it is distributed"
    elif x.layout != sys.modules["torch"].strided:
        kind, remedy = f"layout {x.layout}", ".to_dense()"
    elif x.is_quantized:
        kind, remedy = f"a quantized tensor ({x.dtype})", ".dequantize()"
    else:
        return
    raise InputError(f"{where} must be a dense torch tensor, got {kind}: convert it by {remedy}")
