"""Files that are whole or absent, even after kill -9 or a power cut, and errors that name them."""

from __future__ import annotations

import errno
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

#: What the names of unfinished files begin with; a killed process leaves such files behind.
TEMPORARY_PREFIX: Final = ".tmp-"


_NO_HARD_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


class QuietFile(io.FileIO):
    """A new file that keeps its first failure instead of raising it.

    For libraries that do not survive a failed write, or report it as another exception: what
    follows the failure is dropped, and the library ends as if all was written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        # The number alone: an exception would keep the library's objects alive by its traceback.
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
        """Raise the failure that was kept, if there was one."""
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
    if isinstance(other, str | bytes) and _is_other_file(os.fsdecode(other), path):
        reason += f": {os.fsdecode(other)}"
    return WriteError(error.errno, f"{failed}: {reason}", str(path))


def _is_other_file(name: str, path: Path) -> bool:
    """Whether the name is not that of ``path``, nor of the unfinished file beside it."""
    return os.path.basename(name) != path.name and not is_temporary(os.path.basename(name))


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; on success it takes its place, all or nothing.

    Data, then name, then folder are brought to the disk: after a crash the old file stands there or
    the new one. If the body raises, ``path`` is as it was.

    Raises
    ------
    WriteError
        In place of every `OSError`, also of the body.
    UnsyncedError
        The new file has its name, but its folder could not be brought to the disk.
    """
    with _file_beside(path, lambda beside: os.replace(beside, path)) as beside:
        yield beside


@contextmanager
def replaced_stream(path: Path) -> Iterator[BinaryIO]:
    """Like `replaced_file`, with an open file as by `new_stream`."""
    with replaced_file(path) as beside, new_stream(beside) as file:
        yield file


@contextmanager
def new_stream(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for a library to write into.

    Raises
    ------
    OSError
        The first failure of the disk, whatever the library makes of it.
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
    """Like `replaced_file`, but never replace a file: of several writers at once, one succeeds.

    Raises
    ------
    FileExistsError
        ``path`` exists; or, where the file system has no hard links, the file that ``filename``
        names, which each writer makes while it gives its file the name.
    WriteError, UnsyncedError
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
        with write_errors(path):
            yield beside
            _sync(beside)
        try:
            give_name(beside)
        except FileExistsError:
            raise
        except OSError as error:
            raise _named(error, path, "cannot be written") from error
    finally:
        with suppress(OSError):  # it would hide why the file was not written, or that it was
            beside.unlink(missing_ok=True)
    sync_folder_of(path)


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
        with suppress(OSError):
            claim.unlink()


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, and bring their names to the disk.

    A folder that exists is left alone.

    Raises
    ------
    WriteError
        It cannot be made.
    """
    with write_errors(path, "cannot be made"):
        _make_folder(path)


def _make_folder(path: Path) -> None:
    if not path.parent.is_dir():
        _make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    try:
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):  # else a second try would take it for one that is on the disk
            path.rmdir()
        raise


def remove_file(path: Path) -> None:
    """Remove a file, if there is one.

    Raises
    ------
    WriteError
        It cannot be removed.
    """
    with write_errors(path, "cannot be removed"):
        path.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is unfinished."""
    return name.startswith(TEMPORARY_PREFIX)


def sync_folder_of(path: Path) -> None:
    """Bring the name of a file or folder that is complete to the disk.

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
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk; `OSError` if the disk did not confirm it."""
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:  # some file systems sync files alone
            raise
