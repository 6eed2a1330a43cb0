"""The folder of a report, and the record of the files that belong to the report."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from fastcka.errors import InputError, MissingExtraError
from fastcka.files import is_temporary, make_folder, remove_file, replaced_file

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "fastcka.report/1"
RECORD = "report.json"


def claim(folder: Path) -> list[str]:
    """Create the folder, and return the files of an earlier report in it.

    Raises
    ------
    InputError
        The path is a file, or the folder contains files but no report.
    MissingExtraError
        matplotlib, jinja2 or plotly is not installed.
    """
    for library in ("matplotlib", "jinja2", "plotly"):
        _require(library)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"out: expected a folder, got the file {folder}")
    before: list[str] = []
    if folder.is_dir() and not all(is_temporary(path.name) for path in folder.iterdir()):
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            ours = record["format"] == FORMAT
            before = [str(name) for name in record["files"]]
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise InputError(
                f"out: expected a new or empty folder or an earlier report, got {folder}, which is "
                f"not empty and has no valid {RECORD}; choose another folder"
            )
    make_folder(folder)
    if not (folder / RECORD).exists():  # first, so that a failed report can be written again
        _write_record(folder, [])
    for name in ("figures", "tables"):
        make_folder(folder / name)
    return before


def finish(folder: Path, files: list[str], before: list[str]) -> None:
    """Record ``files``, and remove files of an earlier report that this report did not write."""
    _write_record(folder, files)
    for name in set(before) - set(files):
        # Anyone can edit the record, so remove nothing outside the two folders of the report.
        if re.fullmatch(r"(figures|tables)/[A-Za-z0-9._]+", name):
            remove_file(folder / name)


def _write_record(folder: Path, files: list[str]) -> None:
    with replaced_file(folder / RECORD) as temporary:
        text = json.dumps({"format": FORMAT, "files": files}, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


def _require(library: str) -> None:
    from importlib.util import find_spec

    if find_spec(library) is None:
        raise MissingExtraError.of("a report", library, "report")
