"""The values of measures besides CKA in a ledger: rows of the table ``measures``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastcka.core.measures.table import MEASURES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fastcka.core.measures.table import MeasureName

    Matrices = dict[MeasureName, NDArray[np.float64]]


def insert_measures(db: sqlite3.Connection, group_id: int | None, matrices: Matrices) -> None:
    """Store the (M, M) values of the measures of a group."""
    for name, matrix in matrices.items():
        db.executemany(
            "INSERT INTO measures VALUES (?, ?, ?, ?, ?)",
            (
                (group_id, name, a, b, value)  # sqlite3 stores NaN as NULL
                for a, row in enumerate(matrix)
                for b, value in enumerate(row.tolist())
            ),
        )


def read_measures(db: sqlite3.Connection, group_id: int, count: int) -> Matrices:
    """Return the values of a group of ``count`` representations, in the order of `MEASURES`.

    Raises
    ------
    ValueError
        Values are missing.
    """
    values: dict[str, list[float | None]] = {}
    rows = db.execute(
        "SELECT measure, value FROM measures WHERE group_id = ? "
        "ORDER BY measure, position_a, position_b",
        (group_id,),
    )
    for name, value in rows:
        values.setdefault(name, []).append(value)
    return {
        name: np.array(values[name], np.float64).reshape(count, count)
        for name in MEASURES
        if name in values
    }


def as_stored(matrices: Mapping[MeasureName, NDArray[np.float64]]) -> Matrices:
    """Return the values as a ledger keeps them: in the order of `MEASURES`, without -0."""
    return {name: matrices[name] + 0.0 for name in MEASURES if name in matrices}
