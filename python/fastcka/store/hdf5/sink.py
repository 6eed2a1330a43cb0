"""The file that HDF5 writes into, which never tells HDF5 of an error.

HDF5 does not survive a failed write: a file that cannot be flushed cannot be closed either, errors
at the closing of a dataset are printed and dropped, and the process ends with a bus error at exit
(h5py 3.16 on a full disk). So a failure is kept here, what follows is dropped, HDF5 closes a file
that it takes for whole, and the writer then raises and removes it.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from typing import TYPE_CHECKING

from fastcka.out_of_memory import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _typeshed import ReadableBuffer


class Sink(io.FileIO):
    """A new file that keeps its first failure instead of raising it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        # The number alone: an exception would keep HDF5's objects alive through its traceback.
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

    def fill(self, write: Callable[[], None]) -> None:
        """Call the function that writes into this file, then bring the file to the disk.

        The function runs in a separate thread: Ctrl-C raises in the main thread only, and so
        never inside a call from HDF5, where it would be one more error.

        Raises
        ------
        OSError
            The first failure.
        KeyboardInterrupt
            Once the function has returned, which it does at its next `check`.
        """
        errors: list[BaseException] = []
        begun = threading.Lock()
        finished = threading.Event()

        def work() -> None:
            if not begun.acquire(blocking=False):
                return
            try:
                write()
            except BaseException as error:  # raised again below
                errors.append(error)
            finally:
                finished.set()

        thread = threading.Thread(target=work, name="fastcka-write")
        try:
            start_thread(thread, "writing a file")
        except BaseException as error:
            if begun.acquire(blocking=False):
                raise  # it has not begun, and now never will
            self._interrupt(error, errors)
        # Not join, which takes the thread for ended when it is interrupted (Python 3.11).
        while not finished.is_set():
            try:
                finished.wait()
            except BaseException as error:
                self._interrupt(error, errors)
        thread.join()
        if errors:
            raise errors[0]
        self.check()

    def _interrupt(self, error: BaseException, errors: list[BaseException]) -> None:
        """Let the writing function stop at its next check, and the error go first."""
        self._failure = errno.EINTR
        errors.insert(0, error)
