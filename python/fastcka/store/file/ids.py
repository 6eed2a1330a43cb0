"""Checking example ids and converting them to text.

`id_texts` checks all example ids: those passed to `Store.write` or a `Probe`, those of an import,
and those in files that fastcka did not write.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.errors import InputError
from fastcka.store.file.columns import MAX_TEXT_BYTES, encoded_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_KINDS: Final = {str: "text", int: "integers", bytes: "bytes"}
_EXPECTED: Final = "expected a non-empty text or an integer"


def checked_ids(where: str, given: object, n_examples: int | None = None) -> list[str]:
    """Return example ids as unique texts.

    Parameters
    ----------
    where
        Name of the ids in error messages.
    given
        One id for each row: a sequence, or an array or tensor with one axis. The ids are all text,
        all bytes in UTF-8, or all integers. Integers become their decimal text.
    n_examples
        Required number of ids; any number if None.

    Raises
    ------
    InputError
        If an id is of another kind (float, boolean, missing value), kinds are mixed, an id is
        empty, contains a NUL or is longer than 4096 bytes, two ids are equal, or their number is
        wrong.
    """
    ids = id_texts(where, given, n_examples)
    require_unique(where, ids)
    return ids


def id_texts(where: str, given: object, n_examples: int | None = None) -> list[str]:
    """Return example ids as text without checking that they are unique; see `checked_ids`."""
    items = [_plain(item) for item in _items(where, given)]
    if n_examples is not None and len(items) != n_examples:
        raise InputError(f"{where}: expected {n_examples} ids, one for each row, got {len(items)}")
    texts = [_text(where, position, item) for position, item in enumerate(items)]
    kinds = {_kind(item): position for position, item in reversed([*enumerate(items)])}
    if len(kinds) > 1:
        (one, first), (other, second), *_ = sorted(kinds.items(), key=lambda kind: kind[1])
        raise InputError(
            f"{where}: expected ids of one kind, got {_KINDS[one]} ({items[first]!r} at {first}) "
            f"and {_KINDS[other]} ({items[second]!r} at {second}); convert all to text"
        )
    encoded_text(where, texts)
    return texts


def require_unique(where: str, ids: Sequence[str]) -> None:
    """Raise `InputError` if two ids are equal."""
    seen: dict[str, int] = {}
    for position, name in enumerate(ids):
        first = seen.setdefault(name, position)
        if first != position:
            raise InputError(
                f"{where}: expected unique ids, got {name!r} at {first} and at {position} "
                f"({len(ids) - len(set(ids))} of {len(ids)} ids repeat an earlier one)"
            )


def position_names(n_examples: int) -> list[str]:
    """Return "0" to "n-1", the names of rows without ids."""
    return [str(row) for row in range(n_examples)]


def encoded_ids(given: object | None, n_examples: int) -> NDArray[np.bytes_]:
    """Return example ids as fixed-length UTF-8, their stored form; row positions if None."""
    if given is None:
        return encoded_text("example_ids", position_names(n_examples))
    return encoded_text("example_ids", checked_ids("example_ids", given, n_examples))


def _items(where: str, given: object) -> list[Any]:
    if np.ma.is_masked(given):
        raise InputError(f"{where}: expected an id for every row, got masked values")
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        raise InputError(f"{where}: expected a sequence of ids, got {type(given).__name__}")
    shape = getattr(given, "shape", None)
    if shape is not None and len(shape) != 1:
        raise InputError(
            f"{where}: expected one axis, (n_examples,), got an array of shape {tuple(shape)}"
        )
    if isinstance(given, np.ndarray) and given.dtype.kind in "mM":  # tolist may return integers
        raise InputError(f"{where}: {_EXPECTED} for each row, got {given.dtype}; convert to text")
    tolist = getattr(given, "tolist", None)  # NumPy, torch, pandas: to plain Python values
    return tolist() if callable(tolist) else list(given)


def _plain(item: object) -> object:
    """Return the Python value of a NumPy scalar or of an array or tensor without axes."""
    torch = sys.modules.get("torch")
    if isinstance(item, np.datetime64 | np.timedelta64):  # would become an integer or a date
        return item
    if isinstance(item, np.generic | np.ndarray) or (torch and isinstance(item, torch.Tensor)):
        return item.item() if item.ndim == 0 else item
    return item


def _kind(item: object) -> type:
    return next((kind for kind in _KINDS if isinstance(item, kind)), type(item))


def _text(where: str, position: int, item: object) -> str:
    item_name = f"{where}[{position}]"
    if isinstance(item, bytes):
        try:
            text = item.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{item_name}: {item!r:.80} is not UTF-8: {error}") from None
    elif isinstance(item, str):
        text = str.__str__(item)  # the value of a string enumeration, not its name
    elif isinstance(item, int) and not isinstance(item, bool):
        if item.bit_length() > 3 * MAX_TEXT_BYTES:  # Python refuses to print a longer integer
            raise InputError(
                f"{item_name}: expected an integer of at most {3 * MAX_TEXT_BYTES} bits, got one "
                f"of {item.bit_length()} bits"
            )
        return str(int(item))
    else:
        remedy = ""
        if isinstance(item, float) and item.is_integer():
            remedy = '; convert the ids to integers, for an array with ids.astype("int64")'
        elif item is None or isinstance(item, float):
            remedy = "; every row needs an id"
        raise InputError(f"{item_name}: {_EXPECTED}, got {item!r:.80}{remedy}")
    if not text:
        raise InputError(f"{item_name}: {_EXPECTED}, got {item!r}")
    return text
