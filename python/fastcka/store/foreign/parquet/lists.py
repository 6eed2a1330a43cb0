"""Columns of lists of numbers as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.errors import InputError
from fastcka.store.foreign.parquet.kinds import is_list, is_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


def array_of_lists(where: str, column: Any) -> NDArray[Any]:
    """Return the lists of a column as one array, (n_examples, ...)."""
    parts: list[NDArray[Any]] = []
    start = 0
    for chunk in column.chunks:
        part = _of_chunk(where, chunk, start)
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise _ragged(where, parts[0].shape[1:], 0, part.shape[1:], start)
        parts.append(part)
        start += len(chunk)
    if not start:
        raise InputError(f"{where}: expected at least one row, got none")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _of_chunk(where: str, chunk: Any, start: int) -> NDArray[Any]:
    _refuse_nulls(where, chunk, start)
    if is_tensor(chunk.type):
        _refuse_nulls(where, chunk.storage.flatten(), None)
        array: NDArray[Any] = chunk.to_numpy_ndarray()
        return array
    shape = [len(chunk)]
    values = chunk
    while is_list(values.type):
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        other = np.flatnonzero(lengths != lengths[:1])
        if len(other):
            rows = len(values) // max(1, len(chunk))  # lists for each example
            position = start + int(other[0]) // max(1, rows)
            raise _ragged(where, (int(lengths[0]),), start, (int(lengths[other[0]]),), position)
        shape.append(int(lengths[0]) if len(lengths) else 0)
        values = values.flatten()
        _refuse_nulls(where, values, None)
    flat: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return flat.reshape(shape)


def _refuse_nulls(where: str, values: Any, start: int | None) -> None:
    if values.null_count:
        first = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        place = "" if start is None else f", the first in row {start + int(first[0])}"
        raise InputError(
            f"{where}: contains {values.null_count} missing value"
            f"{'s' * (values.null_count != 1)}{place}: fill or drop missing values first"
        )


def _ragged(
    where: str, one: tuple[int, ...], row: int, other: tuple[int, ...], other_row: int
) -> InputError:
    def text(shape: tuple[int, ...]) -> str:
        return " x ".join(map(str, shape))

    return InputError(
        f"{where}: expected lists of one length, got the length {text(one)} in row {row} and "
        f"{text(other)} in row {other_row}; reduce each list to the same length first, for example "
        "to the mean over its tokens"
    )
