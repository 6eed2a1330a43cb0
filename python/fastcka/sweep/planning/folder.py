"""The output folder of a sweep: checks of its content, and locks."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fastcka.errors import BusyFolderError, LedgerError, SweepConfigError
from fastcka.files import TEMPORARY_PREFIX, remove_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEDGER = "ledger.sqlite"
RESULTS = "results.csv"
PARQUET = "results.parquet"
RUN = "run.json"
MATRICES = "matrices"
FIGURES = "figures"
PAIRS = "pairs"
_LOCK = ".lock"
_SHARD_LEDGER = re.compile(r"ledger\.[1-9]\d*-of-[1-9]\d*\.sqlite")


@contextmanager
def claimed_folder(output: Path, store: Path) -> Iterator[Path]:
    """Create ``output`` if it is missing, and lock it against every other run.

    The lock ends with the process: after kill -9 the file stays, but it blocks no run.

    Raises
    ------
    SweepConfigError
        ``output`` is a file, is inside the store, or contains something other than a sweep's
        results.
    BusyFolderError
        Another run or a shard is writing to it.
    LedgerError
        It cannot be created or written.
    """
    output = _made(output, store)
    with _locked(output, _LOCK, fcntl.LOCK_EX):
        for leftover in output.rglob(f"{TEMPORARY_PREFIX}*"):  # left by a killed run
            remove_file(leftover)
        yield output


@contextmanager
def shared_folder(output: Path, store: Path, shard: str) -> Iterator[Path]:
    """Create ``output`` if it is missing, and lock it for one shard; other shards may run too.

    Under this lock, a shard may write only its ledger.

    Raises
    ------
    SweepConfigError, BusyFolderError, LedgerError
        As `claimed_folder`. Only a run without a shard, or another run of the same shard, is
        refused.
    """
    output = _made(output, store)
    with _locked(output, _LOCK, fcntl.LOCK_SH), _locked(output, f"{_LOCK}.{shard}", fcntl.LOCK_EX):
        yield output


def ledger_of_shard(shard: str) -> str:
    """Return the name of the ledger of a shard."""
    return f"ledger.{shard}.sqlite"


def shard_ledgers(output: Path) -> list[Path]:
    """Return the paths of the shards' ledgers in ``output``."""
    names = sorted(os.listdir(output)) if output.is_dir() else []
    return [output / name for name in names if _SHARD_LEDGER.fullmatch(name)]


def require_usable(output: Path, store: Path) -> None:
    """Refuse an output folder that a run would refuse; create nothing.

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
            f"output: {output} is inside the store {store}; choose a folder outside it"
        )
    file = next((path for path in (output, *output.parents) if path.is_file()), None)
    if file is not None:
        raise SweepConfigError(f"output: {file} is a file; expected a folder, or a new name")
    try:
        # A run creates the lock before the ledger, and may be killed in between.
        names = os.listdir(output) if output.exists() else []
    except OSError as error:
        raise LedgerError(f"output: {output} cannot be read: {error.strerror}") from error
    # `fastcka pair` writes below PAIRS by the configurations that the plan emits, before any run.
    others = sorted(name for name in names if not name.startswith(_LOCK) and name != PAIRS)
    if others and not any(name == LEDGER or _SHARD_LEDGER.fullmatch(name) for name in others):
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise SweepConfigError(
            f"output: {output} contains other files than the results of a sweep ({shown}, and no "
            f"{LEDGER}); choose an empty or a new folder"
        )


def _made(output: Path, store: Path) -> Path:
    require_usable(output, store)
    output = output.resolve()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(output, error) from error
    return output


@contextmanager
def _locked(output: Path, name: str, kind: int) -> Iterator[None]:
    try:
        handle = os.open(output / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unusable(output, error) from error
    try:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyFolderError(
                f"another run is writing in {output} (it holds {name}); wait for it, or give this "
                "sweep another output"
            ) from error
        yield
    finally:
        with suppress(OSError):  # nothing was written yet
            os.close(handle)


def _unusable(output: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"output: the folder {output} cannot be made or written ({error.strerror}); choose another "
        "one"
    )
