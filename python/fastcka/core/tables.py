"""Comparisons as tables of pandas, datasets of xarray and RDMs of rsatoolbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.columns import COLUMNS
from fastcka.core.geometry import distance_of
from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray
    from rsatoolbox.rdm import RDMs

    from fastcka.core.comparison import Comparison, Matrix
    from fastcka.core.geometry import Distance


def matrices_of(comparison: Comparison) -> dict[str, Matrix]:
    """Return column -> matrix of those that the comparison has."""
    values = {column.name: getattr(comparison, column.attribute) for column in COLUMNS}
    return {name: matrix for name, matrix in values.items() if matrix is not None}


def label_columns(
    labels: Sequence[Mapping[str, Any]], pairs: NDArray[np.int64]
) -> dict[str, list[Any]]:
    """Return ``<field>_a`` and ``<field>_b`` of each pair for every field, None where absent."""
    return {
        f"{name}_{side}": [labels[i].get(name) for i in positions]
        for side, positions in zip("ab", pairs.T, strict=True)
        for name in _fields(labels)
    }


def dataframe_of(comparison: Comparison) -> pd.DataFrame:
    """Return one row for each pair; see `Comparison.to_dataframe`."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError.of("to_dataframe", "pandas", "report") from error
    a, b = comparison.pairs.T
    columns: dict[str, Any] = dict(label_columns(comparison.labels, comparison.pairs))
    columns["n_examples"] = comparison.n_examples
    columns["estimator"] = comparison.estimator
    columns["cka"] = comparison.cka[a, b]
    columns |= {name: matrix[a, b] for name, matrix in matrices_of(comparison).items()}
    if comparison.measures:
        from fastcka.core.measures.table import column_names, pair_columns

        of_pairs = pair_columns(comparison.measures, comparison.pairs)
        columns |= dict(zip(column_names(comparison.measures), of_pairs, strict=True))
    return pd.DataFrame(columns, index=pd.RangeIndex(len(a)))


def dataset_of(comparison: Comparison) -> xr.Dataset:
    """Return the matrices with dimensions a and b; see `Comparison.to_xarray`."""
    every = slice(None)
    return dataset_of_cells(comparison, every, every)


def dataset_of_cells(comparison: Comparison, rows: slice, columns: slice) -> xr.Dataset:
    """Return the matrices, cut to some rows and columns, with dimensions a and b."""
    try:
        import xarray as xr
    except ImportError as error:
        raise MissingExtraError.of("to_xarray", "xarray", "report") from error
    coordinates: dict[str, Any] = {}
    for side, chosen in (("a", rows), ("b", columns)):
        labels = comparison.labels[chosen]
        coordinates[side] = comparison.names[chosen]
        for name in _fields(comparison.labels):
            values = np.empty(len(labels), object)
            values[:] = [label.get(name) for label in labels]
            coordinates[f"{name}_{side}"] = (side, values)
    matrices = dict([*matrices_of(comparison).items(), *comparison.measures.items()])
    return xr.Dataset(
        {name: (("a", "b"), x[rows, columns]) for name, x in matrices.items()},
        coords=coordinates,
        attrs={"estimator": comparison.estimator, "n_examples": comparison.n_examples},
    )


def rdms_of(comparison: Comparison, kind: Distance) -> RDMs:
    """Return distances as an RDM of rsatoolbox; see `Comparison.to_rsatoolbox`."""
    distance = distance_of(comparison, kind)
    try:
        from rsatoolbox.rdm import RDMs
    except ImportError as error:
        raise MissingExtraError(
            "to_rsatoolbox needs rsatoolbox, which is not installed: pip install rsatoolbox"
        ) from error
    measure = f"{kind} distance"
    descriptors: dict[str, Any] = {"n_examples": comparison.n_examples}
    if kind != "procrustes":
        measure += f" of {comparison.estimator} CKA"
        descriptors |= {"estimator": comparison.estimator}
    return RDMs(
        distance[None],
        dissimilarity_measure=measure,
        descriptors=descriptors,
        pattern_descriptors={
            **{
                name: [label.get(name) for label in comparison.labels]
                for name in _fields(comparison.labels)
            },
            "name": comparison.names,
        },
    )


def _fields(labels: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for label in labels for name in label))
