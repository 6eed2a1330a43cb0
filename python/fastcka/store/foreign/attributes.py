"""Attributes of HDF5 datasets that mark values as missing or packed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from h5py import h5a, h5d, h5s, h5t

from fastcka.arrays import MISSING_ATTRIBUTES, refuse_missing, with_fill_value
from fastcka.errors import InputError
from fastcka.store.hdf5 import safety as safe

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

_MAX_BYTES: Final = 64 << 10


def refuse_missing_values(
    path: Path, data: h5py.Dataset, values: NDArray[Any], rows: str = ""
) -> None:
    """Refuse the values of a dataset if its attributes mark some as missing or packed.

    ``rows`` says which rows they are, if not all.

    Raises
    ------
    InputError
        Names the file, the dataset and the attribute; see `fastcka.arrays.refuse_missing`.
    """
    attributes: dict[str, Any] = {}
    for name in MISSING_ATTRIBUTES:
        with safe.named_errors(path, data):
            exists = h5a.exists(data.id, name.encode("ascii"))
        if exists:
            attributes[name] = _attribute(path, data, name)
    fill_value = None
    with safe.named_errors(path, data):
        creation = data.id.get_create_plist()
        if creation.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
            fill = np.zeros((), data.dtype)
            creation.get_fill_value(fill)
            fill_value = fill[()]
    refuse_missing(values, with_fill_value(attributes, fill_value), f"{path}:{data.name}{rows}")


def _attribute(path: Path, data: h5py.Dataset, name: str) -> Any:
    with safe.named_errors(path, data):
        attribute = h5a.open(data.id, name.encode("ascii"))
        kind = attribute.get_type()
        numbers = isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID)
        numbers = numbers and attribute.get_space().get_simple_extent_type() != h5s.NULL
        if numbers and attribute.get_storage_size() <= _MAX_BYTES:
            value = np.empty(attribute.shape, attribute.dtype)
            attribute.read(value)
            return value
        text = isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str()
    if text:
        return safe.text_attribute(path, data, name)
    raise InputError(
        f"{path}:{data.name}: attribute {name!r}: expected numbers or fixed-length text of at most "
        f"{_MAX_BYTES} bytes, to compare the values with; correct or delete the attribute"
    )
