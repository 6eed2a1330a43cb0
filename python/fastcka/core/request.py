"""A checked request for a comparison: labels, pairs, and views of the arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcka.arrays import aligned
from fastcka.core.arrays import StagedRepresentation, as_views
from fastcka.core.comparison import label_text
from fastcka.core.estimators import MIN_EXAMPLES, Estimator
from fastcka.core.subsets import Subsets
from fastcka.core.views import View
from fastcka.errors import InputError
from fastcka.memory import parse_memory


@dataclass(frozen=True)
class Group:
    """Representations that are compared with each other.

    Attributes
    ----------
    representations
        M arrays of shape (n_examples, n_features_i), or a mapping from label to array.
        Those of pandas and xarray are aligned by the labels of their rows, as in `fastcka.compare`.
    labels, pairs, memory
        As in `fastcka.compare`.
    blocks
        Labels of the examples, as `Inference.blocks`, which they replace.
    """

    representations: Sequence[Any] | Mapping[Any, Any]
    labels: Sequence[Any] | None = None
    pairs: ArrayLike | None = None
    memory: int | str | None = None
    blocks: ArrayLike | None = None


@dataclass(frozen=True)
class Flight:
    """Groups that one call of the compiled pass computes together; see `compare_many`.

    Attributes
    ----------
    groups
        `Group`, or what `fastcka.compare` takes as representations.
    """

    groups: Sequence[Group | Sequence[Any] | Mapping[Any, Any]]


#: A group, or its representations, as `fastcka.compare` takes them.
AnyGroup = Group | Sequence[Any] | Mapping[Any, Any]


@dataclass
class Described:
    """A group whose labels and pairs are checked, but not its arrays.

    `names` are the names of the representations in error messages.
    """

    labels: tuple[dict[str, Any], ...]
    names: tuple[str, ...]
    pairs: NDArray[np.int64]
    arrays: list[Any]
    memory: int | None = None
    blocks: ArrayLike | None = None

    @classmethod
    def of_group(cls, group: Group) -> Described:
        """Check the labels and pairs; raises `InputError` as `fastcka.compare` does."""
        labels = group.labels
        if isinstance(group.representations, Mapping):
            labels = list(group.representations) if labels is None else labels
            arrays = list(group.representations.values())
        else:
            arrays = list(group.representations)
        if not arrays:
            raise InputError("representations is empty: at least one is needed")
        records, names = _labelled(labels, len(arrays))
        pairs, memory = checked_pairs(group.pairs, len(arrays)), parse_memory(group.memory)
        return cls(records, names, pairs, arrays, memory, group.blocks)


@dataclass
class Request:
    """A checked group; `names` are the names of the representations in error messages."""

    labels: tuple[dict[str, Any], ...]
    names: tuple[str, ...]
    pairs: NDArray[np.int64]
    views: tuple[View, ...]
    staged: tuple[StagedRepresentation, ...]
    blocks: ArrayLike | None = None
    subsets: Subsets | None = None

    @classmethod
    def of_group(cls, group: Group | Described, estimator: Estimator) -> Request:
        """Check a group; raises `InputError` and `DeviceError` as `fastcka.compare` does."""
        if isinstance(group, Group):
            group = Described.of_group(group)
        names = group.names
        arrays = aligned(group.arrays, names)
        views = as_views(arrays, names)
        check_same_examples([view.n_examples for view in views], names)
        check_enough_examples(views[0].n_examples, estimator)
        staged = tuple([x for x in arrays if isinstance(x, StagedRepresentation)])
        return cls(group.labels, names, group.pairs, views, staged, group.blocks)

    def consume(self) -> None:
        """Mark the staged representations as used."""
        for x in self.staged:
            x.consume()


def _labelled(
    labels: Sequence[Any] | None, m: int
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Return the labels as mappings that the caller may change, and the names in error messages."""
    if labels is None:
        texts = tuple([str(i) for i in range(m)])
        names = tuple([f"representations[{i}]" for i in range(m)])
    elif isinstance(labels, str) or len(labels) != m:
        raise InputError(f"labels must be a sequence of {m}, one for each representation")
    elif all(type(label) is str for label in labels):
        texts = tuple(labels)
        names = _names_of_texts(texts)
    else:
        records = _records(labels)
        return records, _names(records)
    return tuple([{"label": text} for text in texts]), names


@lru_cache(maxsize=64)
def _names_of_texts(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names for labels that are texts; cached, because many calls repeat them."""
    return _names(_records(labels))


def _names(records: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(f"representation {i} ({label_text(record)})" for i, record in enumerate(records))


def _records(labels: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    records = []
    for label in labels:
        if isinstance(label, Mapping):
            records.append(dict(label))
        elif hasattr(label, "_asdict"):
            records.append(dict(label._asdict()))
        else:
            records.append({"label": label})
    first: dict[str, int] = {}
    for position, record in enumerate(records):
        if first.setdefault(repr(record), position) != position:
            raise InputError(
                f"labels must differ from each other; positions {first[repr(record)]} and "
                f"{position} are both '{label_text(record)}'"
            )
    return tuple(records)


def checked_pairs(pairs: ArrayLike | None, m: int) -> NDArray[np.int64]:
    """Return pairs of M representations as (P, 2) positions, a < b; all pairs for None."""
    if pairs is None:
        return _all_pairs(m).copy()  # a copy that the caller may change
    wanted = np.asarray(pairs)
    if wanted.size == 0:
        return np.empty((0, 2), np.int64)
    if wanted.ndim != 2 or wanted.shape[1] != 2 or wanted.dtype.kind not in "iu":
        raise InputError(
            f"pairs must be integers of shape (P, 2), got {wanted.dtype} of shape {wanted.shape}"
        )
    if wanted.min() < 0 or wanted.max() >= m:
        raise InputError(
            f"pairs must be positions from 0 to {m - 1}, got {wanted.min()} to {wanted.max()}"
        )
    wanted = np.sort(wanted.astype(np.int64), axis=1)
    if (wanted[:, 0] == wanted[:, 1]).any():
        raise InputError("pairs must be of two different representations")
    if len(np.unique(wanted, axis=0)) != len(wanted):
        raise InputError("pairs must be unique; (a, b) and (b, a) are the same pair")
    return wanted


@lru_cache(maxsize=64)
def _all_pairs(m: int) -> NDArray[np.int64]:
    return np.stack(np.triu_indices(m, 1), axis=1).astype(np.int64)


def check_same_examples(counts: Sequence[int], names: Sequence[str]) -> None:
    """Refuse different numbers of examples."""
    for count, name in zip(counts, names, strict=True):
        if count != counts[0]:
            raise InputError(
                f"{name} has {count} examples and {names[0]} has {counts[0]}: "
                f"all must have the same examples in the same order"
            )


def check_enough_examples(n: int, estimator: Estimator) -> None:
    """Refuse fewer examples than the estimator needs."""
    if n < MIN_EXAMPLES[estimator]:
        hint = "; the biased estimator needs 2" if estimator == "unbiased" else ""
        raise InputError(
            f"the {estimator} estimator needs at least {MIN_EXAMPLES[estimator]} examples, "
            f"got {n}{hint}"
        )
