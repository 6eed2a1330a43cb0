"""Variables in MATLAB files, which are HDF5 from version 7.3.

MATLAB stores arrays in column-major order and HDF5 in row-major order. MATLAB therefore writes a
variable of size (n, d) as a dataset of shape (d, n), with the attribute ``MATLAB_class``. fastcka
reads such a dataset with the axes that MATLAB shows, so each row is still one example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from h5py import h5a

from fastcka.arrays import MAX_EXACT
from fastcka.errors import InputError
from fastcka.store.hdf5 import safety as safe

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

INTERNAL_GROUPS: Final = {"#refs#", "#subsystem#"}
"""Groups in which MATLAB stores the contents of cells and objects; they are not variables."""

_NUMBERS: Final = {
    *("double", "single", "logical"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_REMEDIES: Final = {
    "cell": "save each cell's array as a variable, or all as one array with cell2mat",
    "char": "text is not a representation",
    "string": "text is not a representation",
    "table": "save its numbers with table2array",
    "datetime": "save its numbers with posixtime",
}


def matlab_class(path: Path, data: h5py.Dataset) -> str | None:
    """Return the MATLAB class of a variable, or None if MATLAB did not write it."""
    return safe.text_attribute(path, data, "MATLAB_class")


def refuse_matlab_sparse(path: Path, group: h5py.Group) -> None:
    """Refuse a group that is a sparse matrix, because its datasets are not representations."""
    with safe.named_errors(path, group):
        sparse = h5a.exists(group.id, b"MATLAB_sparse")
    if sparse:
        raise InputError(
            f"{path}:{group.name}: expected a dense array, got a MATLAB sparse matrix; save "
            "full(x) instead"
        )


def check_matlab_variable(path: Path, data: h5py.Dataset, kind: str) -> None:
    """Refuse a MATLAB variable that is not an array of real numbers.

    Raises
    ------
    InputError
        For a cell array, text, an object, a complex or an empty array.
    """
    where = f"{path}:{data.name}"
    with safe.named_errors(path, data):
        an_object = h5a.exists(data.id, b"MATLAB_object_decode")
        fields = data.dtype.names
    if kind not in _NUMBERS or an_object:
        remedy = _REMEDIES.get(kind, "save its numbers as an array of type double")
        raise InputError(
            f"{where}: expected a numeric or logical array, got a MATLAB variable of class {kind}: "
            f"{remedy}"
        )
    if safe.integer_attribute(path, data, "MATLAB_empty"):
        raise InputError(f"{where}: expected at least one value, got an empty MATLAB array")
    if fields == ("real", "imag"):
        raise InputError(
            f"{where}: expected real numbers, got a complex MATLAB array: save [real(x) imag(x)], "
            f"with both parts as features, or abs(x)"
        )


def vector_shape_in_matlab(stored: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that MATLAB shows; a row or column vector has one axis."""
    if len(stored) == 2 and 1 in stored:
        return (max(stored),)
    return stored[::-1]


def vector_in_matlab(values: NDArray[Any]) -> NDArray[Any]:
    """Return a vector with one axis; whole numbers of type double (the default) as integers."""
    vector = values.reshape(-1)
    if vector.dtype.kind != "f" or not (np.abs(vector) <= MAX_EXACT).all():
        return vector
    whole = vector.astype(np.int64)
    return whole if (whole == vector).all() else vector


def as_in_matlab(values: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return a variable with the axes that MATLAB shows; logical values become booleans."""
    return (values.astype(np.bool_) if kind == "logical" else values).T
