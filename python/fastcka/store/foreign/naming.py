"""Choosing an array by name among those of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LISTED: Final = 20


def choose(path: Path, name: str | None, names: Sequence[str]) -> str:
    """Return the name if the file has it, or the only one if none is given.

    Raises
    ------
    InputError
        If there is no array, no such array, or several and no name; the message lists them.
    """
    if not names:
        raise InputError(f"{path}: holds no arrays")
    if name is None and len(names) == 1:
        return names[0]
    if name in names:
        return str(name)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = ", ".join(names[:_LISTED]) + more
    if name is None:
        raise InputError(f"{path}: holds {len(names)} arrays; add :NAME with one of {listed}")
    raise InputError(f"{path}: holds no array {name!r}; it has {listed}")
