"""Checking a whole store: every file in full, and what does not belong."""

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
    "{}: of format 1.0, which does not detect every damage to ids and columns, nor chunks that are "
    "zeroed, moved or stale without `verify`; `fastcka store upgrade` adds checksums"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of one file found.

    Attributes
    ----------
    path
        The file.
    kind
        "ok"; "error": it cannot be trusted; "leftover": a write that was cut short or is still
        under way, which readers ignore; "unexpected": no part of a store, which readers ignore.
    message
        What is wrong and, where there is one, the remedy. Of a file that is "ok", what its older
        format cannot detect, or empty.
    """

    path: Path
    kind: Literal["ok", "error", "leftover", "unexpected"]
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.kind == "ok"


class Verification:
    """The checks of a store, done one file at a time as it is iterated over.

    `len` is the number of findings to come.
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
                f"{path}: factor {name!r} is {other}, but {one} at step {first.step} of model "
                f"{header.model!r}; write one of the steps again with overwrite=True",
            )
        old = "" if sealed else _OLD.format(path)
        return Finding(path, "ok", old)


def _stranger(path: Path, *, temporary: bool) -> Finding:
    if temporary:
        return Finding(
            path,
            "leftover",
            f"{path}: left by a write that was cut short; delete it unless a write is under way",
        )
    return Finding(path, "unexpected", f"{path}: no part of a store; readers ignore it")
