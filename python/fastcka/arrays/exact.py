"""Integers and extended floats as float64, without the digits that float64 does not have.

CKA and HSIC do not depend on a constant that is added to a column. So where float64 cannot hold the
values of a column, a constant is subtracted from it first, in the arithmetic of its own type.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError

MAX_EXACT: Final = 2**53
"""Float64 holds every integer from -2**53 to 2**53."""


def exact_floats(
    x: NDArray[Any], where: str, *, shift: bool = True, column: tuple[int, ...] = ()
) -> NDArray[Any]:
    """Return booleans, integers or extended floats as float32 or float64, up to a column's offset.

    Parameters
    ----------
    x
        (n_examples, ...); a column is a position in the axes after the first.
    where
        What error messages call it.
    shift
        Whether a constant may be subtracted from a column.
    column
        What error messages call the column, where there is only one.

    Returns
    -------
    ndarray
        float32 for integers of at most 16 bits, else float64. A column of integers that float64
        cannot hold is returned with its smallest value subtracted; one of extended floats with its
        median subtracted.

    Raises
    ------
    InputError
        If float64 cannot hold a column of integers, even so, or an extended float is too large.
    """
    if x.dtype.kind == "f":
        return _of_extended(x, where)
    if x.dtype.itemsize <= 2:
        return x.astype(np.float32)
    if x.dtype.itemsize <= 4 or x.size == 0:
        return x.astype(np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    far = (high > MAX_EXACT) | (low < -MAX_EXACT)
    exact = x.astype(np.float64)
    if not far.any():
        return exact
    values = x[:, far].astype(np.uint64)  # modulo 2**64: no sum or difference overflows
    if shift:
        values = values - low[far].astype(np.uint64)
        exact[:, far] = values.astype(np.float64)
    else:
        values = np.where(x[:, far] < 0, np.uint64(0) - values, values)
    wrong = far.copy()
    wrong[far] = ~_holds(values).all(axis=0)
    if wrong.any():
        at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise lost_digits(where, column or at, int(low[at]), int(high[at]))
    return exact


def lost_digits(where: str, at: tuple[Any, ...], low: int, high: int) -> InputError:
    """Return the error of a column of integers whose span is too wide for float64."""
    column = ", ".join(str(int(position)) for position in at)
    return InputError(
        f"{where} holds integers from {low} to {high} in column {column}: float64 cannot hold them "
        f"without rounding (it holds integers up to 2**53). Subtract a constant from the column, "
        f"as x - x.min(axis=0) does, if that makes them small; drop it if it holds identifiers; or "
        f"convert it by astype('float64') if the rounding does not matter"
    )


def _holds(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Where float64 holds an unsigned integer exactly: at most 53 bits from first to last one."""
    lowest = values & (np.uint64(0) - values)
    return values // np.maximum(lowest, np.uint64(1)) <= np.uint64(MAX_EXACT)


def _of_extended(x: NDArray[Any], where: str) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        exact: NDArray[np.float64] = x.astype(np.float64)
    if (np.isinf(exact) & np.isfinite(x)).any():
        raise InputError(f"{where} holds {x.dtype} values that are too large for float64")
    rounded = ((exact != x) & np.isfinite(x)).any(axis=0)
    if rounded.any():
        columns = x[:, rounded]
        exact[:, rounded] = columns - np.median(columns, axis=0)
    return exact
