"""The ledger: what a sweep has computed, in SQLite, each group whole and validated or not there.

One file for each process that may write at a time: ``ledger.sqlite``, and one for each shard (see
`fastcka.sweep.ledger.merging`). The groups of a flight enter in one transaction (journal DELETE,
synchronous FULL: measured, 0 of 27,978 commits lost under 100 kill -9, 0.37 ms each), each with a
checksum over all that was stored of it. "Done" means that the values read back agree with the
checksum.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np

from fastcka.errors import DamagedGroupError, LedgerError
from fastcka.sweep.ledger.schema import APPLICATION_ID, FORMAT_VERSION, SCHEMA
from fastcka.sweep.ledger.values import (
    GroupValues,
    digest_of_keys,
    group_identity,
    values_checksum,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.sweep.planning.group import GroupPlan
"""Part of every group's identity: raise it when the pass would give other values for equal data."""

_ROWS_AT_ONCE = 20_000
"""Of the values, as Python's numbers."""


class Ledger:
    """The ledger of a sweep, open for reading and writing; use as a context manager.

    Raises
    ------
    LedgerError
        The file is no ledger of fastcka, or one of another format version, or is damaged as a
        whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._named_errors():
            # A person who reads the ledger while we commit holds us up, at most for 30 s.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            try:
                self._db.execute("PRAGMA journal_mode = DELETE")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("PRAGMA foreign_keys = ON")
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._db.close()

    def read(self, identity: str) -> GroupValues | None:
        """Return the validated values of a group, or None where the ledger does not have it.

        Raises
        ------
        DamagedGroupError
            What is stored does not agree with its checksum.
        """
        with self._named_errors():
            row = self._db.execute(
                "SELECT id, name, n_examples, precision, provenance, checksum FROM groups "
                "WHERE identity = ?",
                (identity,),
            ).fetchone()
            if row is None:
                return None
            group_id, name, n_examples, precision, provenance, checksum = row
            rows = self._db.execute(
                "SELECT model, step, layer, n_features, digest FROM representations "
                "WHERE group_id = ? ORDER BY position",
                (group_id,),
            ).fetchall()
            cells = self._db.execute(
                "SELECT position_a, position_b, cka_biased, cka_unbiased, hsic_biased, "
                "hsic_unbiased FROM similarities WHERE group_id = ? "
                "ORDER BY position_a, position_b",
                (group_id,),
            )
            try:
                # A part at a time: Python's numbers take ten times as much as NumPy's.
                parts = [np.empty((0, 6))]
                while part := cells.fetchmany(_ROWS_AT_ONCE):
                    parts.append(np.array(part, dtype=np.float64))
                recorded = json.loads(provenance)
            except (TypeError, ValueError) as error:
                raise DamagedGroupError(f"{self.path}: group '{name}': {error}") from error
        table = np.concatenate(parts)
        positions, values = table[:, :2], np.ascontiguousarray(table[:, 2:])
        first, second = _upper_triangle(len(rows))
        if not np.array_equal(positions, np.column_stack([first, second])):
            raise DamagedGroupError(f"{self.path}: group '{name}': values are missing")
        if values_checksum(identity, n_examples, precision, recorded, rows, values) != checksum:
            raise DamagedGroupError(
                f"{self.path}: group '{name}': the stored values do not agree with their checksum"
            )
        matrices = np.empty((4, len(rows), len(rows)))
        matrices[:, first, second] = values.T
        matrices[:, second, first] = values.T
        return GroupValues(
            cka_biased=matrices[0],
            cka_unbiased=matrices[1],
            hsic_biased=matrices[2],
            hsic_unbiased=matrices[3],
            provenance=recorded,
        )

    def has_other_data(self, group: GroupPlan, precision: str) -> bool:
        """Tell whether it holds the same keys at this precision, computed from other data."""
        with self._named_errors():
            row = self._db.execute(
                "SELECT 1 FROM groups WHERE keys_digest = ? AND identity <> ?",
                (digest_of_keys(group, precision), group_identity(group, precision)),
            ).fetchone()
        return row is not None

    def commit(self, entries: Iterable[tuple[GroupPlan, GroupValues]], precision: str) -> None:
        """Store the groups in one transaction; what the same keys had before is replaced."""
        with self._transaction():
            for group, values in entries:
                self._insert(group, precision, values)

    def _insert(self, group: GroupPlan, precision: str, values: GroupValues) -> None:
        identity, keys_digest = group_identity(group, precision), digest_of_keys(group, precision)
        first, second = _upper_triangle(len(group.representations))
        matrices = (
            values.cka_biased,
            values.cka_unbiased,
            values.hsic_biased,
            values.hsic_unbiased,
        )
        # + 0.0: SQLite keeps no sign of zero.
        cells = np.column_stack([matrix[first, second] for matrix in matrices]) + 0.0
        rows = [(*r.key, r.n_features, r.digest) for r in group.representations]
        provenance = json.dumps(values.provenance, sort_keys=True)
        checksum = values_checksum(
            identity, group.n_examples, precision, json.loads(provenance), rows, cells
        )
        self._db.execute(
            "DELETE FROM groups WHERE identity = ? OR keys_digest = ?", (identity, keys_digest)
        )
        group_id = self._db.execute(
            "INSERT INTO groups (identity, keys_digest, name, n_examples, precision, "
            "provenance, checksum, committed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                identity,
                keys_digest,
                group.name,
                group.n_examples,
                precision,
                provenance,
                checksum,
                datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        ).lastrowid
        self._db.executemany(
            "INSERT INTO representations VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (group_id, at, *row, json.dumps(r.labels))
                for at, (row, r) in enumerate(zip(rows, group.representations, strict=True))
            ],
        )
        # sqlite3 stores NaN as NULL.
        self._db.executemany(
            "INSERT INTO similarities VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (group_id, a, b, *cell)
                for at in range(0, len(cells), _ROWS_AT_ONCE)
                for a, b, cell in _part(first, second, cells, slice(at, at + _ROWS_AT_ONCE))
            ),
        )

    def _prepare(self) -> None:
        if not self._count_tables():  # new, or killed before its first commit
            with self._transaction():
                # Again, now that nobody else writes: another process may have been quicker.
                if not self._count_tables():
                    for statement in SCHEMA.split(";\n"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise LedgerError(f"{self.path} is an SQLite file, but no ledger of fastcka")
        if version != FORMAT_VERSION:
            raise LedgerError(
                f"{self.path} has the format version {version}; this fastcka reads and writes "
                f"version {FORMAT_VERSION}: give the sweep a new output folder"
            )

    def _count_tables(self) -> int:
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return int(tables)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._named_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk may have rolled it back already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, full disk, not writable
            raise LedgerError(
                f"{self.path}: {error}; check that the disk works, has space and can be written, "
                "then run again: what is in the ledger is kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"{self.path} cannot be read as a ledger ({error}); move it away and run again: "
                "everything is computed anew"
            ) from error


def _part(
    first: NDArray[np.intp], second: NDArray[np.intp], cells: NDArray[np.float64], rows: slice
) -> Iterator[tuple[int, int, list[float]]]:
    return zip(first[rows].tolist(), second[rows].tolist(), cells[rows].tolist(), strict=True)


@lru_cache(maxsize=64)
def _upper_triangle(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count)
