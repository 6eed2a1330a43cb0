"""The matrices of a `Comparison`, and their columns in tables, files and ledgers.

A matrix that is added to STORED is kept in saved files and ledgers. Those of COLUMNS appear in
`to_dataframe`, `to_xarray` and ``results.csv``.
"""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One matrix.

    Attributes
    ----------
    attribute
        The attribute of `Comparison`, (M, M) or None.
    name
        The column of a table.
    inferred
        Whether the matrix exists only if ``inference`` was asked for.
    """

    attribute: str
    name: str
    inferred: bool = False


#: Results of the jackknife; errors and intervals at any level follow from them.
JACKKNIFE = tuple(
    Column(f"{name}_{estimator}", f"{name}_{estimator}", inferred=True)
    for estimator in ("biased", "unbiased")
    for name in ("stderr", "fisher_mean", "fisher_sd")
)
#: Computed from the representations, so files and ledgers contain them.
STORED = (
    Column("biased", "cka_biased"),
    Column("unbiased", "cka_unbiased"),
    Column("hsic_biased", "hsic_biased"),
    Column("hsic_unbiased", "hsic_unbiased"),
    Column("feature_corrected", "feature_corrected"),
    *JACKKNIFE,
)
#: Computed from stored values when they are asked for.
DERIVED = (
    Column("null_mean", "null_mean"),
    Column("null_sd", "null_sd"),
    Column("z", "z"),
    Column("p_value", "p_value", inferred=True),
    Column("q_value", "q_value", inferred=True),
    Column("calibrated", "calibrated", inferred=True),
    Column("stderr", "stderr", inferred=True),
    Column("ci_low", "ci_low", inferred=True),
    Column("ci_high", "ci_high", inferred=True),
)
#: Those that every comparison has, also one that an earlier version saved.
REQUIRED = STORED[:4]
#: Those of tables.
COLUMNS = tuple(column for column in STORED + DERIVED if column not in JACKKNIFE)
