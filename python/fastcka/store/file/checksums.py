"""The table of checksums of a file, format 1.1: one for each dataset and for each chunk.

The table is the dataset ``/checksums``. The attribute ``first_checksum`` of a dataset is the index
of its first entry, the checksum of its description. The checksums of its chunks follow. The root
attribute ``seal`` is a digest of the table and of the other root attributes; it detects a stale
table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka import _core
from fastcka.digests import bytes_digest
from fastcka.errors import CorruptFileError
from fastcka.store.file.format import DIGEST_BYTES, FORMAT
from fastcka.store.file.jsontext import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TABLE: Final = "checksums"
FIRST: Final = "first_checksum"
SEAL: Final = "seal"


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a dataset: all but its values.

    Attributes
    ----------
    path
        Path of the dataset in the file.
    dtype
        "float16", "bfloat16", "float32", "float64", "int64", "bool", or "S<bytes>" for text.
    shape, chunk_rows
        Shape of the dataset, and number of rows in a chunk.
    attributes
        The format's attributes of a layer's group or of the ids.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    chunk_rows: int
    attributes: Mapping[str, str | int]

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return -(-self.shape[0] // self.chunk_rows)

    def checksum(self) -> int:
        """Return the checksum of this description."""
        text = canonical(
            [self.path, self.dtype, list(self.shape), self.chunk_rows, dict(self.attributes)]
        )
        data = np.frombuffer(text.encode("ascii"), np.uint8)
        return int(_core.chunk_checksums(data, chunk_bytes=len(data), dataset=self.path)[0])


def chunk_checksums(
    path: str, values: NDArray[Any], chunk_rows: int, start: int = 0
) -> NDArray[np.uint64]:
    """Return the checksums of chunks, (n_chunks,).

    Parameters
    ----------
    path
        Path of the dataset in the file.
    values
        Rows of whole chunks in their stored form; the last chunk may be shorter.
    chunk_rows
        Number of rows in a chunk.
    start
        Position of the first row in the dataset, a multiple of ``chunk_rows``.
    """
    rows = np.ascontiguousarray(values)
    return _core.chunk_checksums(
        rows.reshape(-1).view(np.uint8),
        chunk_bytes=chunk_rows * (rows.nbytes // len(rows)),
        dataset=path,
        first=start // chunk_rows,
    )


class TableBuilder:
    """The table of checksums of a file that is being written."""

    def __init__(self) -> None:
        self._entries: list[int] = []

    def add(self, described: Description, chunks: Sequence[int]) -> int:
        """Add the entries of a dataset and return the index of the first one."""
        first = len(self._entries)
        self._entries += [described.checksum(), *map(int, chunks)]
        return first

    def table(self) -> NDArray[np.uint64]:
        """Return the table, (n_entries,)."""
        return np.array(self._entries, dtype="<u8")


class Table:
    """The table of checksums of a file that is read, after a check of the seal."""

    def __init__(self, path: Path, entries: NDArray[np.uint64]) -> None:
        self._path = path
        self._entries = entries

    def chunks(self, described: Description, first: int | None) -> NDArray[np.uint64]:
        """Return the checksums of a dataset's chunks, (n_chunks,).

        Raises
        ------
        CorruptFileError
            If the dataset's description does not match its checksum.
        """
        where = f"{self._path}: {described.path}"
        if first is None:
            raise CorruptFileError(f"{where}: attribute {FIRST!r} is missing")
        end = first + 1 + described.n_chunks
        if not 0 <= first < end <= len(self._entries):
            raise CorruptFileError(f"{where}: damaged: /{TABLE} has no checksums at {first}")
        if int(self._entries[first]) != described.checksum():
            raise CorruptFileError(
                f"{where}: damaged: the type, shape or attributes do not match their checksum"
            )
        return self._entries[first + 1 : end]


def seal_of(
    root: Mapping[str, str | int],
    columns: Sequence[str],
    n_layers: int,
    table: NDArray[np.uint64],
) -> str:
    """Return the seal of a file.

    Parameters
    ----------
    root
        Stored attributes format_version, model, step, factors and provenance.
    columns, n_layers
        Names of the columns without the ids, and number of layers.
    table
        All checksums, (n_entries,).
    """
    text = canonical([{"format": FORMAT, **root}, sorted(columns), n_layers])
    data = text.encode("ascii") + table.astype("<u8").tobytes()
    return bytes_digest(data, DIGEST_BYTES)


def check_chunks(
    path: Path, described: Description, values: NDArray[Any], expected: NDArray[np.uint64]
) -> None:
    """Refuse the stored values of a whole dataset if a chunk does not match its checksum."""
    wrong = np.flatnonzero(
        chunk_checksums(described.path, values, described.chunk_rows) != expected
    )
    if len(wrong):
        chunk, rows = int(wrong[0]), described.chunk_rows
        last = min((chunk + 1) * rows, described.shape[0]) - 1
        raise CorruptFileError(
            f"{path}: {described.path}: damaged: the checksum of {described.path} does not match "
            f"(chunk {chunk} of {described.n_chunks}, rows {chunk * rows} to {last})"
        )
