"""Converting integers and extended floats to float64 without losing digits that matter.

CKA and HSIC do not change when a constant is added to a column. Where float64 cannot represent the
values of a column, a constant is therefore subtracted first, in the arithmetic of the column's
dtype.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError

MAX_EXACT: Final = 2**53
"""float64 represents every integer from -2**53 to 2**53."""


def exact_floats(
    x: NDArray[Any], where: str, *, shift: bool = True, column: tuple[int, ...] = ()
) -> NDArray[Any]:
    """Return booleans, integers or extended floats as float32 or float64, up to a column's offset.

    Parameters
    ----------
    x
        (n_examples, ...). A column is one position in the axes after the first.
    where
        The array's name in error messages.
    shift
        Whether a constant may be subtracted from a column.
    column
        The column's position in error messages, if ``x`` has only one column.

    Returns
    -------
    ndarray
        float32 for integers of at most 16 bits, else float64. If float64 cannot represent a column
        of integers, the column's smallest value is subtracted; of extended floats, its median.

    Raises
    ------
    InputError
        If float64 cannot represent a column of integers even then, or an extended float is too
        large. Without `shift`, also if float64 would round an extended float.
    """
    if x.dtype.kind == "f":
        return _of_extended(x, where, shift=shift)
    if x.dtype.itemsize <= 2:
        return x.astype(np.float32)
    if x.dtype.itemsize <= 4 or x.size == 0:
        return x.astype(np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    far = (high > MAX_EXACT) | (low < -MAX_EXACT)
    exact = x.astype(np.float64)
    if not far.any():
        return exact
    values = x[:, far].astype(np.uint64)  # modulo 2**64, so that no sum or difference overflows
    if shift:
        values = values - low[far].astype(np.uint64)
        exact[:, far] = values.astype(np.float64)
    else:
        values = np.where(x[:, far] < 0, np.uint64(0) - values, values)
    wrong = far.copy()
    wrong[far] = ~_representable(values).all(axis=0)
    if wrong.any():
        position = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise lost_digits(where, column or position, int(low[position]), int(high[position]))
    return exact


def lost_digits(where: str, column: tuple[Any, ...], low: int, high: int) -> InputError:
    """Return the error for a column of integers whose range is too wide for float64."""
    position = ", ".join(str(int(index)) for index in column)
    return InputError(
        f"{where} contains integers from {low} to {high} in column {position}: float64 cannot "
        f"represent them without rounding (it represents integers up to 2**53). If the range is "
        f"small, subtract a constant, as in x - x.min(axis=0). If the column contains identifiers, "
        f"drop it. If the rounding does not matter, convert it with astype('float64')"
    )


def _representable(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Where float64 represents an unsigned integer exactly: its set bits span at most 53 bits."""
    lowest = values & (np.uint64(0) - values)
    return values // np.maximum(lowest, np.uint64(1)) <= np.uint64(MAX_EXACT)


def _of_extended(x: NDArray[Any], where: str, *, shift: bool) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        exact: NDArray[np.float64] = x.astype(np.float64)
    if (np.isinf(exact) & np.isfinite(x)).any():
        raise InputError(
            f"{where} contains {x.dtype} values that are too large for float64; rescale them"
        )
    rounded = ((exact != x) & np.isfinite(x)).any(axis=0)
    if rounded.any() and not shift:
        raise InputError(
            f"{where} contains {x.dtype} values that float64 would round; if the rounding does not "
            f"matter, convert it with astype('float64')"
        )
    if rounded.any():
        columns = x[:, rounded]
        exact[:, rounded] = columns - np.median(columns, axis=0)
    return exact
