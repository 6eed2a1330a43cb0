"""Files that are whole or absent, even after kill -9 or a power cut."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: What the names of unfinished files begin with; a killed process leaves such files behind.
TEMPORARY_PREFIX: Final = ".tmp-"


_NO_HARD_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


class UnsyncedError(OSError):
    """A file is complete under its name, but the disk did not confirm its folder.

    Readers see the file; a power cut may lose it.
    """


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on success it takes its place, all or nothing.

    Data, then name, then folder are brought to the disk: after a crash the old file stands there or
    the new one. If the body raises, ``path`` is as it was.

    Raises
    ------
    UnsyncedError
        The new file has its name, but its folder could not be brought to the disk.
    """
    with _file_beside(path, lambda beside: os.replace(beside, path)) as beside:
        yield beside


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Like `replaced_file`, but never replace a file: of several writers at once, one succeeds.

    Raises
    ------
    FileExistsError
        ``path`` exists; or, where the file system has no hard links, the file that ``filename``
        names, which each writer makes while it gives its file the name.
    UnsyncedError
        As for `replaced_file`.
    """
    with _file_beside(path, lambda beside: _name_without_replacing(beside, path)) as beside:
        yield beside


@contextmanager
def _file_beside(path: Path, give_name: Callable[[Path], None]) -> Iterator[Path]:
    # Random, not from the process: two machines on one file system may share process numbers. Not
    # tempfile.mkstemp: its mode 0600 would stay with the file. The suffix stays, for writers that
    # go by it.
    beside = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}-{path.name}")
    try:
        yield beside
        _sync(beside)
        give_name(beside)
    finally:
        beside.unlink(missing_ok=True)
    try:
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"written in full, but the sync of its folder failed ({reason})"
        message += ": a power cut may lose it"
        raise UnsyncedError(error.errno, message, str(path)) from error


def _name_without_replacing(beside: Path, path: Path) -> None:
    try:
        os.link(beside, path)
    except FileExistsError:
        if not os.path.samestat(beside.lstat(), path.lstat()):
            raise
        # NFS may repeat a request that succeeded, and then says that the link exists.
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_alone(beside, path)


def _rename_alone(beside: Path, path: Path) -> None:
    """Rename unless the name is taken; a third file, which one writer alone can make, keeps order.

    For file systems without hard links: FAT, and many that are mounted from a cloud.
    """
    claim = path.with_name(f"{TEMPORARY_PREFIX}claim-{path.name}")
    os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        beside.rename(path)
    finally:
        claim.unlink()


def make_folder(path: Path) -> None:
    """Make a folder (its parent exists) and bring its name to the disk; one there is left alone."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    try:
        _sync_folder(path.parent)
    except OSError:
        with suppress(OSError):  # else a second try would take it for one that is on the disk
            path.rmdir()
        raise


def is_temporary(name: str) -> bool:
    """Whether a file of this name is unfinished."""
    return name.startswith(TEMPORARY_PREFIX)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(path: Path) -> None:
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:  # some file systems sync files alone
            raise
