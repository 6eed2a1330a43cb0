"""A folder of results that is whole or not there, also when it replaces an older one.

Next to a folder ``layer5`` there may be, briefly or after a kill::

    .layer5.lock    held by the process that writes; gone when it has ended
    .layer5.new     being written: of no worth
    .layer5.old     the previous folder, until the new one has its name

The new folder is complete and on the disk before the old one gives up its name. A process that is
killed between the two renames leaves no ``layer5``, but the old one whole; the next that comes to
the folder gives it its name back.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastcka.errors import InputError
from fastcka.files import make_folder, sync_file, sync_folder, sync_folder_of, write_errors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


def require_free(path: Path, *, replace: bool, known: Collection[str], where: str) -> None:
    """Refuse a folder that holds results already, or something that is none of ours.

    Parameters
    ----------
    path
        The folder, which need not exist.
    replace
        Whether results may be replaced.
    known
        Names of the files that results consist of: a folder with others in it is never replaced.
    where
        What named the folder, for messages.

    Raises
    ------
    InputError
        The folder cannot be used; the message names it and the remedy.
    """
    if path.parent.is_dir():
        with write_errors(path), _held(path):
            _recover(path)
            _refuse(path, replace=replace, known=known, where=where)
    else:
        file = next((above for above in path.parents if above.exists()), path)
        if not file.is_dir():
            raise InputError(f"{where}: {file} is a file; expected a folder, or a new name")


def write_folder(
    path: Path, files: Mapping[str, bytes], *, replace: bool, known: Collection[str], where: str
) -> None:
    """Write a folder with these files, all or nothing; its parents are made.

    A file's name may have a folder before it. A folder that holds just these files already is left
    as it is.

    Raises
    ------
    InputError
        As `require_free`.
    """
    make_folder(path.parent)
    with write_errors(path), _held(path):
        _recover(path)
        _refuse(path, replace=replace, known=known, where=where)
        if _holds(path, files):
            return
        new, old = _neighbour(path, "new"), _neighbour(path, "old")
        try:
            _fill(new, files)
            if path.exists():
                path.rename(old)
            new.rename(path)
        except BaseException:
            if old.exists() and not path.exists():
                old.rename(path)
            raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
        sync_folder_of(path)
        if old.exists():
            _remove(old)


def _neighbour(path: Path, word: str) -> Path:
    return path.with_name(f".{path.name}.{word}")


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the folder against other processes; the lock goes with the process."""
    lock = _neighbour(path, "lock")
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_file(handle, lock):
                continue  # who held it before has removed it: this one keeps nobody out
            try:
                yield
            finally:
                with suppress(OSError):  # one that stays keeps nobody out
                    lock.unlink()
            return
        finally:
            with suppress(OSError):  # nothing was written through it
                os.close(handle)


def _is_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _recover(path: Path) -> None:
    old = _neighbour(path, "old")
    shutil.rmtree(_neighbour(path, "new"), ignore_errors=True)
    if old.exists():
        if path.exists():
            _remove(old)
        else:
            old.rename(path)


def _refuse(path: Path, *, replace: bool, known: Collection[str], where: str) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"{where}: {path} is a file; expected a folder, or a new name")
    names = sorted(os.listdir(path)) if path.exists() else []
    foreign = [name for name in names if name not in known]
    if foreign:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise InputError(
            f"{where}: {path} holds something else than what is written there ({shown}); choose "
            "an empty or a new folder"
        )
    if names and not replace:
        raise InputError(f"{where}: {path} holds results already; --overwrite replaces them")


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    if not folder.is_dir() or set(os.listdir(folder)) != set(files):
        return False
    return all((folder / name).read_bytes() == content for name, content in files.items())


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            sync_file(file.fileno())
    for made in {(folder / name).parent for name in files}:
        sync_folder(made)


def _remove(folder: Path) -> None:
    with write_errors(folder, "cannot be removed"):
        shutil.rmtree(folder)
