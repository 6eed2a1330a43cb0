"""Reading the values of a layer from its chunks, whose offsets HDF5 has returned.

HDF5 reads one chunk at a time, under one lock, into an internal buffer. The compiled reader reads
several chunks at once directly into the output array and compares each with its checksum.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka import _core
from fastcka.errors import CorruptFileError, InputError, StoreError
from fastcka.out_of_memory import THREAD_BYTES, require_room
from fastcka.processors import usable_processors
from fastcka.store.file.dtypes import STORED_DTYPES
from fastcka.store.file.stamp import FileStamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.store.file.format import FileHeader

_MOST_THREADS: Final = 4
"""Copying and summing a chunk takes less time than fetching it, so few threads keep a disk busy."""


@contextmanager
def reopened(path: Path, stamp: FileStamp) -> Iterator[int | None]:
    """Open a file that HDF5 has read before; yield None if it was changed or cannot be opened.

    Opening a pipe does not block, and links are not followed.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    try:
        yield file if FileStamp.of(os.fstat(file)) == stamp else None
    finally:
        os.close(file)


@dataclass(frozen=True, slots=True, eq=False)
class LayerChunks:
    """The chunks that contain the values of a layer, checked against the format.

    Attributes
    ----------
    name
        Path of the dataset in the file.
    n_examples, n_features
        Shape of the dataset.
    dtype
        Name of the stored dtype.
    rows
        Number of rows in a chunk; the last chunk is padded to this number.
    offsets
        Byte offsets of the chunks in the file, (n_chunks,), in the order of their rows.
    checksums
        Checksums of the chunks, (n_chunks,). None in a file of format 1.0, where a weaker checksum
        follows each chunk.
    """

    name: str
    n_examples: int
    n_features: int
    dtype: str
    rows: int
    offsets: NDArray[np.int64]
    checksums: NDArray[np.uint64] | None = None

    @classmethod
    def of(cls, header: FileHeader, layer: str) -> LayerChunks | None:
        """Return the chunks of a layer according to a header; None if the layer is missing."""
        for position, known in enumerate(header.layers):
            if known.name == layer:
                return cls(
                    f"/layers/{position}/x",
                    header.n_examples,
                    known.n_features,
                    known.dtype,
                    known.chunk_rows,
                    np.array(known.offsets, dtype=np.int64),
                    None if known.checksums is None else np.array(known.checksums, np.uint64),
                )
        return None

    def read(
        self,
        path: Path,
        file: int,
        out: NDArray[Any],
        rows: NDArray[np.integer[Any]] | None = None,
        threads: int | None = None,
    ) -> None:
        """Copy all rows, or the rows at the positions ``rows`` in that order, into an array.

        Parameters
        ----------
        path, file
            The file's path, for messages, and its descriptor.
        out
            A float32 or float64 array in any strides, or a contiguous array of the stored dtype
            (bfloat16 as bits).
        rows
            Positions from 0 to ``n_examples - 1``. Chunks without any of them are not read.
        threads
            Number of threads at most. Default: the processors. More than 4 are never used.

        Raises
        ------
        CorruptFileError
            If a chunk does not match its checksum, or the file ends inside a chunk.
        StoreError
            If the file cannot be read.
        InputError
            If a value is too large for `out`.
        """
        wanted = None
        if rows is not None:
            if len(rows) == 0:
                return
            targets = np.argsort(rows, kind="stable")
            wanted = (rows[targets].astype(np.int64), targets)
        threads = min(threads or usable_processors()[0], _MOST_THREADS, len(self.offsets))
        # Each thread may buffer a chunk.
        row_bytes = self.n_features * STORED_DTYPES[self.dtype].itemsize
        require_room(threads * (THREAD_BYTES + self.rows * row_bytes), f"reading {path}")
        failure = _core.read_rows(
            file,
            offsets=self.offsets,
            chunk_rows=self.rows,
            n=self.n_examples,
            stored=self.dtype,
            dataset=self.name,
            checksums=self.checksums,
            out=out,
            wanted=wanted,
            threads=threads,
        )
        if failure is None:
            return
        why, chunk, code = failure
        if why == "overflow":
            raise InputError(
                f"out: values of {path}: {self.name} are too large for {out.dtype}; "
                "give a float64 array"
            )
        last = min((chunk + 1) * self.rows, self.n_examples) - 1
        where = f"chunk {chunk} of {len(self.offsets)}, rows {chunk * self.rows} to {last}"
        if why == "system":
            raise StoreError(f"{path}: {self.name}: cannot be read: {os.strerror(code)} ({where})")
        damage = {
            "checksum": f"the checksum of {self.name} does not match",
            "short_file": f"the file ends inside {self.name}",
        }
        raise CorruptFileError(f"{path}: {self.name}: damaged: {damage[why]} ({where})")
