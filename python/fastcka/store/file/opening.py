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
        If the file is missing, unsafe to read, damaged, or of another format or version. For a
        damaged file the message contains the remedy.
    """
    reader: StepReader | None = None

    def content() -> str:
        if reader is None:
            return f"the model's step {path.stem}"
        return f"model {reader.model!r}, step {reader.step},"

    with remedy(content), safe.open_hdf5(path) as file:
        reader = StepReader(path, file)
        yield reader


@contextmanager
def remedy(content: Callable[[], str]) -> Iterator[None]:
    """Add the remedy to errors of a damaged file; ``content`` returns what it should contain."""
    try:
        yield
    except CorruptFileError as error:
        raise CorruptFileError(
            f"{error}; write {content()} again with overwrite=True, or delete the file"
        ) from error
