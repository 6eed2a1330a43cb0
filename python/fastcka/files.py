"""Writing files so that they are complete or absent, even after kill -9 or a power cut."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Prefix of the names of unfinished files. A killed process leaves such files behind.
TEMPORARY_PREFIX: Final = ".tmp-"


_NO_HARD_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


class UnsyncedError(OSError):
    """A file is complete under its name, but the disk did not confirm its folder.

    Readers see the file. A power cut may lose it.
    """


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success, rename it to ``path`` atomically.

    The data are synced to the disk first, then the name, then the folder. After a crash, ``path``
    is either the old file or the new one. If the body raises, ``path`` does not change.

    Raises
    ------
    UnsyncedError
        The new file has its name, but its folder could not be synced to the disk.
    """
    with _temporary_file(path, lambda temporary: os.replace(temporary, path)) as temporary:
        yield temporary


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Like `replaced_file`, but never replace a file. Of several writers at once, one succeeds.

    Raises
    ------
    FileExistsError
        ``path`` exists. On a file system without hard links, also if another writer's claim file
        exists; the error's ``filename`` names it.
    UnsyncedError
        As for `replaced_file`.
    """
    with _temporary_file(path, lambda temporary: _link(temporary, path)) as temporary:
        yield temporary


@contextmanager
def _temporary_file(path: Path, give_name: Callable[[Path], None]) -> Iterator[Path]:
    # The name is random and not a process number, which two machines on one file system may share.
    # tempfile.mkstemp is no choice: its mode 0600 would stay with the file. The suffix is kept for
    # writers that choose the format by it.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        give_name(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    try:
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"written in full, but the sync of its folder failed ({reason})"
        message += ": a power cut may lose it"
        raise UnsyncedError(error.errno, message, str(path)) from error


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        if not os.path.samestat(temporary.lstat(), path.lstat()):
            raise
        # NFS may repeat a request that succeeded, and then report that the link exists.
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_with_claim(temporary, path)


def _rename_with_claim(temporary: Path, path: Path) -> None:
    """Rename unless ``path`` exists. A claim file, which only one writer can create, is the lock.

    This is for file systems without hard links: FAT, and many cloud mounts.
    """
    claim = path.with_name(f"{TEMPORARY_PREFIX}claim-{path.name}")
    os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        temporary.rename(path)
    finally:
        claim.unlink()


def make_folder(path: Path) -> None:
    """Create a folder in an existing parent and sync its name to the disk, unless it exists."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    try:
        _sync_folder(path.parent)
    except OSError:
        with suppress(OSError):  # otherwise a second attempt would assume that it is on the disk
            path.rmdir()
        raise


def is_temporary(name: str) -> bool:
    """Whether this is the name of an unfinished file."""
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
        if error.errno not in _NO_FOLDER_SYNC:  # some file systems can only sync files
            raise
