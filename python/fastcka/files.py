"""Files that are whole or absent, even after kill -9 or a power cut."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What the names of unfinished files begin with; a killed process leaves such files behind.
TEMPORARY_PREFIX: Final = ".tmp-"


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on success it takes its place, all or nothing.

    Data, then name, then folder are brought to the disk: after a crash the old file stands there or
    the new one. If the body raises, ``path`` is as it was.
    """
    # Random, not from the process: two machines on one file system may share process numbers. Not
    # tempfile.mkstemp: its mode 0600 would stay with the file. The suffix stays, for writers that
    # go by it.
    beside = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}-{path.name}")
    try:
        yield beside
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder (its parent exists) and bring its name to the disk; one there is left alone."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    _sync(path.parent)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is unfinished."""
    return name.startswith(TEMPORARY_PREFIX)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
