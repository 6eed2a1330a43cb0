"""Files next to arrays that name their rows: examples.json, examples.csv, ids.txt and so on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import ImportRefusedError, InputError, StoreError
from fastcka.store.foreign.arrays import array_names
from fastcka.store.foreign.examples import id_fields
from fastcka.store.foreign.id_fields import IdField, is_id_name
from fastcka.store.importing.example_table import NO_ROWS, ExampleRows, example_rows
from fastcka.store.importing.jsonfile import MAX_BYTES, UNREADABLE, read_json
from fastcka.store.importing.walk import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

TABLES: Final = ("examples.json", "examples.csv")

_TEXTS: Final = {".txt", ".csv", ".json"}
_DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}


def is_example_file(path: Path, arrays: set[str]) -> bool:
    """Return whether a file contains ids or columns of examples.

    The file's name decides; for a file of arrays, also its content: all arrays must be ids.

    Parameters
    ----------
    path
        The file.
    arrays
        Suffixes of files that contain arrays.
    """
    if path.name in TABLES:
        return True
    if not is_id_name(path.stem):
        return False
    suffix = path.suffix.lower()
    return suffix in _TEXTS or (suffix in arrays and _has_only_ids(path))


def _has_only_ids(path: Path) -> bool:
    try:
        fields = id_fields(path)
        return bool(fields) and fields.keys() >= set(array_names(path))
    except (InputError, StoreError):
        return False  # the error is reported when the file is read as an array


class ExampleFiles:
    """Files that name rows. The last content is cached: all steps of a tree may share a file."""

    def __init__(self) -> None:
        self._last: tuple[tuple[Path, ...], ExampleRows] | None = None
        self._in: dict[Path, list[Path]] = {}

    def files_in(self, folder: Path, arrays: set[str]) -> list[Path]:
        """Return the files in a folder that name rows, sorted by name."""
        if folder not in self._in:
            names = sorted(listed(folder)[1])
            self._in[folder] = [
                folder / name for name in names if is_example_file(folder / name, arrays)
            ]
        return self._in[folder]

    def rows(self, paths: Sequence[Path]) -> ExampleRows:
        """Return the ids and columns of examples in the files of one folder.

        Raises
        ------
        ImportRefusedError
            If a file cannot be read, or there are two tables.
        """
        key = tuple(paths)
        if self._last is None or self._last[0] != key:
            self._last = key, _read_all(key)
        return self._last[1]


def _read_all(paths: Sequence[Path]) -> ExampleRows:
    tables = [path for path in paths if path.name in TABLES]
    if len(tables) > 1:
        raise ImportRefusedError(
            "two files of examples",
            f"{tables[0].parent}: contains {' and '.join(TABLES)}; keep one",
        )
    rows = _read(tables[0]) if tables else NO_ROWS
    fields = list(rows.fields)
    for path in paths:
        if path not in tables:
            fields += _read(path).fields
    return ExampleRows(rows.n_examples, rows.columns, rows.left_out, tuple(fields))


def _read(path: Path) -> ExampleRows:
    """Return the content of one file: a table, or a list of ids."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return _of_list(path, _read_lines(path))
    if suffix == ".json":
        content = read_json(path)
        if not isinstance(content, list):
            raise ImportRefusedError(UNREADABLE, f"{path}: expected a list of objects or of ids")
        if content and not any(isinstance(item, Mapping | list) for item in content):
            return _of_list(path, content)
        return _of_table(path, content)
    if suffix == ".csv":
        return _of_table(path, _read_csv(path))
    try:
        fields = tuple(id_fields(path).values())
    except (InputError, StoreError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    return ExampleRows(None, {}, {}, fields)


def _of_list(path: Path, values: list[Any]) -> ExampleRows:
    return ExampleRows(None, {}, {}, (IdField(path.stem, str(path), values, named=True),))


def _of_table(path: Path, rows: list[Any]) -> ExampleRows:
    if not all(isinstance(row, dict) for row in rows):
        raise ImportRefusedError(UNREADABLE, f"{path}: expected a list of objects")
    return example_rows(rows, ("id",), str(path))


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImportRefusedError(
                UNREADABLE, f"{path}: expected at most {MAX_BYTES} bytes, got more"
            )
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ImportRefusedError(UNREADABLE, f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ImportRefusedError(
            UNREADABLE, f"{path}: not UTF-8 ({error}); save it as UTF-8"
        ) from error


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without empty lines at the end."""
    return _read_text(path).replace("\r\n", "\n").rstrip("\n").split("\n")


def _read_csv(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a CSV file with a header. The header decides the delimiter."""
    text = _read_text(path)
    first = text.partition("\n")[0]
    present = [delimiter for delimiter in _DELIMITERS if delimiter in first] or [","]
    tables, faults = {}, []
    for delimiter in present:
        try:
            tables[delimiter] = _parsed(path, text, delimiter)
        except ImportRefusedError as error:
            faults.append(error)
    if not tables:
        raise faults[0]
    if len(tables) > 1:
        names = " or ".join(_DELIMITERS[delimiter] for delimiter in tables)
        raise ImportRefusedError(
            UNREADABLE,
            f"{path}: its fields could be separated by {names}; quote fields that contain the "
            "other delimiter",
        )
    return next(iter(tables.values()))


def _parsed(path: Path, text: str, delimiter: str) -> list[dict[str, Any]]:
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    except (csv.Error, ValueError) as error:
        raise ImportRefusedError(UNREADABLE, f"{path}: not CSV with a header: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header) or len(set(header)) != len(header):
            raise ImportRefusedError(
                UNREADABLE,
                f"{path}: row {number} has {len(row)} fields, the header has {len(header)}; "
                f"expected equal numbers, separated by {_DELIMITERS[delimiter]}, and each name in "
                f"the header once",
            )
    return [dict(zip(header, row, strict=True)) for row in rows]
