"""store.json: the file that marks a folder as a store."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Final

from fastcka.errors import CorruptFileError, NoStoreError, StoreError, UnsafeFileError, WriteError
from fastcka.files import replaced_file
from fastcka.store.file.format import FORMAT, FORMAT_VERSION, MARKER, checked_version
from fastcka.store.file.jsontext import parse_object

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES: Final = 64 << 10


def write_marker(root: Path) -> None:
    """Mark a folder as a store of the current format version."""
    text = json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION})
    try:
        with replaced_file(root / MARKER) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except WriteError as error:
        raise StoreError(str(error)) from error


def check_marker(root: Path) -> None:
    """Check that a folder is a store that this fastcka can read.

    Raises
    ------
    NoStoreError
        If there is no such folder.
    StoreError
        If its marker is missing or has another format.
    """
    path = root / MARKER
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise NoStoreError(
            f"{root}: no such store; check the path (create_store makes a new store)"
        ) from None
    except OSError as error:
        raise NoStoreError(f"{root}: cannot be read: {error.strerror or error}") from error
    if not is_folder:
        raise NoStoreError(f"{root}: expected the folder of a store, got a file")
    if path.is_symlink():
        raise UnsafeFileError(f"{path}: expected a plain file, got a symbolic link")
    if not path.is_file():
        raise StoreError(f"{root}: not a store: the folder contains no {MARKER}")
    try:
        with path.open("rb") as file:
            marker = parse_object(file.read(_MAX_BYTES))
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CorruptFileError(f"{path}: not the marker of a store: {error}") from error
    if marker.get("format") != FORMAT:
        raise CorruptFileError(
            f"{path}: 'format': expected {FORMAT!r}, got {marker.get('format')!r}"
        )
    checked_version(str(marker.get("format_version")), str(path))
