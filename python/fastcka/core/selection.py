"""Representations by position, name or label, and the comparison of some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.columns import STORED
from fastcka.core.comparison import label_text
from fastcka.core.inference.moments import Moments
from fastcka.errors import InputError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison

Labels = Sequence[Mapping[str, Any]]
_MOST_NAMES = 20
"""Names in an error message."""


def position_of(labels: Labels, wanted: Any, argument: str) -> int:
    """Return the position of one representation.

    Parameters
    ----------
    labels
        A mapping from field to value for each representation.
    wanted
        A position; else a name as in `Comparison.names`, a value of a label field that no other
        representation has, or a mapping from some fields to their values.
    argument
        The name of the argument in error messages.

    Raises
    ------
    InputError
        No representation matches, or several do.
    """
    names = [label_text(label) for label in labels]
    positions = _matches(labels, names, wanted)
    if len(positions) == 1:
        return positions[0]
    if positions:
        raise InputError(
            f"{argument}: {wanted!r} matches {len(positions)} representations, "
            f"{_listed([names[i] for i in positions])}: give a whole name, a position, or a "
            "mapping of label fields that only one of them has"
        )
    raise InputError(
        f"{argument}: expected a name or a position from 0 to {len(names) - 1}, got {wanted!r}; "
        f"the names are {_listed(names)}"
    )


def require_pair(key: Any) -> tuple[Any, Any]:
    """Return the two parts of a key that selects one pair."""
    if type(key) is not tuple or len(key) != 2:
        raise InputError(
            f'expected two representations, as in result["layer1", "layer4"], got {key!r}'
        )
    return key


def positions_of(labels: Labels, key: Any, argument: str) -> list[int]:
    """Return the positions of one or more representations: a list, a slice, or an array."""
    wanted: Any = key
    if isinstance(key, np.ndarray):
        is_mask = key.dtype == bool and key.shape == (len(labels),)
        wanted = np.flatnonzero(key).tolist() if is_mask else key.tolist()
    elif isinstance(key, slice):
        try:
            wanted = range(len(labels))[key]
        except TypeError as error:
            raise InputError(f"{argument}: expected a slice of positions, got {key!r}") from error
    if not isinstance(wanted, list | range) or not wanted:
        raise InputError(f"{argument}: expected one or more representations, got {key!r}")
    positions = [position_of(labels, each, argument) for each in wanted]
    if len(set(positions)) != len(positions):
        raise InputError(f"{argument}: expected different representations, got {key!r}")
    return positions


def positions_with(labels: Labels, fields: Mapping[str, Any]) -> list[int]:
    """Return the positions of the representations with these labels; see `Comparison.sel`."""
    known = list(dict.fromkeys(name for label in labels for name in label))
    for name in fields:
        if name not in known:
            raise InputError(f"sel: there is no label field {name!r}{near_misses(name, known)}")
    left = list(range(len(labels)))
    for name, wanted in fields.items():
        values = [labels[i].get(name) for i in left]
        left = [i for i, value in zip(left, values, strict=True) if _is_wanted(value, wanted)]
        if not left:
            seen = _listed(list(dict.fromkeys(map(repr, values))))
            others = " among the rest" if len(fields) > 1 else ""
            raise InputError(
                f"sel: no representation has {name}={wanted!r}; the values{others} are {seen}"
            )
    return left


def positions_of_sides(
    a: Labels, b: Labels, fields: Mapping[str, Any]
) -> tuple[list[int], list[int]]:
    """Return the positions of rows and columns; see `CrossComparison.sel`."""
    known = {name for label in (*a, *b) for name in label}
    wanted: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
    for name, value in fields.items():
        field, _, side = name.rpartition("_")
        if name in known or side not in wanted:
            wanted["a"][name] = wanted["b"][name] = value
        else:
            wanted[side][field] = value
    return positions_with(a, wanted["a"]), positions_with(b, wanted["b"])


def subset_of(comparison: Comparison, positions: Sequence[int]) -> Comparison:
    """Return the comparison of some of the representations, in the order of ``positions``."""
    where = {old: new for new, old in enumerate(positions)}
    pairs = [
        sorted((where[a], where[b]))
        for a, b in comparison.pairs.tolist()
        if a in where and b in where
    ]
    chosen = np.ix_(positions, positions)
    matrices: dict[str, Any] = {}
    for column in STORED:
        matrix = getattr(comparison, column.attribute)
        matrices[column.attribute] = None if matrix is None else matrix[chosen]
    moments = comparison.moments
    if moments is not None:
        moments = Moments(**{name: x[list(positions)] for name, x in moments.arrays().items()})
    provenance = dict(comparison.provenance)
    if "n_features" in provenance:
        provenance["n_features"] = [provenance["n_features"][i] for i in positions]
    if comparison.measures:
        from fastcka.core.measures.compute import record_of

        provenance["measures"] = record_of(provenance["measures"], positions)
    return replace(
        comparison,
        provenance=provenance,
        labels=tuple(comparison.labels[i] for i in positions),
        pairs=np.array(pairs, np.int64).reshape(-1, 2),
        undefined={where[i]: why for i, why in comparison.undefined.items() if i in where},
        moments=moments,
        measures={name: matrix[chosen] for name, matrix in comparison.measures.items()},
        **matrices,
    )


def _matches(labels: Labels, names: Sequence[str], wanted: Any) -> list[int]:
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool):
        return [int(wanted)] if 0 <= wanted < len(labels) else []
    if hasattr(wanted, "_asdict"):
        wanted = wanted._asdict()
    if isinstance(wanted, Mapping):
        return [
            i
            for i, label in enumerate(labels)
            if wanted and all(k in label and _equal(label[k], v) for k, v in wanted.items())
        ]
    if not isinstance(wanted, str | tuple | float):
        return []
    whole = [i for i, name in enumerate(names) if name == wanted]
    return whole or [
        i for i, label in enumerate(labels) if any(_equal(v, wanted) for v in label.values())
    ]


def _is_wanted(value: Any, wanted: Any) -> bool:
    if hasattr(wanted, "tolist"):  # of NumPy or pandas
        wanted = wanted.tolist()
    if _equal(value, wanted):
        return True
    several = isinstance(wanted, list | tuple | set | frozenset | range)
    return several and any(_equal(value, each) for each in wanted)


def _equal(value: Any, wanted: Any) -> bool:
    """Return whether a label has this value; arrays are equal if all their values are."""
    if isinstance(value, np.ndarray) or isinstance(wanted, np.ndarray):
        return np.array_equal(value, wanted)
    return value is wanted or bool(value == wanted)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
