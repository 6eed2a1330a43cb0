"""Loading ahead in a thread while the caller computes."""

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
    """Yield ``(item, load(item))`` for each item, loading the next ones meanwhile.

    `items` and `load` run in one background thread, started by the first `next`. No result is
    referred to here once it has been yielded, so at most ``ahead + 1`` are alive if the caller
    drops each before asking for the next.

    Parameters
    ----------
    items
        What to load, in order.
    load
        Called once for each item; releases the GIL or there is nothing gained.
    ahead
        How many results may wait or be under way while the caller holds one; at least 1.

    Yields
    ------
    tuple
        The item and what `load` returned for it.

    Raises
    ------
    Exception
        What `load` raised for an item, in that item's place; nothing is loaded after it. Closing
        the generator waits for the load under way and loads nothing more.
    """
    if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 1:
        raise InputError(f"ahead: expected an integer of at least 1, got {ahead!r}")
    return _prefetch(items, load, ahead)


def _prefetch(
    items: Iterable[Item], load: Callable[[Item], Loaded], ahead: int
) -> Generator[tuple[Item, Loaded]]:
    # Each message is a list, emptied as it is yielded: neither frame then refers to a result.
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
