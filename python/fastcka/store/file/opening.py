"""Opening one file of a store."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastcka.errors import CorruptFileError
from fastcka.store.file.reader import StepReader
from fastcka.store.hdf5 import safety as safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def open_step(path: Path) -> Iterator[StepReader]:
    """Open a file of a store for reading.

    Raises
    ------
    StoreError
        If it is not there, not safe to read, damaged, or of another format or version. Of a
        damaged file the message says how it is mended.
    """
    known: list[StepReader] = []

    def which() -> str:
        if not known:
            return f"the model's step {path.stem}"
        return f"model {known[0].model!r}, step {known[0].step},"

    with remedy(which), safe.open_hdf5(path) as file:
        known.append(StepReader(path, file))
        yield known[0]


@contextmanager
def remedy(which: Callable[[], str]) -> Iterator[None]:
    """Say of a damaged file how it is mended, by the name of what it holds."""
    try:
        yield
    except CorruptFileError as error:
        raise CorruptFileError(
            f"{error}; write {which()} again with overwrite=True, or delete the file"
        ) from error
