"""Adding checksums to the files of an older format version."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import h5py
from h5py import h5f

from fastcka.errors import StoreError, WriteError
from fastcka.files import replaced_file
from fastcka.store.file.checksums import FIRST, TableBuilder, chunk_checksums
from fastcka.store.file.format import FORMAT_VERSION
from fastcka.store.file.marker import check_marker, write_marker
from fastcka.store.file.opening import open_step
from fastcka.store.file.reader import SEALED_SINCE
from fastcka.store.file.stamp import FileStamp
from fastcka.store.file.writer import driver_of, put_attributes, put_table
from fastcka.store.hdf5.safety import named_errors
from fastcka.store.hdf5.sink import Sink
from fastcka.store.listing import StepFile, step_files

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The result of upgrading one file.

    Attributes
    ----------
    path
        The file.
    kind
        "upgraded"; "current": the file already has checksums; "error": the file is unchanged.
    message
        For "error", why the file could not be upgraded, and the remedy; else empty.
    """

    path: Path
    kind: Literal["upgraded", "current", "error"]
    message: str = ""


class Upgrade:
    """An iterable that upgrades one file of a store per iteration.

    Each file is replaced as a whole or not at all. A second iteration, or another `Upgrade` after a
    crash, continues where the first one stopped. `len` is the number of files.

    Parameters
    ----------
    root
        The store's folder.

    Raises
    ------
    StoreError
        If the folder is not a store, or a folder in it cannot be read.
    """

    def __init__(self, root: Path) -> None:
        check_marker(root)
        self._root = root
        self._files = step_files(root)

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Upgraded]:
        complete = True
        for file in self._files:
            try:
                changed = _upgrade(file)
            except StoreError as error:
                complete = False
                yield Upgraded(file.path, "error", str(error))
                continue
            yield Upgraded(file.path, "upgraded" if changed else "current")
        if complete:
            write_marker(self._root)


def _upgrade(file: StepFile) -> bool:
    """Replace a file by one with checksums, after comparing its values with their digests."""
    path = file.path
    with open_step(path) as reader:
        if reader.version >= SEALED_SINCE:
            return False
        header = reader.header()
        reader.examples.examples()
        checksums = TableBuilder()
        first: dict[str, int] = {}
        for name in ("id", *header.columns):
            data, described = reader.examples.column(name)
            values = reader.datasets.values(data, described)
            chunks = chunk_checksums(described.path, values, described.chunk_rows)
            first[described.path] = checksums.add(described, chunks.tolist())
        for number, layer in enumerate(header.layers):
            stored = reader.chunks(number)
            shape = (stored.n_examples, stored.n_features)
            described = reader.described(number, stored.dtype, shape, stored.rows)
            first[described.path] = checksums.add(described, reader.check_values(number, layer))
        root = {**reader.root_attributes(), "format_version": FORMAT_VERSION}

    def add_checksums(sink: Sink) -> None:
        with (
            named_errors(path),
            h5py.File(h5f.open(b"sink", h5f.ACC_RDWR, fapl=driver_of(sink))) as copy,
        ):
            for name, position in first.items():
                put_attributes(copy[name], {FIRST: position})
            put_attributes(copy, {"format_version": FORMAT_VERSION})
            put_table(copy, root, header.columns, len(header.layers), checksums)

    try:
        with replaced_file(path) as temporary:
            with Sink(temporary) as sink, path.open("rb") as old:
                shutil.copyfileobj(old, sink)
                os.fchmod(sink.fileno(), stat.S_IMODE(os.fstat(old.fileno()).st_mode))
                sink.check()
                sink.fill(lambda: add_checksums(sink))
            if FileStamp.of(path.lstat()) != file.stamp:
                raise StoreError(
                    f"{path}: another process changed the file during the upgrade; upgrade the "
                    "store again"
                )
    except WriteError as error:
        raise StoreError(str(error)) from error
    return True


def upgrade_store(path: str | os.PathLike[str]) -> Upgrade:
    """Return an iterable that upgrades a store's files to the current format version.

    Values, ids, columns and attributes do not change. Each layer is first compared with its digest.
    Format 1.0 has no digest of ids and columns, so damage to them that its checksums missed stays
    undetected.

    Raises
    ------
    StoreError
        If the path contains no store, or a folder cannot be read.
    """
    return Upgrade(Path(path))
