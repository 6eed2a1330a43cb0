"""Checking a whole store: each file in full, and files that are not part of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from fastcka.errors import StoreError
from fastcka.store.file.jsontext import factor_difference
from fastcka.store.file.opening import open_step
from fastcka.store.file.reader import SEALED_SINCE
from fastcka.store.listing import StepFile, files_in, model_folders, strangers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastcka.store.file.format import FileHeader


_OLD: Final = (
    "{}: the file has format 1.0, which cannot detect all damage to ids and columns, and which "
    "detects chunks that are zeroed, moved or stale only in `verify`; `fastcka store upgrade` adds "
    "checksums"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of checking one file.

    Attributes
    ----------
    path
        The file.
    kind
        "ok"; "error": the file cannot be trusted; "leftover": an interrupted or unfinished write;
        "unexpected": not part of a store. Readers ignore files of the last two kinds.
    message
        The problem and, if there is one, the remedy. For "ok", the damage that an older format
        cannot detect, or empty.
    """

    path: Path
    kind: Literal["ok", "error", "leftover", "unexpected"]
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the file is sound."""
        return self.kind == "ok"


class Verification:
    """An iterable of findings that checks one file of a store per iteration.

    `len` is the number of findings.
    """

    def __init__(self, root: Path) -> None:
        self._files: list[StepFile] = []
        self._others: list[Finding] = []
        try:
            for folder in model_folders(root):
                self._list(folder, root)
            self._others += [_stranger(path, temporary=cut) for path, cut in strangers(root)]
        except StoreError as error:
            self._others.append(Finding(root, "error", str(error)))
        self._first: dict[str, FileHeader] = {}

    def __len__(self) -> int:
        return len(self._files) + len(self._others)

    def __iter__(self) -> Iterator[Finding]:
        self._first.clear()
        for file in self._files:
            yield self._check(file.path)
        yield from self._others

    def _list(self, folder: Path, root: Path) -> None:
        try:
            self._files += files_in(folder, root)
        except StoreError as error:
            self._others.append(Finding(folder, "error", str(error)))

    def _check(self, path: Path) -> Finding:
        try:
            with open_step(path) as reader:
                sealed = reader.version >= SEALED_SINCE
                header = reader.header()
                reader.examples.examples()
                for position, layer in enumerate(header.layers):
                    reader.check_values(position, layer)
        except StoreError as error:
            return Finding(path, "error", str(error))
        first = self._first.setdefault(header.model, header)
        difference = factor_difference(first.factors, header.factors)
        if difference is not None:
            name, one, other = difference
            return Finding(
                path,
                "error",
                f"{path}: factor {name!r}: expected {one}, as at step {first.step} of model "
                f"{header.model!r}, got {other}; write one of the steps again with overwrite=True",
            )
        old = "" if sealed else _OLD.format(path)
        return Finding(path, "ok", old)


def _stranger(path: Path, *, temporary: bool) -> Finding:
    if temporary:
        return Finding(
            path,
            "leftover",
            f"{path}: left by an interrupted write; delete it unless a write is running",
        )
    return Finding(path, "unexpected", f"{path}: not part of a store; readers ignore it")
