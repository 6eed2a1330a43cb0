"""One error for every way in which libraries say that memory is not to be had.

NumPy, Python and pybind11 (``std::bad_alloc``) raise a MemoryError, torch and the start of a thread
a RuntimeError, the system ENOMEM, and the loader of a compiled library an ImportError.
"""

from __future__ import annotations

import errno
import mmap
import re
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fastcka.errors import FastckaError, MissingExtraError, OutOfMemoryError
from fastcka.memory import free_memory, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY = "work on less data at once, end other programs, or raise the limit"
THREAD_BYTES = 16 << 20
"""What must be free before a thread is started: its stack, and the first that it allocates.

Without it the C library ends the process ("cannot allocate memory for thread-local data"), and
`threading.Thread.start` waits for ever.
"""

CAPTURE_REMEDY = (
    "a smaller batch_size, fewer layers or examples at once, or a pooled output needs less"
)

_NO_THREAD = re.compile(r"can't start new thread|could not start \d+ threads")
_NO_MEMORY = re.compile(
    r"(cannot|can't|failed to) allocate memory|bad_alloc|out of memory|not enough memory"
    r"|memory allocation failed|failed to map segment",
    re.IGNORECASE,
)


@contextmanager
def named_shortage(what: str, remedy: str = REMEDY) -> Iterator[None]:
    """Turn any error that means a lack of memory into `OutOfMemoryError`; also a decorator.

    Parameters
    ----------
    what
        What was being done, for the message.
    remedy
        What may help.
    """
    try:
        yield
    except Exception as error:
        raise_if_shortage(error, what, remedy)
        raise


def raise_if_shortage(error: BaseException, what: str, remedy: str = REMEDY) -> None:
    """Raise `OutOfMemoryError` if ``error`` means a lack of memory and is not named yet."""
    reason = shortage_reason(error)
    if reason is None:
        return
    # The frames of the error hold on to arrays, whose memory is wanted.
    raise shortage(what, reason, remedy) from error.with_traceback(None)


def shortage(what: str, reason: str, remedy: str = REMEDY) -> OutOfMemoryError:
    """Return the error for ``what``, which failed for this reason."""
    told = f" ({reason})" if reason else ""
    now = ""
    if "CUDA" not in reason:  # the memory of a device
        with suppress(MemoryError):  # there may be none left to ask with
            free = free_memory()
            now = f"; {size_text(free.bytes)} are free now ({free.limit})"
    return OutOfMemoryError(f"{what}: not enough memory{told}{now}: {remedy}")


def require_room(count: int, what: str, remedy: str = REMEDY) -> None:
    """Make sure that the system gives this process so many bytes now.

    For libraries that crash or mislead where an allocation fails, as HDF5 does. It finds limits of
    the address space, not what the machine has left.

    Raises
    ------
    OutOfMemoryError
        It does not.
    """
    try:
        mmap.mmap(-1, max(count, 1)).close()
    except (OSError, MemoryError, OverflowError):
        raise shortage(what, f"{size_text(count)} are needed", remedy) from None


def start_thread(thread: threading.Thread, what: str) -> None:
    """Start a thread where there is room for it; `OutOfMemoryError` where there is none."""
    require_room(THREAD_BYTES, what)
    thread.start()


def shortage_reason(error: BaseException) -> str | None:
    """Return what an error says of the memory that it lacks; None if it means something else."""
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, MissingExtraError):  # a library may be there, but not find room
        return None if error.__cause__ is None else shortage_reason(error.__cause__)
    if isinstance(error, FastckaError):
        return None
    if isinstance(error, MemoryError):
        return "" if text == "std::bad_alloc" else text
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return text
    if not isinstance(error, RuntimeError | OSError | ImportError):
        return None
    if _NO_THREAD.search(text):
        return f"{text}: no room for its stack, or too many processes"
    return text if _NO_MEMORY.search(text) else None
