"""Loading items in a background thread while the caller computes."""

from __future__ import annotations

import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from fastcka.errors import InputError
from fastcka.out_of_memory import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")


def prefetch(
    items: Iterable[Item], load: Callable[[Item], Loaded], *, ahead: int = 1
) -> Generator[tuple[Item, Loaded]]:
    """Yield ``(item, load(item))`` for each item while a thread loads the next items.

    The first `next` starts one background thread, which runs `items` and `load`. The generator
    keeps no reference to a result that it has yielded. At most ``ahead + 1`` results are therefore
    alive if the caller drops each result before asking for the next. Closing the generator waits
    for the load in progress and starts no other.

    Parameters
    ----------
    items
        The items to load, in order.
    load
        Called once for each item. Loading overlaps with the caller only while it releases the GIL.
    ahead
        Largest number of results, at least 1, that wait or are being loaded while the caller holds
        one.

    Yields
    ------
    tuple
        The item and the result of `load` for it.

    Raises
    ------
    InputError
        If `ahead` is not an integer of at least 1.
    Exception
        If `load` raises an error for an item, the generator raises it when it reaches that item,
        and loads no further items.
    """
    if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 1:
        raise InputError(f"ahead: expected an integer of at least 1, got {ahead!r}")
    return _prefetch(items, load, ahead)


def _prefetch(
    items: Iterable[Item], load: Callable[[Item], Loaded], ahead: int
) -> Generator[tuple[Item, Loaded]]:
    # Each message is a list that is emptied when it is yielded, so no frame refers to a result.
    ready: SimpleQueue[list[tuple[Item, Loaded]] | BaseException | None] = SimpleQueue()
    free = threading.Semaphore(ahead)
    stopping = threading.Event()

    def work() -> None:
        try:
            for item in items:
                free.acquire()
                if stopping.is_set():
                    return
                ready.put([(item, load(item))])
            ready.put(None)
        except BaseException as error:  # raised again by the consumer
            ready.put(error)

    # A daemon: a generator that is never closed must not keep the interpreter from exiting.
    thread = threading.Thread(
        target=copy_context().run, args=(work,), name="fastcka-prefetch", daemon=True
    )
    start_thread(thread, "reading ahead")
    try:
        while (message := ready.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            free.release()
            yield message.pop()
    finally:
        stopping.set()
        free.release()
        thread.join()
