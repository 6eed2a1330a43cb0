"""The tables of a ledger; they can be queried with ``sqlite3``.

- ``groups``: name, n_examples, precision, provenance (JSON), identity, checksum, committed_at.
- ``representations``: model, step, layer, digest of the data and labels (JSON) at each position of
each group.
- ``similarities``: CKA and HSIC by both estimators for every position_a <= position_b; NaN is NULL.
- ``pairs``: a view that joins the three tables; one row per pair.
"""

from __future__ import annotations

APPLICATION_ID = 0x66636B61  # "fcka" in the header; identifies a ledger
FORMAT_VERSION = 1

SCHEMA = """
CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    identity TEXT NOT NULL UNIQUE,
    keys_digest TEXT NOT NULL,
    name TEXT NOT NULL,
    n_examples INTEGER NOT NULL,
    precision TEXT NOT NULL,
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
    PRIMARY KEY (group_id, position)
) WITHOUT ROWID;
CREATE TABLE similarities (
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    position_a INTEGER NOT NULL,
    position_b INTEGER NOT NULL CHECK (position_a <= position_b),
    cka_biased REAL,
    cka_unbiased REAL,
    hsic_biased REAL,
    hsic_unbiased REAL,
    PRIMARY KEY (group_id, position_a, position_b)
) WITHOUT ROWID;
CREATE VIEW pairs AS
    SELECT g.name AS group_name, a.model AS model_a, a.step AS step_a, a.layer AS layer_a,
           b.model AS model_b, b.step AS step_b, b.layer AS layer_b, g.n_examples,
           s.cka_biased, s.cka_unbiased, s.hsic_biased, s.hsic_unbiased
    FROM similarities s
    JOIN groups g ON g.id = s.group_id
    JOIN representations a ON a.group_id = s.group_id AND a.position = s.position_a
    JOIN representations b ON b.group_id = s.group_id AND b.position = s.position_b
    WHERE s.position_a < s.position_b;
"""
