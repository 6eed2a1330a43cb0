"""Row labels: the index of a pandas table, the coordinate of an xarray array.

Tables and arrays with the same labels in different orders are brought into one order. pandas gives
a table without an index a default one, 0 to n-1. A default index counts as labels only if the other
labels are integers too; next to names it says no more than the positions of a plain array.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fastcka.arrays.plain import instance_of
from fastcka.errors import InputError

_DEFAULT_DIMENSION: Final = re.compile(r"dim_\d+")  # xarray's names for dimensions without one


def labels_of(x: Any) -> Any | None:
    """Return the pandas Index of an object's rows, (n_examples,); None if it has no labels."""
    if instance_of(x, "pandas", "DataFrame", "Series"):
        return x.index
    if instance_of(x, "xarray", "DataArray") and x.ndim:
        return x.indexes.get(x.dims[0])
    return None


def coordinates_of(x: Any) -> dict[Any, list[Any]]:
    """Return the coordinates along the first dimension of an xarray DataArray, but for its index.

    The levels of a MultiIndex are included. Other objects have none.
    """
    if not instance_of(x, "xarray", "DataArray") or not x.ndim:
        return {}
    first = x.dims[0]
    return {
        name: coordinate.values.tolist()
        for name, coordinate in x.coords.items()
        if coordinate.dims == (first,) and name != first
    }


def given_labels(x: Any) -> Any | None:
    """Return the labels of an object's rows; None if it has none or only a default index."""
    index = labels_of(x)
    return None if index is None or _is_default(index) else index


def aligned(arrays: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Return arrays with their rows in the order of the first array that has labels.

    Arrays without labels are returned unchanged: their rows are matched by position.

    Parameters
    ----------
    arrays
        Arrays of any kind. Only pandas and xarray objects have labels.
    names
        The arrays' names in error messages.

    Raises
    ------
    InputError
        If the labels differ; if a label repeats; if the labels are in different orders and another
        array has none; or if the first dimensions of xarray arrays have different names.
    """
    arrays = list(arrays)
    if _all_without_labels(arrays):
        return arrays
    _check_dimensions(arrays, names)
    indexes = {i: index for i, x in enumerate(arrays) if (index := labels_of(x)) is not None}
    given = [i for i, index in indexes.items() if not _is_default(index)]
    if not given or len(indexes) < 2:
        return arrays
    first = given[0]
    reference = indexes[first]
    integers = reference.inferred_type == "integer"
    compared = [i for i, index in indexes.items() if integers or not _is_default(index)]
    if len(compared) < 2:
        return arrays
    moved = []
    for i in compared:
        if i == first:
            continue
        order = _order(reference, indexes[i], names[first], names[i])
        if order is not None:
            arrays[i] = _in_order(arrays[i], order)
            moved.append(i)
    by_position = [i for i in range(len(arrays)) if i not in compared]
    if moved and by_position:
        raise InputError(
            f"{names[first]} and {names[moved[0]]} have the same row labels in different orders, "
            f"and {names[by_position[0]]} has no labels, so the order of its rows is unknown: "
            f"give it labels too, or bring all rows into one order and pass plain arrays"
        )
    return arrays


def aligned_to_ids(x: Any, labels: Sequence[str], ids: Sequence[str], name: str) -> Any:
    """Return a labelled array with its rows in the order of example ids.

    Parameters
    ----------
    x
        An object for which `given_labels` is not None.
    labels
        The labels of ``x`` as texts, (n_examples,).
    ids
        The example ids, in the desired order.
    name
        The array's name in error messages.

    Raises
    ------
    InputError
        If the labels and the ids differ.
    """
    if list(labels) == list(ids):
        return x
    _refuse_repeated(given_labels(x), name)
    rows = {label: row for row, label in enumerate(labels)}
    absent = [text for text in ids if text not in rows]
    foreign = sorted(set(labels).difference(ids), key=rows.__getitem__)
    if absent or foreign:
        raise _differ("example_ids", absent, len(ids), name, foreign, len(labels))
    return _in_order(x, np.array([rows[text] for text in ids]))


def _all_without_labels(arrays: Sequence[Any]) -> bool:
    """Whether all are arrays of NumPy or torch, as most are."""
    torch = sys.modules.get("torch")
    plain = np.ndarray if torch is None else (np.ndarray, torch.Tensor)
    return all(isinstance(x, plain) for x in arrays)


def _is_default(index: Any) -> bool:
    """Whether an index is the one that pandas gives to a table without an index."""
    if type(index).__name__ != "RangeIndex":
        return False
    return bool(index.start == 0 and index.step == 1)


def _order(reference: Any, index: Any, name: str, other: str) -> NDArray[np.int64] | None:
    """Return the rows that bring ``index`` into the reference's order; None if it is in it."""
    _refuse_repeated(reference, name)
    _refuse_repeated(index, other)
    if reference is index or reference.equals(index):
        return None
    if reference.nlevels != index.nlevels:
        raise InputError(
            f"{name} has row labels with {_levels(reference)} and {other} with {_levels(index)}: "
            f"give both the same index, or compare by position with .to_numpy()"
        )
    order: NDArray[np.int64] = index.get_indexer(reference)
    absent = reference[order < 0].tolist()
    foreign = index[reference.get_indexer(index) < 0].tolist()
    if absent or foreign:
        raise _differ(name, absent, len(reference), other, foreign, len(index))
    return order


def _levels(index: Any) -> str:
    return f"{index.nlevels} level{'s' * (index.nlevels != 1)}"


def _refuse_repeated(index: Any, name: str) -> None:
    if index.is_unique:
        return
    row = int(index.duplicated().argmax())
    labels = index.tolist()
    raise InputError(
        f"{name} has the row label {labels[row]!r} more than once, in rows "
        f"{labels.index(labels[row])} and {row}, so its rows cannot be matched by label: make the "
        f"labels unique, or compare by position with .to_numpy()"
    )


def _differ(
    name: str, absent: list[Any], n: int, other: str, foreign: list[Any], n_other: int
) -> InputError:
    differences = [
        f"{len(labels)} of the {count} labels of {one} are not in {two} (the first: {labels[0]!r})"
        for labels, count, one, two in (
            (absent, n, name, other),
            (foreign, n_other, other, name),
        )
        if labels
    ]
    return InputError(
        f"the row labels of {name} and {other} differ: {' and '.join(differences)}. Give both the "
        f"same examples, or compare by position with .to_numpy()"
    )


def _in_order(x: Any, order: NDArray[np.int64]) -> Any:
    if instance_of(x, "xarray", "DataArray"):
        return x.isel({x.dims[0]: order})
    return x.iloc[order]


def _check_dimensions(arrays: Sequence[Any], names: Sequence[str]) -> None:
    """Refuse xarray arrays whose first dimensions have different names: one may be transposed."""
    first: int | None = None
    for i, x in enumerate(arrays):
        if not instance_of(x, "xarray", "DataArray") or not x.ndim:
            continue
        if first is None:
            first = i
            continue
        one, other = arrays[first].dims, x.dims
        if one[0] == other[0]:
            continue
        labelled = labels_of(arrays[first]) is not None and labels_of(x) is not None
        default = any(_DEFAULT_DIMENSION.fullmatch(str(dims[0])) for dims in (one, other))
        if one[0] in other or other[0] in one or not (labelled or default):
            raise InputError(
                f"the first dimension is {one[0]!r} in {names[first]} and {other[0]!r} in "
                f"{names[i]}; expected the examples in both: use .transpose() or .rename()"
            )
