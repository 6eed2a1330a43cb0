"""Tables from what a caller has: results, a comparison, or a table of pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.core import Comparison
from fastcka.core.tables import label_columns
from fastcka.errors import InputError
from fastcka.stats.table import PairTable

if TYPE_CHECKING:
    import pandas as pd


def as_table(given: PairTable | Comparison | pd.DataFrame) -> PairTable:
    """Return the pairs of a `Comparison` or of a data frame as a table.

    Labels of a comparison without ``model``, ``step`` or ``layer`` get the name of the
    representation, 0 and an empty text.

    Raises
    ------
    InputError
        It is neither, or the table is not valid (see `PairTable.from_columns`).
    """
    if isinstance(given, PairTable):
        return given
    if isinstance(given, Comparison):
        return PairTable.from_columns(_columns(given), source="the comparison")
    if hasattr(given, "columns") and hasattr(given, "iloc"):
        return PairTable.from_columns(
            {str(name): given[name] for name in given.columns}, source="the data frame"
        )
    raise InputError(
        "table: expected the result of read_results, a fastcka.Comparison or a data frame with its "
        f"columns, got {type(given).__name__}"
    )


def _columns(comparison: Comparison) -> dict[str, list[Any]]:
    names = comparison.names
    labels = [
        {"model": name, "step": 0, "layer": "", **label}
        for name, label in zip(names, comparison.labels, strict=True)
    ]
    a, b = comparison.pairs.T
    columns = label_columns(labels, comparison.pairs)
    columns["cka"] = comparison.cka[a, b].tolist()
    columns["n_examples"] = [comparison.n_examples] * len(a)
    columns["estimator"] = [comparison.estimator] * len(a)
    return columns
