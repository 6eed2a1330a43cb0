"""The file that HDF5 writes into, which never tells HDF5 of an error.

HDF5 does not survive a failed write: a file that cannot be flushed cannot be closed either, errors
at the closing of a dataset are printed and dropped, and the process ends with a bus error at exit
(h5py 3.16 on a full disk). So a failure is kept here, what follows is dropped, HDF5 closes a file
that it takes for whole, and the writer then raises and removes it.
"""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

from fastcka.files import QuietFile
from fastcka.out_of_memory import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable


class Sink(QuietFile):
    """A new file for HDF5 to write into."""

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
