"""Attributes that mark stored values as missing or packed.

They follow the netCDF conventions (CF 1.11, sections 2.5.1 and 8.1), which HDF5 files use too.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError

_FILL_VALUE: Final = "fill value"  # a property of a dataset, not an attribute
_MISSING: Final = ("_FillValue", "missing_value", _FILL_VALUE)
_PACKED: Final = {"scale_factor": 1.0, "add_offset": 0.0}  # name -> the value without effect
MISSING_ATTRIBUTES: Final = (
    *("_FillValue", "missing_value", "valid_min", "valid_max", "valid_range"),
    *(*_PACKED, "_Unsigned"),
)
_BASE64_FLOAT: Final = re.compile(r"[A-Za-z0-9+/]{11}=")  # 8 bytes
_SAVE: Final = "and save the array again"


def refuse_missing(values: NDArray[Any], attributes: Mapping[str, Any], where: str) -> None:
    """Refuse an array whose attributes mark missing or packed values.

    Parameters
    ----------
    values
        The stored values, any shape.
    attributes
        Name -> value. Only the names in `MISSING_ATTRIBUTES` matter.
    where
        The file and its dataset, or the argument, for error messages.

    Raises
    ------
    InputError
        If a value equals one of the missing values or is outside the valid range, if the values are
        scaled or shifted, or if an attribute is not a number.
    """
    for name, neutral in _PACKED.items():
        if name in attributes and any(n != neutral for n in _numbers(attributes, name, where)):
            raise InputError(
                f"{where}: the stored values are packed: attribute {name!r} is "
                f"{attributes[name]}. The true values are stored * scale_factor + add_offset: "
                f"compute them (xarray.open_dataset does this), {_SAVE}"
            )
    for name in _MISSING:
        if name in attributes:
            for number in _numbers(attributes, name, where):
                what = f"equal {_called(name)} ({number}), which marks missing values"
                _refuse(_equal(values, number), what, where)
    low, high = _valid_range(attributes, where)
    if low is not None:
        _refuse(values < low, f"are below the smallest valid value ({low}) by attribute", where)
    if high is not None:
        _refuse(values > high, f"are above the largest valid value ({high}) by attribute", where)
    if str(attributes.get("_Unsigned", "")).lower() == "true" and values.dtype.kind == "i":
        what = "are negative, but attribute '_Unsigned' declares unsigned integers"
        _refuse(values < 0, what, where, f"convert them with x.view('u{values.dtype.itemsize}')")


def with_fill_value(attributes: Mapping[str, Any], fill_value: Any) -> dict[str, Any]:
    """Return the relevant attributes, and the dataset's fill value for positions never written.

    A fill value of 0, the default, is treated as an ordinary value. xarray writes the fill value
    of a zarr array (format 3) as the text of the bytes of a float64 in base 64, which is decoded.
    """
    relevant = {name: attributes[name] for name in MISSING_ATTRIBUTES if name in attributes}
    text = relevant.get("_FillValue")
    if isinstance(text, str) and _BASE64_FLOAT.fullmatch(text):
        (relevant["_FillValue"],) = struct.unpack("<d", binascii.a2b_base64(text))
    if np.asarray(fill_value).dtype.kind in "iuf" and fill_value != 0:
        relevant[_FILL_VALUE] = fill_value
    return relevant


def _called(name: str) -> str:
    return "the dataset's fill value" if name == _FILL_VALUE else f"attribute {name!r}"


def _numbers(attributes: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = np.asarray(attributes[name])
    if value.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: {_called(name)} is {str(attributes[name])!r}; expected a number to compare "
            f"the stored values with: correct or delete the attribute"
        )
    numbers: list[Any] = value.ravel().tolist()
    return numbers


def _valid_range(attributes: Mapping[str, Any], where: str) -> tuple[Any, Any]:
    def first(name: str) -> Any:
        numbers = _numbers(attributes, name, where) if name in attributes else []
        return numbers[0] if numbers else None

    if "valid_range" in attributes:
        numbers = _numbers(attributes, "valid_range", where)
        if len(numbers) == 2:
            return numbers[0], numbers[1]
    return first("valid_min"), first("valid_max")


def _equal(values: NDArray[Any], number: Any) -> NDArray[np.bool_]:
    """Where values equal a number, which may have another type than the values."""
    equal: NDArray[np.bool_] = np.zeros(values.shape, np.bool_)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            equal = np.isnan(values) if np.isnan(number) else values == values.dtype.type(number)
    elif np.isfinite(number) and number == int(number):
        kind = np.iinfo(values.dtype) if values.dtype.kind != "b" else np.iinfo(np.uint8)
        if kind.min <= number <= kind.max:
            equal = values == int(number)
    return equal


def _refuse(
    bad: NDArray[np.bool_], what: str, where: str, remedy: str = "fill or drop them"
) -> None:
    count = int(np.count_nonzero(bad))
    if count:
        first = [int(index) for index in np.unravel_index(int(np.argmax(bad)), bad.shape)]
        raise InputError(
            f"{where}: {count} of {bad.size} values {what}; the first is at {first}: "
            f"{remedy}, {_SAVE}"
        )
