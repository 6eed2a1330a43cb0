"""The writer of a run: it commits a flight to the ledger while the next one is computed."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from queue import Queue, SimpleQueue
from typing import TYPE_CHECKING, Self

from fastcka.out_of_memory import start_thread
from fastcka.sweep.ledger.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastcka.sweep.ledger.values import GroupValues
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.question.computation import Computation

Entries = list[tuple["GroupPlan", "GroupValues"]]


class LedgerWriter:
    """Commits each flight in one transaction, in a separate thread; use as a context manager.

    On exit, every flight that was handed over is committed, whatever ended the run, unless a commit
    failed. The error of a failed commit is raised in the caller's thread, by the next call or on
    exit. If another error is being raised already, the error of the commit becomes a note of it.
    """

    def __init__(self, path: Path, computation: Computation) -> None:
        self._path = path
        self._computation = computation
        # One flight waits while another is written. So a slow disk delays the computation and does
        # not fill the memory.
        self._waiting: Queue[Entries | None] = Queue(maxsize=1)
        self._committed: SimpleQueue[GroupPlan] = SimpleQueue()
        self._error: BaseException | None = None
        # A daemon: if a second Ctrl-C ends the wait for it, it must not keep the process alive.
        self._thread = threading.Thread(target=self._work, name="fastcka-ledger", daemon=True)

    def __enter__(self) -> Self:
        start_thread(self._thread, "writing the ledger")
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._finish()
        if error is None:
            self._raise_error()
        elif self._error is not None and error is not self._error:
            error.add_note(f"and what was computed last is not in the ledger: {self._error}")

    def put(self, entries: Entries) -> None:
        """Hand over the groups of a flight; wait while more than one flight is uncommitted."""
        self._raise_error()
        if entries:
            self._waiting.put(entries)

    def committed(self) -> Iterator[GroupPlan]:
        """Yield the groups that have been committed and were not yielded before."""
        while not self._committed.empty():
            yield self._committed.get()

    def finish(self) -> None:
        """Wait until every flight is committed."""
        self._finish()
        self._raise_error()

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        # Only the thread that opened a connection of SQLite may use it.
        with ExitStack() as stack:
            ledger: Ledger | None = None
            while (entries := self._waiting.get()) is not None:
                if self._error is not None:
                    continue  # so that `put` does not wait for room
                try:
                    if ledger is None:
                        ledger = stack.enter_context(Ledger(self._path))
                    ledger.commit(entries, self._computation)
                except BaseException as error:  # raised again in the caller's thread
                    self._error = error
                else:
                    for group, _ in entries:
                        self._committed.put(group)
