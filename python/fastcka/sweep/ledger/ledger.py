"""The ledger: the computed groups of a sweep, in SQLite.

A process writes only one file: ``ledger.sqlite``, or the file of its shard (see
`fastcka.sweep.ledger.merging`). One transaction stores all groups of a flight (journal DELETE,
synchronous FULL; of 27,978 commits under 100 kill -9 none was lost, and each took 0.37 ms). Each
group has a checksum of everything that is stored about it. A group is done if its values agree with
the checksum.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np

from fastcka.core.columns import STORED
from fastcka.core.inference.moments import MOMENTS
from fastcka.errors import DamagedGroupError, LedgerError
from fastcka.sweep.ledger.measures import as_stored, insert_measures, read_measures
from fastcka.sweep.ledger.schema import APPLICATION_ID, FORMAT_VERSION, SCHEMA, SIMILARITIES
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
    from fastcka.sweep.question.computation import Computation

_REPRESENTATION = ", ".join(("model", "step", "layer", "n_features", "digest", *MOMENTS))
_ROWS_AT_ONCE = 20_000
"""Rows of values that are converted to Python numbers at a time."""


class Ledger:
    """The ledger of a sweep, open for reading and writing; use as a context manager.

    Raises
    ------
    LedgerError
        The file is not a ledger of fastcka, has another format version, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._named_errors():
            # Another program that reads the ledger may delay a commit; wait at most 30 s.
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
        """Return the validated values of a group; None if the ledger does not contain the group.

        Raises
        ------
        DamagedGroupError
            The stored values do not agree with their checksum.
        """
        with self._named_errors():
            row = self._db.execute(
                "SELECT id, name, n_examples, precision, contents, provenance, checksum "
                "FROM groups WHERE identity = ?",
                (identity,),
            ).fetchone()
            if row is None:
                return None
            group_id, name, n_examples, precision, contents, provenance, checksum = row
            rows = self._db.execute(
                f"SELECT {_REPRESENTATION} FROM representations "  # noqa: S608
                "WHERE group_id = ? ORDER BY position",
                (group_id,),
            ).fetchall()
            cells = self._db.execute(
                f"SELECT position_a, position_b, {', '.join(SIMILARITIES)} "  # noqa: S608
                "FROM similarities WHERE group_id = ? ORDER BY position_a, position_b",
                (group_id,),
            )
            try:
                # In parts: Python numbers take ten times the memory of NumPy's.
                parts = [np.empty((0, 2 + len(SIMILARITIES)))]
                while part := cells.fetchmany(_ROWS_AT_ONCE):
                    parts.append(np.array(part, dtype=np.float64))
                moments = np.array([row[5:] for row in rows], dtype=np.float64)
                measures = read_measures(self._db, group_id, len(rows))
                rows = [row[:5] for row in rows]
                recorded, computed = json.loads(provenance), json.loads(contents)
            except (TypeError, ValueError) as error:
                raise DamagedGroupError(f"{self.path}: group '{name}': {error}") from error
        table = np.concatenate(parts)
        positions, values = table[:, :2], np.ascontiguousarray(table[:, 2:])
        first, second = _upper_triangle(len(rows))
        if not np.array_equal(positions, np.column_stack([first, second])):
            raise DamagedGroupError(f"{self.path}: group '{name}': values are missing")
        expected = values_checksum(
            *(identity, n_examples, precision, computed, recorded, rows),
            *(values, moments, *measures.values()),
        )
        if expected != checksum:
            raise DamagedGroupError(
                f"{self.path}: group '{name}': the stored values do not agree with their checksum"
            )
        matrices = {}
        for column, stored in zip(STORED, values.T, strict=True):
            if column.name in computed:
                matrix = np.empty((len(rows), len(rows)))
                matrix[first, second] = matrix[second, first] = stored
                matrices[column.attribute] = matrix
        return GroupValues(
            matrices=matrices,
            moments={
                name: np.ascontiguousarray(array)
                for name, array in zip(MOMENTS, moments.T, strict=True)
                if name in computed
            },
            provenance=recorded,
            measures=measures,
        )

    def has_other_data(self, group: GroupPlan, computation: Computation) -> bool:
        """Return whether it contains these keys at this precision, computed from other data."""
        with self._named_errors():
            row = self._db.execute(
                "SELECT 1 FROM groups WHERE keys_digest = ? AND identity <> ?",
                (digest_of_keys(group, computation), group_identity(group, computation)),
            ).fetchone()
        return row is not None

    def commit(
        self, entries: Iterable[tuple[GroupPlan, GroupValues]], computation: Computation
    ) -> None:
        """Store the groups in one transaction, and replace earlier values of the same keys."""
        with self._transaction():
            for group, values in entries:
                self._insert(group, computation, values)

    def _insert(self, group: GroupPlan, computation: Computation, values: GroupValues) -> None:
        identity = group_identity(group, computation)
        keys_digest = digest_of_keys(group, computation)
        first, second = _upper_triangle(len(group.representations))
        nothing = np.full((len(group.representations),) * 2, np.nan)
        of_pairs = [values.matrices.get(column.attribute, nothing) for column in STORED]
        # + 0.0, because SQLite does not keep the sign of a zero.
        cells = np.column_stack([matrix[first, second] for matrix in of_pairs]) + 0.0
        moments = np.column_stack([values.moments.get(name, nothing[0]) for name in MOMENTS]) + 0.0
        rows = [(*r.key, r.n_features, r.digest) for r in group.representations]
        sample = group.examples.sample
        sampled = {} if sample is None else {"sample": asdict(sample)}
        provenance = json.dumps(values.provenance | sampled, sort_keys=True)
        names = {column.attribute: column.name for column in STORED}
        measures = as_stored(values.measures)
        contents = [*(names[each] for each in values.matrices), *values.moments, *measures]
        contents.sort()
        checksum = values_checksum(
            identity,
            group.n_examples,
            computation.precision,
            contents,
            json.loads(provenance),
            rows,
            *(cells, moments, *measures.values()),
        )
        self._db.execute(
            "DELETE FROM groups WHERE identity = ? OR keys_digest = ?", (identity, keys_digest)
        )
        group_id = self._db.execute(
            "INSERT INTO groups (identity, keys_digest, name, n_examples, precision, "
            "inferred, measures, contents, provenance, checksum, committed_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                identity,
                keys_digest,
                group.name,
                group.n_examples,
                computation.precision,
                computation.inferred,
                computation.measures,
                json.dumps(contents),
                provenance,
                checksum,
                datetime.now(UTC).isoformat(timespec="seconds"),
            ),
        ).lastrowid
        self._db.executemany(
            f"INSERT INTO representations VALUES ({_marks(8 + len(MOMENTS))})",  # noqa: S608
            [
                (group_id, at, *row, json.dumps(r.labels), *numbers)
                for at, (row, r, numbers) in enumerate(
                    zip(rows, group.representations, moments.tolist(), strict=True)
                )
            ],
        )
        insert_measures(self._db, group_id, measures)
        # sqlite3 stores NaN as NULL.
        self._db.executemany(
            f"INSERT INTO similarities VALUES ({_marks(3 + len(STORED))})",  # noqa: S608
            (
                (group_id, a, b, *cell)
                for start in range(0, len(cells), _ROWS_AT_ONCE)
                for a, b, cell in _part(first, second, cells, slice(start, start + _ROWS_AT_ONCE))
            ),
        )

    def _prepare(self) -> None:
        if not self._count_tables():  # new, or from a run that was killed before its first commit
            with self._transaction():
                # Check again under the lock: another process may have created the tables meanwhile.
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
                # On a full disk, SQLite may have rolled back already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, not writable, a full disk
            raise LedgerError(
                f"{self.path}: {error}; check that the disk works, has space and can be written, "
                "then run again: what is in the ledger is kept"
            ) from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"{self.path} cannot be read as a ledger ({error}); move it away and run again: "
                "everything is computed anew"
            ) from error


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _part(
    first: NDArray[np.intp], second: NDArray[np.intp], cells: NDArray[np.float64], rows: slice
) -> Iterator[tuple[int, int, list[float]]]:
    return zip(first[rows].tolist(), second[rows].tolist(), cells[rows].tolist(), strict=True)


@lru_cache(maxsize=64)
def _upper_triangle(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(count)
