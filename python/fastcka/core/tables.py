"""Comparisons as tables of pandas and datasets of xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.columns import COLUMNS
from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from fastcka.core.comparison import Comparison, Matrix


def matrices_of(comparison: Comparison) -> dict[str, Matrix]:
    """Return column -> matrix of those that the comparison has."""
    values = {column.name: getattr(comparison, column.attribute) for column in COLUMNS}
    return {name: matrix for name, matrix in values.items() if matrix is not None}


def dataframe_of(comparison: Comparison) -> pd.DataFrame:
    """Return one row for each pair; see `Comparison.to_dataframe`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError.of("to_dataframe", "pandas", "report") from error
    labels, (a, b) = comparison.labels, comparison.pairs.T
    columns: dict[str, Any] = {}
    for side, positions in (("a", a), ("b", b)):
        for name in _fields(comparison):
            columns[f"{name}_{side}"] = [labels[i].get(name) for i in positions]
    columns["n_examples"] = comparison.n_examples
    columns["estimator"] = comparison.estimator
    columns["cka"] = comparison.cka[a, b]
    columns |= {name: matrix[a, b] for name, matrix in matrices_of(comparison).items()}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(a)))


def dataset_of(comparison: Comparison) -> xr.Dataset:
    """Return the matrices with dimensions a and b; see `Comparison.to_xarray`."""
    try:
        import xarray as xr
    except ImportError as error:
        raise MissingExtraError.of("to_xarray", "xarray", "report") from error
    labels = comparison.labels
    coordinates: dict[str, Any] = {}
    for side in ("a", "b"):
        coordinates[side] = comparison.names
        for name in _fields(comparison):
            values = np.empty(len(labels), object)
            values[:] = [label.get(name) for label in labels]
            coordinates[f"{name}_{side}"] = (side, values)
    return xr.Dataset(
        {name: (("a", "b"), matrix) for name, matrix in matrices_of(comparison).items()},
        coords=coordinates,
        attrs={"estimator": comparison.estimator, "n_examples": comparison.n_examples},
    )


def _fields(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(name for label in comparison.labels for name in label))
