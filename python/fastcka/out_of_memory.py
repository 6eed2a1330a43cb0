"""One error for all the ways in which libraries report a lack of memory.

NumPy, Python and pybind11 (``std::bad_alloc``) raise MemoryError. PyTorch and the start of a thread
raise RuntimeError, system calls an OSError with ENOMEM, and the loader of a compiled library
ImportError. Where the interpreter fails to create a MemoryError, it raises SystemError.
"""

from __future__ import annotations

import errno
import mmap
import re
from contextlib import ContextDecorator, suppress
from typing import TYPE_CHECKING

from fastcka.errors import FastckaError, MissingExtraError, OutOfMemoryError
from fastcka.memory import free_memory, size_text

if TYPE_CHECKING:
    import threading

REMEDY = "use less data at once, close other programs, or raise the limit"
THREAD_BYTES = 16 << 20
"""Bytes that must be free before a thread starts: its stack and its first allocations.

With less, the C library ends the process ("cannot allocate memory for thread-local data"), or
`threading.Thread.start` waits forever.
"""

CAPTURE_REMEDY = "use a smaller batch_size, fewer layers or examples at once, or pool the outputs"

_NO_THREAD = re.compile(r"can't start new thread|could not start \d+ threads")
_NO_MEMORY = re.compile(
    r"(cannot|can't|failed to) allocate memory|bad_alloc|out of memory|not enough memory"
    r"|memory allocation failed|failed to map segment",
    re.IGNORECASE,
)


class named_shortage(ContextDecorator):  # noqa: N801 (it is used like a function)
    """Turn any error that means a lack of memory into `OutOfMemoryError`; also a decorator.

    Parameters
    ----------
    what
        The work in the block, for the message.
    remedy
        What the user can do, for the message.
    """

    def __init__(self, what: str, remedy: str = REMEDY) -> None:
        self._what = what
        self._remedy = remedy

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception):
            raise_if_shortage(error, self._what, self._remedy)


def raise_if_shortage(error: BaseException, what: str, remedy: str = REMEDY) -> None:
    """Raise `OutOfMemoryError` if ``error``, of another class, means a lack of memory."""
    reason = shortage_reason(error)
    if reason is None:
        return
    # The frames of the error keep arrays alive, and their memory is needed.
    raise shortage(what, reason, remedy) from error.with_traceback(None)


def shortage(what: str, reason: str, remedy: str = REMEDY) -> OutOfMemoryError:
    """Return the error for ``what``, which failed for this reason."""
    cause = f" ({reason})" if reason else ""
    now = ""
    if "CUDA" not in reason:  # the memory of a device
        with suppress(MemoryError):  # finding the free memory needs memory too
            free = free_memory()
            now = f"; {size_text(free.bytes)} are free now ({free.limit})"
    return OutOfMemoryError(f"{what}: not enough memory{cause}{now}: {remedy}")


def require_room(count: int, what: str, remedy: str = REMEDY) -> None:
    """Check that the system can map ``count`` bytes into this process now.

    This protects libraries, such as HDF5, that crash or report a wrong cause when an allocation
    fails. The check detects limits of the address space, not the free memory of the machine.

    Raises
    ------
    OutOfMemoryError
        If the system cannot.
    """
    if not _has_room(count):
        raise shortage(what, f"{size_text(count)} are needed", remedy)


def _has_room(count: int) -> bool:
    try:
        mmap.mmap(-1, max(count, 1)).close()
    except (OSError, MemoryError, OverflowError):
        return False
    return True


def start_thread(thread: threading.Thread, what: str) -> None:
    """Start a thread; raise `OutOfMemoryError` if there is no room for its stack."""
    require_room(THREAD_BYTES, what)
    thread.start()


def shortage_reason(error: BaseException) -> str | None:
    """Return the first line of an error that means a lack of memory; None for any other error."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, MissingExtraError):  # an installed library may find no room to load
        return None if error.__cause__ is None else shortage_reason(error.__cause__)
    if isinstance(error, FastckaError):
        return None
    if isinstance(error, MemoryError):
        return "" if text == "std::bad_alloc" else text
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return text
    if isinstance(error, SystemError):  # a fault of another kind where memory is left
        return None if _has_room(THREAD_BYTES) else text
    if not isinstance(error, RuntimeError | OSError | ImportError):
        return None
    if _NO_THREAD.search(text):
        return f"{text}: no room for its stack, or too many processes"
    return text if _NO_MEMORY.search(text) else None
