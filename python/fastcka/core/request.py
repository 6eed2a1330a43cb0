"""A checked request for a comparison: labels, pairs, and views of the arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcka.arrays import aligned
from fastcka.core.arrays import StagedRepresentation, as_views
from fastcka.core.comparison import label_text
from fastcka.core.estimators import MIN_EXAMPLES, Estimator
from fastcka.core.members import members_of, refuse_stacks
from fastcka.core.subsets import Subsets
from fastcka.core.views import View
from fastcka.errors import InputError
from fastcka.memory import parse_memory

if TYPE_CHECKING:
    from fastcka.core.measures.compute import Measured

#: Their values in Python have the same digits; float32 would get others.
_SCALARS = (np.bool_, np.integer, np.float64, np.str_)
#: Types that name a representation in pairs; an integer is a position.
_NAMES = (str, tuple, Mapping)


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
    def of_group(cls, group: Group, noun: str = "representation") -> Described:
        """Check the labels and pairs; raises `InputError` as `fastcka.compare` does."""
        argument = f"{noun}s"
        labels, arrays = members_of(group.representations, argument)
        if not arrays:
            raise InputError(f"{argument} is empty: at least one is needed")
        records, names = _labelled(labels if group.labels is None else group.labels, arrays, noun)
        pairs, memory = checked_pairs(group.pairs, records), parse_memory(group.memory)
        return cls(records, names, pairs, arrays, memory, group.blocks)

    @classmethod
    def of_two_sets(
        cls, a: Any, b: Any, labels: Any, memory: int | str | None = None
    ) -> tuple[Described, int]:
        """Return the group of both sets, with the pairs A x B, and the number of A.

        A label may be in both sets. ``labels`` is None, or the labels of both.
        """
        for each, argument in ((a, "representations"), (b, "others")):
            refuse_stacks(each, argument)
        both = (None, None) if labels is None else labels
        if not isinstance(both, list | tuple) or len(both) != 2 or isinstance(both[0], str):
            raise InputError(
                f"labels: for two sets expected a pair (labels of the first set, labels of the "
                f"second), got {labels!r}"
            )
        first = cls.of_group(Group(a, both[0], memory=memory))
        second = cls.of_group(Group(b, both[1]), "other")
        count = len(first.arrays)
        grid = np.indices((count, len(second.arrays))).reshape(2, -1).T
        group = replace(
            first,
            labels=first.labels + second.labels,
            names=first.names + second.names,
            pairs=(grid + np.array([0, count])).astype(np.int64),
            arrays=first.arrays + second.arrays,
        )
        return group, count


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
    measured: Measured | None = None

    @classmethod
    def of_group(cls, group: Group | Described, estimator: Estimator) -> Request:
        """Check a group; raises `InputError` and `DeviceError` as `fastcka.compare` does."""
        if isinstance(group, Group):
            group = Described.of_group(group)
        names = group.names
        arrays, blocks = group.arrays, group.blocks
        if blocks is None:
            arrays = aligned(arrays, names)
        else:
            *arrays, blocks = aligned([*arrays, blocks], [*names, "blocks"])
        views = as_views(arrays, names)
        check_same_examples([view.n_examples for view in views], names)
        check_enough_examples(views[0].n_examples, estimator)
        staged = tuple([x for x in arrays if isinstance(x, StagedRepresentation)])
        return cls(group.labels, names, group.pairs, views, staged, blocks)

    def consume(self) -> None:
        """Mark the staged representations as used."""
        for x in self.staged:
            x.consume()


def _labelled(
    labels: Sequence[Any] | None, arrays: Sequence[Any], noun: str
) -> tuple[tuple[dict[str, Any], ...], tuple[str, ...]]:
    """Return the labels as mappings that the caller may change, and the names in error messages."""
    m = len(arrays)
    if labels is None:
        texts = tuple([str(i) for i in range(m)])
        names = tuple([f"{noun}s[{i}]" for i in range(m)])
    elif isinstance(labels, str) or not isinstance(labels, Sized):
        raise InputError(f"labels must be a sequence of {m}, one for each {noun}; got {labels!r}")
    elif len(labels) != m:
        raise InputError(
            f"labels must be a sequence of {m}, one for each {noun}; got {len(labels)}"
        )
    elif all(type(label) is str for label in labels):
        texts = tuple(labels)
        names = _names_of_texts(texts, noun)
    else:
        records = _records(labels)
        return records, _names(records, noun)
    return tuple([{"label": text} for text in texts]), names


@lru_cache(maxsize=64)
def _names_of_texts(labels: tuple[str, ...], noun: str) -> tuple[str, ...]:
    """Return the names for labels that are texts; cached, because many calls repeat them."""
    return _names(_records(labels), noun)


def _names(records: Sequence[dict[str, Any]], noun: str) -> tuple[str, ...]:
    return tuple(f"{noun} {i} ({label_text(record)})" for i, record in enumerate(records))


def _records(labels: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    records = []
    for label in labels:
        if hasattr(label, "_asdict"):
            label = label._asdict()
        fields = label if isinstance(label, Mapping) else {"label": label}
        records.append({name: _plain(value) for name, value in fields.items()})
    first: dict[str, int] = {}
    for position, record in enumerate(records):
        if first.setdefault(repr(record), position) != position:
            raise InputError(
                f"labels must differ from each other; positions {first[repr(record)]} and "
                f"{position} are both '{label_text(record)}'"
            )
    return tuple(records)


def _plain(value: Any) -> Any:
    """Return Python's value for one of NumPy, so that equal labels have the same text."""
    if type(value) is tuple or type(value) is list:
        return type(value)(_plain(each) for each in value)
    return value.item() if isinstance(value, _SCALARS) else value


def checked_pairs(pairs: Any, labels: Sequence[dict[str, Any]]) -> NDArray[np.int64]:
    """Return pairs of M representations as (P, 2) positions, a < b; all pairs for None."""
    m = len(labels)
    if pairs is None:
        return _all_pairs(m).copy()  # a copy that the caller may change
    try:
        wanted = np.asarray(_positions(pairs, labels))
    except ValueError as error:
        raise InputError(f"pairs must be integers or names of shape (P, 2): {error}") from error
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


def _positions(pairs: Any, labels: Sequence[dict[str, Any]]) -> Any:
    """Return pairs with positions in place of names; other pairs unchanged."""
    if hasattr(pairs, "__array__"):
        pairs = np.asarray(pairs)
        if pairs.dtype.kind not in "UO":
            return pairs
        pairs = pairs.tolist()
    if not isinstance(pairs, Iterable):
        return pairs
    rows = [list(pair) if isinstance(pair, Iterable) else [pair] for pair in pairs]
    if not any(isinstance(each, _NAMES) for row in rows for each in row):
        return rows if all(len(row) == 2 for row in rows) else pairs
    from fastcka.core.selection import position_of

    for row in rows:
        if len(row) != 2:
            raise InputError(f"pairs: expected pairs of names or positions, got {row!r}")
    return [[position_of(labels, each, "pairs") for each in row] for row in rows]


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
