"""The folder of a sweep's results: whose it is, and who writes in it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastcka.errors import LedgerError, SweepConfigError
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
    SweepConfigError
        It is a file, lies in the store, or holds something else than a sweep's results.
    LedgerError
        It cannot be made or written, or another run writes in it.
    """
    require_usable(output, store)
    output = output.resolve()
    try:
        output.mkdir(parents=True, exist_ok=True)
        handle = os.open(output / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LedgerError(
            f"output: the folder {output} cannot be made or written ({error.strerror}); choose "
            "another one"
        ) from error
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


def require_usable(output: Path, store: Path) -> None:
    """Refuse an output folder that a run would refuse; nothing is made.

    Raises
    ------
    SweepConfigError
        As `claimed_folder`.
    LedgerError
        The folder cannot be read.
    """
    output, store = output.resolve(), store.resolve()
    if output == store or store in output.parents:
        raise SweepConfigError(
            f"output: {output} lies in the store {store}; choose a folder outside it"
        )
    file = next((path for path in (output, *output.parents) if path.is_file()), None)
    if file is not None:
        raise SweepConfigError(f"output: {file} is a file; expected a folder, or a new name")
    try:
        # A run makes the lock before the ledger, and may be killed between the two.
        names = os.listdir(output) if output.exists() else []
    except OSError as error:
        raise LedgerError(f"output: {output} cannot be read: {error.strerror}") from error
    found = sorted(name for name in names if name != _LOCK)
    if found and LEDGER not in found:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise SweepConfigError(
            f"output: {output} holds something else than a sweep's results ({shown}, and no "
            f"{LEDGER}); choose an empty or a new folder"
        )
