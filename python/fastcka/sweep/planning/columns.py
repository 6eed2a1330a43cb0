"""The columns of ``results.csv``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fastcka.errors import SweepError
from fastcka.sweep.question.labels import KEY_FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

NUMBERS = (
    "n_examples",
    "n_dropped",
    "dropped",
    "estimator",
    "cka",
    "cka_biased",
    "cka_unbiased",
    "hsic_biased",
    "hsic_unbiased",
    "undefined",
    "device",
    "route",
    "precision",
    "seconds",
)
"""The columns after those of the group and the two sides."""


def column_names(within: Sequence[str], factors: Sequence[str]) -> list[str]:
    """Return the names of the columns of a sweep.

    Raises
    ------
    SweepError
        A factor in ``within`` has the name of another column.
    """
    sides = [f"{field}_{side}" for side in "ab" for field in KEY_FIELDS]
    of_factors = [f"{factor}_{side}" for factor in factors for side in "ab"]
    columns = ["group", *within, *sides, *of_factors, *NUMBERS]
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise SweepError(
            f"results.csv would have two columns '{twice[0]}': leave the factor of that name out "
            "of compare.within, or write the models with the factor renamed"
        )
    return columns
