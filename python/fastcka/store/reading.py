"""Reading many datasets at once, by all processors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastcka.errors import InputError
from fastcka.out_of_memory import THREAD_BYTES, require_room
from fastcka.processors import usable_processors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Value = TypeVar("Value")

_MOST_READS: Final = 16


def concurrently(
    read: Callable[..., Value], keys: Sequence[Any], **options: Sequence[Any] | None
) -> list[Value]:
    """Return ``read(key, *each option, threads=...)`` for each key, with several at once.

    The processors are divided among the reads. An option has a value for each key, or is None for
    all. Of several errors, that of the first key is raised, after the reads in progress.
    """
    count = len(keys)
    columns = [_one_for_each(name, given, count) for name, given in options.items()]
    calls = list(zip(keys, *columns, strict=True))
    processors, _ = usable_processors()
    workers = min(processors, _MOST_READS, len(calls))
    threads = max(1, processors // max(1, workers))
    if workers < 2:
        return [read(*each, threads=threads) for each in calls]
    require_room(workers * THREAD_BYTES, f"reading with {workers} threads")
    with ThreadPoolExecutor(workers, thread_name_prefix="fastcka-read") as pool:
        # Each in a copy of the context, which says whether memory is checked.
        reads = [pool.submit(copy_context().run, read, *each, threads=threads) for each in calls]
        try:
            return [each.result() for each in reads]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_for_each(name: str, given: Sequence[Any] | None, count: int) -> Sequence[Any]:
    """Return ``given``, or as many None; refuse another number."""
    if given is None:
        return [None] * count
    if len(given) != count:
        raise InputError(f"{name}: expected one for each of {count} keys, got {len(given)}")
    return given
