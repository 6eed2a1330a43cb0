"""The files in a store's folder, listed without opening them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastcka.errors import StoreError, UnsafeFileError
from fastcka.files import is_temporary
from fastcka.store.file.format import INDEX, MARKER, MODELS, safe_id, step_of_name
from fastcka.store.file.stamp import FileStamp

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_THE_ROOT: Final = {MARKER, INDEX, f"{INDEX}-journal", MODELS}


@dataclass(frozen=True, slots=True)
class StepFile:
    """A file that is named like a model's step."""

    path: Path
    stamp: FileStamp

    @property
    def step(self) -> int:
        """The step that the file name encodes."""
        return int(self.path.stem)

    @property
    def relative(self) -> str:
        """Path relative to the store's folder, for the index."""
        return relative_name(self.path)


def relative_name(path: Path) -> str:
    """Return the path of a step's file relative to the store's folder."""
    return f"{MODELS}/{path.parent.name}/{path.name}"


def step_files(root: Path, model: str | None = None) -> list[StepFile]:
    """Return the files of all models, or of one model, by folder and step.

    Raises
    ------
    UnsafeFileError
        If a folder or file is a symbolic link.
    StoreError
        If a folder cannot be read.
    """
    folders = model_folders(root) if model is None else [root / MODELS / safe_id(model)]
    return [file for folder in folders for file in files_in(folder, root)]


def model_folders(root: Path) -> list[Path]:
    """Return the folders of all models by name, including links to folders."""
    return [Path(entry.path) for entry in _entries(root / MODELS, root) if entry.is_dir()]


def strangers(root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each path that readers ignore, and whether it is an unfinished write."""
    folders = model_folders(root)
    known = {root: _AT_THE_ROOT, root / MODELS: {folder.name for folder in folders}}
    for folder in (root, root / MODELS, *folders):
        if folder in folders and folder.is_symlink():
            continue  # `files_in` refuses it
        for entry in _entries(folder, root):
            if entry.name not in known.get(folder, ()) and step_of_name(entry.name) is None:
                yield Path(entry.path), is_temporary(entry.name)


def files_in(folder: Path, root: Path) -> list[StepFile]:
    """Return the files of one model's folder by step; see `step_files`."""
    files = []
    for entry in _entries(folder, root):
        if step_of_name(entry.name) is not None:
            try:
                stamp = FileStamp.of(entry.stat(follow_symlinks=False))
            except OSError as error:
                raise StoreError(f"{entry.path}: {error.strerror or error}") from error
            files.append(StepFile(Path(entry.path), stamp))
    return sorted(files, key=lambda file: file.step)


def _entries(folder: Path, root: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name; none if the folder is missing (nothing written yet)."""
    if folder != root and folder.is_symlink():
        raise UnsafeFileError(f"{folder}: expected a folder, got a symbolic link")
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder}: cannot be listed: {error.strerror or error}") from error
