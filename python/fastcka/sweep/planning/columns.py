"""The columns of ``results.csv``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fastcka.core.columns import COLUMNS, Column
from fastcka.core.measures.table import column_names as columns_of_measures
from fastcka.errors import SweepError
from fastcka.sweep.question.labels import KEY_FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.sweep.question.config import SweepConfig

BEFORE = ("n_examples", "n_dropped", "dropped", "estimator")
"""The columns after those of the group and the two sides, up to CKA."""
AFTER = ("undefined", "device", "route", "precision", "seconds")
"""The columns after the matrices."""


def matrix_columns(*, inference: bool) -> list[Column]:
    """Return the matrices that have a column, in order."""
    return [column for column in COLUMNS if inference or not column.inferred]


def number_columns(config: SweepConfig) -> list[str]:
    """Return the names of CKA, the matrices and the further measures, in order."""
    matrices = matrix_columns(inference=config.inference is not None)
    measures = columns_of_measures(measure.name for measure in config.further_measures)
    return ["cka", *(each.name for each in matrices), *measures]


def column_names(config: SweepConfig, factors: Sequence[str]) -> list[str]:
    """Return the names of the columns of a sweep.

    Raises
    ------
    SweepError
        A factor in ``within`` has the name of another column.
    """
    sides = [f"{field}_{side}" for side in "ab" for field in KEY_FIELDS]
    of_factors = [f"{factor}_{side}" for factor in factors for side in "ab"]
    columns = ["group", *config.compare.within, *sides, *of_factors]
    columns += [*BEFORE, *number_columns(config), *AFTER]
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise SweepError(
            f"results.csv would have two columns '{twice[0]}': leave the factor of that name out "
            "of compare.within, or write the models with the factor renamed"
        )
    return columns
