"""Choosing an array by name among those of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LISTED: Final = 20


def choose(path: Path, name: str | None, names: Sequence[str]) -> str:
    """Return ``name`` if the file contains it; without a name, return the file's only array.

    Raises
    ------
    InputError
        If the file contains no array, no array of this name, or several arrays while ``name`` is
        None. The message lists the arrays.
    """
    if not names:
        raise InputError(
            f"{path}: expected arrays of real numbers, got a file or folder without any"
        )
    if name is None and len(names) == 1:
        return names[0]
    if name in names:
        return str(name)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = ", ".join(names[:_LISTED]) + more
    if name is None:
        raise InputError(f"{path}: contains {len(names)} arrays; add :NAME with one of {listed}")
    raise InputError(f"{path}: contains no array {name!r}; it contains {listed}")
