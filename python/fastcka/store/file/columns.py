"""Columns of examples as fixed-length HDF5 data, and the digest of example ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.digests import bytes_digest
from fastcka.errors import InputError
from fastcka.memory import require_memory
from fastcka.store.file.format import is_column_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TEXT_BYTES: Final = 4096
"""Longest example id, and longest text in a column, in bytes of UTF-8."""
_SHORTER: Final = "shorten the longest texts, or use fewer examples at once"


def encoded_columns(
    columns: Mapping[str, Sequence[Any]] | None, n_examples: int
) -> dict[str, NDArray[Any]]:
    """Return columns of examples as bytes (UTF-8), int64, float64 or bool arrays.

    A float column may contain NaN for unknown values.

    Raises
    ------
    InputError
        If a name is not allowed, a column does not have ``n_examples`` values, or its values are
        not all strings, all booleans, all integers, or all numbers.
    """
    return {name: _column(name, values, n_examples) for name, values in (columns or {}).items()}


def decoded(values: NDArray[np.bytes_]) -> NDArray[np.str_]:
    """Return fixed-length UTF-8 as strings; `UnicodeDecodeError` for other bytes."""
    return np.array([value.decode("utf-8") for value in values.tolist()], dtype=np.str_)


def ids_digest(ids: Sequence[str]) -> str:
    """Return a digest of example ids, equal only for the same ids in the same order."""
    # NumPy makes the array as wide as the longest id, so equal ids have equal bytes.
    fitted = np.array(ids, dtype="<U")
    return bytes_digest(fitted.dtype.str.encode() + fitted.tobytes())


def _column(name: str, values: Sequence[Any], n_examples: int) -> NDArray[Any]:
    if not isinstance(name, str) or not is_column_name(name):
        raise InputError(
            "example_columns: expected a name other than 'id' of at most 64 letters, digits, '_', "
            f"' ', '.' and '-' that starts with a letter, digit or '_', got {name!r}"
        )
    where = f"example_columns[{name!r}]"
    items = _as_list(where, values, n_examples)
    kinds = {_kind(where, position, item) for position, item in enumerate(items)}
    if kinds == {str}:
        return encoded_text(where, items)
    if kinds == {bool}:
        return np.array(items, dtype=np.bool_)
    if kinds == {int}:
        try:
            return np.array(items, dtype=np.int64)
        except OverflowError:
            raise InputError(
                f"{where}: expected integers of 64 bits, got {min(items)} to {max(items)}"
            ) from None
    if kinds <= {int, float}:
        return np.array(items, dtype=np.float64)
    mixed = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InputError(f"{where}: expected values of one kind, got {mixed}")


def _kind(where: str, position: int, item: object) -> type:
    for kind in (str, bool, int, float):  # bool first: it is an int to isinstance
        if isinstance(item, kind):
            return kind
    raise InputError(
        f"{where}[{position}]: expected a string, boolean, integer or float, got {item!r}"
    )


def _as_list(where: str, values: object, n_examples: int) -> list[Any]:
    if isinstance(values, str | bytes | Mapping):
        raise InputError(f"{where}: expected a sequence, got {type(values).__name__}")
    tolist = getattr(values, "tolist", None)  # NumPy, torch, pandas: to plain Python values
    items = tolist() if callable(tolist) else list(values)  # type: ignore[call-overload]
    if not isinstance(items, list) or len(items) != n_examples:
        got = len(items) if isinstance(items, list) else repr(items)
        raise InputError(f"{where}: expected {n_examples} values, one for each row, got {got}")
    return [item.item() if isinstance(item, np.generic) else item for item in items]


def encoded_text(where: str, items: list[str]) -> NDArray[np.bytes_]:
    """Return texts as UTF-8 of one length; `InputError` for NUL and for more than 4096 bytes.

    All are as long as the longest: `OutOfMemoryError` if that is more than the free memory.
    """
    encoded: list[bytes] = []
    for position, item in enumerate(items):
        try:
            data = item.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"{where}[{position}]: {item!r} is not UTF-8: {error}") from None
        if b"\0" in data or len(data) > MAX_TEXT_BYTES:
            raise InputError(
                f"{where}[{position}]: expected text without NUL of at most {MAX_TEXT_BYTES} "
                f"bytes, got {item[:40]!r} ({len(data)} bytes)"
            )
        encoded.append(data)
    longest = max(map(len, encoded), default=1) or 1
    what = f"{where} as {len(encoded)} texts of {longest} bytes"
    require_memory(len(encoded) * longest, what, _SHORTER)
    return np.array(encoded, dtype=f"S{longest}")
