"""Files that are complete or absent, even after kill -9 or a power cut. Errors name the file."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final

from fastcka.errors import FastckaError, UnsyncedError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer

#: Prefix of the names of unfinished files. A killed process leaves such files behind.
TEMPORARY_PREFIX: Final = ".tmp-"


_NO_HARD_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_FULL_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY}
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


class QuietFile(io.FileIO):
    """A new file that keeps its first failure instead of raising it.

    It is for libraries that do not survive a failed write or raise another exception for it. After
    a failure all data are dropped, and the library ends as if they were written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        # Only the number: the traceback of an exception would keep the library's objects alive.
        self._failure = 0

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of the data, or drop it after a failure."""
        view = memoryview(data).cast("B")
        rest = view
        while rest and not self._failure:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self._failure = error.errno or errno.EIO
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length of the file, unless there was a failure."""
        if not self._failure:
            try:
                return super().truncate(size)
            except OSError as error:
                self._failure = error.errno or errno.EIO
        return size or 0

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure:
            raise OSError(self._failure, os.strerror(self._failure))


@contextmanager
def write_errors(path: Path, failed: str = "cannot be written") -> Iterator[None]:
    """Raise each `OSError` of the block as a `WriteError` that names ``path`` and what failed."""
    try:
        yield
    except FastckaError:
        raise
    except OSError as error:
        raise _named(error, path, failed) from error


def _named(error: OSError, path: Path, failed: str) -> WriteError:
    reason = error.strerror or str(error)
    other = error.filename
    if isinstance(other, str | bytes | os.PathLike) and _is_other_file(os.fsdecode(other), path):
        reason += f": {os.fsdecode(other)}"
    return WriteError(error.errno, f"{failed}: {reason}", str(path))


def _is_other_file(name: str, path: Path) -> bool:
    """Whether this is the name of neither ``path`` nor its temporary file."""
    return os.path.basename(name) != path.name and not is_temporary(os.path.basename(name))


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success, rename it to ``path`` atomically.

    The data are synced to the disk first, then the name, then the folder. After a crash, ``path``
    is either the old file or the new one. If the body raises, ``path`` does not change.

    Raises
    ------
    WriteError
        The disk failed, or the body raised an `OSError`.
    UnsyncedError
        The new file has its name, but its folder could not be synced to the disk.
    """
    with _temporary_file(path, lambda temporary: os.replace(temporary, path)) as temporary:
        yield temporary


@contextmanager
def replaced_stream(path: Path) -> Iterator[BinaryIO]:
    """Like `replaced_file`, but yield an open file from `new_stream`."""
    with replaced_file(path) as temporary, new_stream(temporary) as file:
        yield file


@contextmanager
def new_stream(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for a library to write into.

    Raises
    ------
    OSError
        The first failure of the disk, even if the library raised another exception for it.
    """
    quiet = QuietFile(path)
    with io.BufferedWriter(quiet) as file:
        try:
            yield file
            file.flush()
        except Exception:
            quiet.check()
            raise
        quiet.check()


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Like `replaced_file`, but never replace a file. Of several writers at once, one succeeds.

    Raises
    ------
    FileExistsError
        ``path`` exists. On a file system without hard links, also if another writer's claim file
        exists; the error's ``filename`` names it.
    WriteError, UnsyncedError
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
        with write_errors(path):
            yield temporary
            _sync(temporary)
        try:
            give_name(temporary)
        except FileExistsError:
            raise
        except OSError as error:
            raise _named(error, path, "cannot be written") from error
    finally:
        with suppress(OSError):  # its failure would hide whether the file was written
            temporary.unlink(missing_ok=True)
    sync_folder_of(path)


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
        with suppress(OSError):
            claim.unlink()


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, and sync their names to the disk.

    If the folder exists, do nothing.

    Raises
    ------
    WriteError
        The folder cannot be created.
    """
    with write_errors(path, "cannot be made"):
        _make_folder(path)


def _make_folder(path: Path) -> None:
    if not path.parent.is_dir():
        _make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError as error:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from error
        return
    try:
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):  # otherwise a second attempt would assume that it is on the disk
            path.rmdir()
        raise


def remove_file(path: Path) -> None:
    """Remove a file, if it exists.

    Raises
    ------
    WriteError
        The file cannot be removed.
    """
    with write_errors(path, "cannot be removed"):
        path.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether this is the name of an unfinished file."""
    return name.startswith(TEMPORARY_PREFIX)


def sync_folder_of(path: Path) -> None:
    """Sync the name of a complete file or folder to the disk.

    Raises
    ------
    UnsyncedError
        The disk did not confirm it.
    """
    try:
        sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"written in full, but the sync of its folder failed ({reason})"
        message += ": a power cut may lose it"
        raise UnsyncedError(error.errno, message, str(path)) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        sync_file(handle)
    finally:
        os.close(handle)


def sync_file(handle: int) -> None:
    """Sync an open file to the disk; raise `OSError` if the disk did not confirm it."""
    # On macOS, fsync leaves the data in the volatile cache of the disk.
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        try:
            fcntl.fcntl(handle, full_sync)
            return
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
    os.fsync(handle)


def sync_folder(path: Path) -> None:
    """Sync the names in a folder to the disk; raise `OSError` if the disk did not confirm it."""
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:  # some file systems can only sync files
            raise
