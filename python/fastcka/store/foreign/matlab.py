"""Variables in MATLAB's files, which are HDF5 from version 7.3 on.

MATLAB writes a variable of size (n, d) as a dataset of shape (d, n), since its arrays have the
first axis adjacent in memory and those of HDF5 the last one. The attribute ``MATLAB_class`` marks
such a dataset. It is read with the axes that MATLAB shows, so that a row for each example in MATLAB
is a row for each example here.
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
"""What MATLAB keeps the contents of cells and objects in; no variables of the user."""

_NUMBERS: Final = {
    *("double", "single", "logical"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_REMEDIES: Final = {
    "cell": "save each cell's array as a variable, or as one array by cell2mat",
    "char": "text is no representation",
    "string": "text is no representation",
    "table": "save its numbers by table2array",
    "datetime": "save its numbers by posixtime",
}


def matlab_class(path: Path, data: h5py.Dataset) -> str | None:
    """Return the class that MATLAB gives to a variable, or None if MATLAB did not write it."""
    return safe.text_attribute(path, data, "MATLAB_class")


def refuse_matlab_sparse(path: Path, group: h5py.Group) -> None:
    """Refuse a group that is a sparse matrix: its datasets are no representations."""
    with safe.named_errors(path, group):
        sparse = h5a.exists(group.id, b"MATLAB_sparse")
    if sparse:
        raise InputError(f"{path}:{group.name}: a MATLAB sparse matrix; save full(x) instead")


def check_matlab_variable(path: Path, data: h5py.Dataset, kind: str) -> None:
    """Refuse a variable of MATLAB's that is no array of real numbers.

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
            f"{where}: a MATLAB variable of class {kind}; expected a numeric or logical array: "
            f"{remedy}"
        )
    if safe.integer_attribute(path, data, "MATLAB_empty"):
        raise InputError(f"{where}: an empty MATLAB array; expected at least one value")
    if fields == ("real", "imag"):
        raise InputError(
            f"{where}: a complex MATLAB array; expected real numbers: save [real(x) imag(x)], with "
            f"both parts as features, or abs(x)"
        )


def vector_shape_in_matlab(stored: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that MATLAB shows, with one axis for a row or a column vector."""
    if len(stored) == 2 and 1 in stored:
        return (max(stored),)
    return stored[::-1]


def vector_in_matlab(values: NDArray[Any]) -> NDArray[Any]:
    """Return a vector with one axis; whole numbers of type double, MATLAB's usual, as integers."""
    vector = values.reshape(-1)
    if vector.dtype.kind != "f" or not (np.abs(vector) <= MAX_EXACT).all():
        return vector
    whole = vector.astype(np.int64)
    return whole if (whole == vector).all() else vector


def as_in_matlab(values: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return a variable with the axes that MATLAB shows; logical values as booleans."""
    return (values.astype(np.bool_) if kind == "logical" else values).T
