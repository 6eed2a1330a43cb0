"""The array into which a representation is read, and the positions of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.errors import InputError
from fastcka.store.file.dtypes import STORED_DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastcka.store.file.key import Key


def checked_output(
    out: NDArray[Any] | None, shape: tuple[int, int], dtype: str, key: Key
) -> NDArray[Any]:
    """Return ``out`` after checking it, or a new array for values stored as ``dtype``.

    Raises
    ------
    InputError
        If ``out`` is not a writable float32 or float64 array of this shape.
    """
    if out is None:
        name = "float32" if dtype == "bfloat16" else dtype
        return np.empty(shape, dtype=STORED_DTYPES[name].newbyteorder("="))
    if not isinstance(out, np.ndarray) or out.dtype not in (np.float32, np.float64):
        got = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out: expected a float32 or float64 array, got {got}")
    if out.shape != shape:
        raise InputError(f"out: expected shape {shape} for {key}, got {out.shape}")
    if not out.flags.writeable:
        raise InputError("out: expected a writable array, got a read-only one")
    return out


def check_positions(rows: NDArray[np.integer[Any]], n_examples: int, key: Key) -> None:
    """Refuse row positions outside a representation of ``n_examples`` rows."""
    if not isinstance(rows, np.ndarray) or rows.ndim != 1 or rows.dtype.kind not in "iu":
        got = type(rows).__name__
        if isinstance(rows, np.ndarray):
            got = f"shape {rows.shape}, dtype {rows.dtype}"
        raise InputError(f"rows: expected a one-dimensional integer array, got {got}")
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_examples:
        raise InputError(
            f"rows: expected positions from 0 to {n_examples - 1} for {key}, got "
            f"{rows.min()} to {rows.max()}"
        )
