"""The tables of a ledger; they can be queried with ``sqlite3``.

- ``groups``: name, n_examples, precision, inferred (how error bars were computed), measures (JSON:
those besides CKA, with their options), contents (JSON: what was computed), provenance (JSON),
identity, checksum, committed_at.
- ``representations``: model, step, layer, digest of the data, labels (JSON) and numbers for the
null distribution at each position of each group.
- ``similarities``: CKA, HSIC and the other matrices for every position_a <= position_b; NaN is
NULL.
- ``measures``: the values of the measures besides CKA for every position_a and position_b, because
not all are symmetric; NaN is NULL.
- ``pairs``: a view that joins groups, representations and similarities; one row per pair.
"""

from __future__ import annotations

from fastcka.core.columns import STORED
from fastcka.core.inference.moments import MOMENTS

APPLICATION_ID = 0x66636B61  # "fcka" in the header; identifies a ledger
FORMAT_VERSION = 4

#: Columns of `similarities`: CKA and HSIC by both estimators, and what inference adds.
SIMILARITIES = tuple(column.name for column in STORED)
_MOMENTS = "".join(f"    {name} REAL,\n" for name in MOMENTS)
_SIMILARITIES = "".join(f"    {name} REAL,\n" for name in SIMILARITIES)
_OF_PAIRS = ", ".join(f"s.{name}" for name in SIMILARITIES)

_TABLES = """
CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    keys_digest TEXT NOT NULL,
    name TEXT NOT NULL,
    n_examples INTEGER NOT NULL,
    precision TEXT NOT NULL,
    inferred TEXT NOT NULL,
    measures TEXT NOT NULL,
    contents TEXT NOT NULL,
    provenance TEXT NOT NULL,
    checksum TEXT NOT NULL,
    committed_at TEXT NOT NULL
);
CREATE INDEX groups_by_keys ON groups (keys_digest);
CREATE TABLE representations (
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    model TEXT NOT NULL,
    step INTEGER NOT NULL,
    layer TEXT NOT NULL,
    n_features INTEGER NOT NULL,
    digest TEXT NOT NULL,
    labels TEXT NOT NULL,
@moments@    PRIMARY KEY (group_id, position)
) WITHOUT ROWID;
CREATE TABLE similarities (
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    position_a INTEGER NOT NULL,
    position_b INTEGER NOT NULL CHECK (position_a <= position_b),
@similarities@    PRIMARY KEY (group_id, position_a, position_b)
) WITHOUT ROWID;
CREATE TABLE measures (
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    measure TEXT NOT NULL,
    position_a INTEGER NOT NULL,
    position_b INTEGER NOT NULL,
    value REAL,
    PRIMARY KEY (group_id, measure, position_a, position_b)
) WITHOUT ROWID;
CREATE VIEW pairs AS
    SELECT g.name AS group_name, a.model AS model_a, a.step AS step_a, a.layer AS layer_a,
           b.model AS model_b, b.step AS step_b, b.layer AS layer_b, g.n_examples,
           @pairs@
    FROM similarities s
    JOIN groups g ON g.id = s.group_id
    JOIN representations a ON a.group_id = s.group_id AND a.position = s.position_a
    JOIN representations b ON b.group_id = s.group_id AND b.position = s.position_b
    WHERE s.position_a < s.position_b;
"""
SCHEMA = (
    _TABLES.replace("@moments@", _MOMENTS)
    .replace("@similarities@", _SIMILARITIES)
    .replace("@pairs@", _OF_PAIRS)
)
