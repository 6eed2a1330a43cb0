"""A cache of the headers of a store's files, valid while the files do not change."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import StoreError, UnknownKeyError
from fastcka.near_misses import near_misses
from fastcka.store import index
from fastcka.store.file.chunks import LayerChunks, reopened
from fastcka.store.file.format import INDEX, FileHeader, safe_id
from fastcka.store.file.opening import open_step, remedy
from fastcka.store.file.stamp import FileStamp
from fastcka.store.index import IndexEntry
from fastcka.store.listing import StepFile, relative_name, step_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from fastcka.store.file.key import Key
    from fastcka.store.file.reader import StepReader

_INDEX_FROM_FILES: Final = 16
"""Smaller stores need no index: opening a file with thousands of ids takes 10 ms."""


@dataclass(frozen=True, slots=True, eq=False)
class UnreadableFile:
    """A file of a store that cannot be read, and the facts known about it.

    Attributes
    ----------
    path, step
        The file, and the step that its name encodes.
    model, factors
        Model and factors according to this file or the model's other files; None if unknown.
    error
        Why the file cannot be read, and the remedy.
    """

    path: Path
    step: int
    model: str | None
    factors: Mapping[str, Any] | None
    error: StoreError

    def is_of(self, model: str) -> bool:
        """Whether it is a file of this model, according to the name of its folder."""
        return self.path.parent.name == safe_id(model)


class HeaderCache:
    """Headers in memory, read from `index.sqlite` if it has them, else from the files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._entries: dict[str, IndexEntry] | None = None
        self._indexed: set[str] = set()

    def scan(self) -> tuple[list[FileHeader], list[UnreadableFile]]:
        """Return all headers, by model and step, and the unreadable files; update the index."""
        files = step_files(self._root)
        headers, errors = self._of_files(files)
        self._save(files)
        folders = {safe_id(header.model): header for header in headers}
        unreadable = [
            _unreadable(file, error, folders.get(file.path.parent.name)) for file, error in errors
        ]
        return sorted(headers, key=lambda header: (header.model, header.step)), unreadable

    def of_model(self, model: str) -> tuple[list[FileHeader], list[StoreError]]:
        """Return the headers of a model's files by step, and the errors of unreadable files."""
        headers, errors = self._of_files(step_files(self._root, model))
        return headers, [error for _, error in errors]

    def of_file(self, path: Path) -> FileHeader:
        """Return the header of one file."""
        try:
            stamp = FileStamp.of(path.lstat())
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
        return self._of_file(StepFile(path, stamp))

    def position(self, reader: StepReader, key: Key) -> int:
        """Return the position of a layer in an open file, trying its cached position first.

        Raises
        ------
        UnknownKeyError
            If the file has no such layer.
        """
        entry = self._entry(reader.path)
        names = [known.name for known in entry.header.layers] if entry is not None else []
        hint = names.index(key.layer) if key.layer in names else 0
        position = reader.position(key.layer, hint)
        if position is None:
            raise unknown_layer(key, reader.layer_names())
        return position

    @contextmanager
    def opened(self, path: Path, key: Key) -> Iterator[tuple[int, LayerChunks]]:
        """Open the file of a layer and yield its descriptor and the layer's chunks.

        If the cached header is still valid, HDF5 does not open the file.
        """
        entry = self._entry(path)
        chunks = None if entry is None else LayerChunks.of(entry.header, key.layer)
        if entry is not None and chunks is not None:
            with (
                remedy(lambda: f"model {key.model!r}, step {key.step},"),
                reopened(path, entry.stamp) as file,
            ):
                if file is not None:
                    yield file, chunks
                    return
        with open_step(path) as reader:
            yield reader.file, reader.chunks(self.position(reader, key))

    def _entry(self, path: Path) -> IndexEntry | None:
        with self._lock:
            return self._loaded().get(relative_name(path))

    def _of_files(
        self, files: Sequence[StepFile]
    ) -> tuple[list[FileHeader], list[tuple[StepFile, StoreError]]]:
        headers, errors = [], []
        for file in files:
            try:
                headers.append(self._of_file(file))
            except StoreError as error:
                errors.append((file, error))
        return headers, errors

    def _of_file(self, file: StepFile) -> FileHeader:
        entry = self._entry(file.path)
        if entry is None or entry.stamp != file.stamp:
            with open_step(file.path) as reader:
                entry = IndexEntry(file.stamp, reader.header())
            with self._lock:
                self._loaded()[file.relative] = entry
                self._indexed.discard(file.relative)
        return entry.header

    def _save(self, files: Sequence[StepFile]) -> None:
        present = {file.relative for file in files}
        with self._lock:
            entries = self._loaded()
            gone = entries.keys() - present
            fresh = {name: entries[name] for name in present - self._indexed if name in entries}
            for name in gone:
                del entries[name]
            if len(present) < _INDEX_FROM_FILES or not (fresh or gone):
                return
            index.save(self._root / INDEX, fresh, gone)
            self._indexed = present

    def _loaded(self) -> dict[str, IndexEntry]:
        if self._entries is None:
            self._entries = index.load(self._root / INDEX)
            self._indexed = set(self._entries)
        return self._entries


def _unreadable(file: StepFile, error: StoreError, other: FileHeader | None) -> UnreadableFile:
    """Return an unreadable file with the model and factors of ``other``, or else of the file."""
    model, factors = (None, None) if other is None else (other.model, other.factors)
    if other is None:
        try:
            with open_step(file.path) as reader:
                model, factors = reader.model, reader.factors
        except StoreError:
            pass
    return UnreadableFile(file.path, file.step, model, factors, error)


def unknown_layer(key: Key, names: Sequence[str]) -> UnknownKeyError:
    """Return the error for a layer that a file lacks. ``names`` are the file's layers."""
    return UnknownKeyError(
        f"model {key.model!r} at step {key.step} has no layer {key.layer!r}"
        f"{near_misses(key.layer, names, heading='it has')}"
    )
