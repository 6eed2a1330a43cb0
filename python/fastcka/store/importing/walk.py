"""Walking through the folders of a tree, including linked folders, each folder once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fastcka.store.importing.finding import ImportFinding

if TYPE_CHECKING:
    from collections.abc import Iterator


def walk(root: Path, findings: list[ImportFinding]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the names of its folders and files, from the root down.

    The caller may remove names from the list of folders; those folders are not entered. Hidden
    folders (".git") are never entered. A folder reached a second time, through a link, is not
    entered again, but ``findings`` reports it.
    """
    seen: dict[tuple[int, int], Path] = {}
    waiting, links = [root], list[Path]()
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop()
        try:
            status = folder.stat()
            first = seen.setdefault((status.st_dev, status.st_ino), folder)
            if first != folder:
                detail = f"{folder}: the same folder as {first}; read once"
                findings.append(ImportFinding("doubtful", "folder reached twice", detail))
                continue
            folders, files = listed(folder)
        except OSError as error:
            detail = f"{folder}: {error.strerror or error}"
            findings.append(ImportFinding("skipped", "unreadable folder", detail))
            continue
        yield folder, folders, files
        for name in reversed(folders):
            inner = folder / name
            (links if inner.is_symlink() else waiting).append(inner)


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's folders, without hidden ones, and of its other entries."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    folders = [entry.name for entry in ordered if entry.is_dir()]
    files = [entry.name for entry in ordered if not entry.is_dir()]
    return [name for name in folders if not name.startswith(".")], files
