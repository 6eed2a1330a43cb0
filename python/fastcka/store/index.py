"""index.sqlite: a cache of file headers, so that a store can be listed without opening its files.

An entry is used only while its file has the size, times and inode that it had when the entry was
made; the time of the last status change (ctime) cannot be set by hand. The entry must also match
its digest, because SQLite's pages have no checksums. The index can be deleted at any time. A
damaged index is replaced. If the index cannot be written, the files are opened instead. Values that
are read from the positions in an entry are compared with their checksums.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastcka.digests import text_digest
from fastcka.store.file.format import FileHeader, LayerHeader
from fastcka.store.file.stamp import FileStamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_LAYOUT: Final = 5  # increase with every change of the table or of `FileHeader`
_WAIT_SECONDS: Final = 2.0
_NOT_WRITABLE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_CREATE: Final = f"""
PRAGMA user_version = {_LAYOUT};
CREATE TABLE IF NOT EXISTS headers (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER,
    header TEXT, digest TEXT
) WITHOUT ROWID;
"""


class IndexEntry(NamedTuple):
    """The header of a file, and the file's stamp when the header was read."""

    stamp: FileStamp
    header: FileHeader


def load(path: Path) -> dict[str, IndexEntry]:
    """Return the entries of an index: relative path -> stamp and header.

    If the index is missing, damaged or busy, there are no entries and the files are opened.
    """
    if not path.is_file() or path.is_symlink():
        return {}
    try:
        with closing(_connect(path)) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (_LAYOUT,):
                return {}
            rows = connection.execute("SELECT * FROM headers").fetchall()
            return {
                relative: IndexEntry(FileStamp(*stamp), _header(text))
                for relative, *stamp, text, digest in rows
                if digest == text_digest(repr((relative, *stamp, text)))
            }
    except (sqlite3.Error, ValueError, KeyError, TypeError, RecursionError, UnicodeError):
        return {}


def save(path: Path, fresh: Mapping[str, IndexEntry], gone: Iterable[str]) -> None:
    """Add entries to an index and delete those of files that are gone.

    A damaged index is replaced. An index that cannot be written (a read-only folder) is left
    unchanged: it only saves time, and no result depends on it.
    """
    if path.is_symlink():
        return
    for attempt in range(2):
        try:
            with closing(_connect(path)) as connection, connection:
                if connection.execute("PRAGMA user_version").fetchone() != (_LAYOUT,):
                    connection.execute("DROP TABLE IF EXISTS headers")
                    connection.executescript(_CREATE)
                connection.executemany(
                    "DELETE FROM headers WHERE path = ?", [(relative,) for relative in gone]
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO headers VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [_row(relative, *entry) for relative, entry in fresh.items()],
                )
            return
        except (sqlite3.Error, UnicodeError) as error:
            if attempt or getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_WRITABLE:
                return
            try:
                path.unlink(missing_ok=True)
            except OSError:
                return


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _row(relative: str, stamp: FileStamp, header: FileHeader) -> tuple[object, ...]:
    values = (relative, *stamp, json.dumps(asdict(header)))
    return (*values, text_digest(repr(values)))


def _header(text: str) -> FileHeader:
    value: dict[str, Any] = json.loads(text)
    layers = tuple(
        LayerHeader(**{**layer, **{name: _tuple(layer[name]) for name in ("offsets", "checksums")}})
        for layer in value.pop("layers")
    )
    return FileHeader(**{**value, "columns": tuple(value["columns"]), "layers": layers})


def _tuple(numbers: list[int] | None) -> tuple[int, ...] | None:
    return None if numbers is None else tuple(numbers)
