"""The headers of a store's files, remembered while the files stay as they are."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from fastcka.errors import StoreError
from fastcka.store import index
from fastcka.store.format import INDEX, FileHeader
from fastcka.store.index import Record, Signature
from fastcka.store.listing import StepFile, step_files
from fastcka.store.reader import open_step

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_INDEX_FROM_FILES: Final = 64
"""Opening fewer files than this takes no time that anyone would notice: no index is kept."""


class HeaderCache:
    """Headers in memory, filled from `index.sqlite` and else from the files themselves."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._records: dict[str, Record] | None = None
        self._indexed: set[str] = set()

    def all(self) -> list[FileHeader]:
        """Return the headers of all files, by model and step; brings the index up to date."""
        files = step_files(self._root)
        headers = self._of_files(files)
        self._save(files)
        return sorted(headers, key=lambda header: (header.model, header.step))

    def of_model(self, model: str, *, but_step: int | None = None) -> list[FileHeader]:
        """Return the headers of a model's files by step, perhaps leaving out one step."""
        files = step_files(self._root, model)
        return self._of_files([file for file in files if file.step != but_step])

    def of_file(self, path: Path) -> FileHeader:
        """Return the header of one file."""
        try:
            signature = Signature.of(path.lstat())
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
        return self._of_files([StepFile(path, 0, signature)])[0]

    def hint(self, path: Path, layer: str) -> int:
        """Return where a layer stood in its file when last looked at; 0 if that is not known."""
        with self._lock:
            record = self._loaded().get(StepFile(path, 0, Signature(0, 0, 0)).relative)
        names = [known.name for known in record[1].layers] if record is not None else []
        return names.index(layer) if layer in names else 0

    def _of_files(self, files: Sequence[StepFile]) -> list[FileHeader]:
        headers = []
        for file in files:
            with self._lock:
                record = self._loaded().get(file.relative)
            if record is None or record[0] != file.signature:
                with open_step(file.path) as reader:
                    record = (file.signature, reader.header())
                with self._lock:
                    self._loaded()[file.relative] = record
                    self._indexed.discard(file.relative)
            headers.append(record[1])
        return headers

    def _save(self, files: Sequence[StepFile]) -> None:
        present = {file.relative for file in files}
        with self._lock:
            records = self._loaded()
            gone = records.keys() - present
            fresh = {name: records[name] for name in present - self._indexed if name in records}
            for name in gone:
                del records[name]
            if len(present) < _INDEX_FROM_FILES or not (fresh or gone):
                return
            index.save(self._root / INDEX, fresh, gone)
            self._indexed = present

    def _loaded(self) -> dict[str, Record]:
        if self._records is None:
            self._records = index.load(self._root / INDEX)
            self._indexed = set(self._records)
        return self._records
