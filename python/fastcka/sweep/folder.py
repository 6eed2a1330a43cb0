"""The folder of a sweep's results: whose it is, who writes in it, and how files appear in it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastcka.errors import LedgerError
from fastcka.files import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEDGER = "ledger.sqlite"
RESULTS = "results.csv"
RUN = "run.json"
MATRICES = "matrices"
FIGURES = "figures"
_LOCK = ".lock"


@contextmanager
def claimed_folder(output: Path, store: Path) -> Iterator[Path]:
    """Make ``output`` where it is missing, and hold it against every other run while open.

    The lock goes with the process: kill -9 leaves a file that blocks nobody.

    Raises
    ------
    LedgerError
        It is no folder, lies in the store, holds something else than a sweep's results, or
        another run writes in it.
    """
    output, store = output.resolve(), store.resolve()
    if output == store or store in output.parents:
        raise LedgerError(f"output {output} lies in the store {store}; choose a folder outside it")
    try:
        output.mkdir(parents=True, exist_ok=True)
        _require_ours(output)
        handle = os.open(output / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LedgerError(f"output {output}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LedgerError(
                f"another run is writing in {output} (it holds {_LOCK}); wait for it, or give this "
                "sweep another output"
            ) from error
        for leftover in output.rglob(f"{TEMPORARY_PREFIX}*"):  # of a killed run: nobody else writes
            leftover.unlink()
        yield output
    finally:
        os.close(handle)


def _require_ours(output: Path) -> None:
    # A run makes the lock before the ledger, and may be killed between the two.
    found = sorted(entry.name for entry in output.iterdir() if entry.name != _LOCK)
    if found and LEDGER not in found:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise LedgerError(
            f"output {output} holds something else than a sweep's results ({shown}, and no "
            f"{LEDGER}); choose an empty or a new folder"
        )
