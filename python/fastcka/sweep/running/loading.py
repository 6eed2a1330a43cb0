"""Read the data of a group from the store."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fastcka.core import StagedRepresentation
from fastcka.errors import InputError, StoreError

if TYPE_CHECKING:
    import numpy as np

    from fastcka.store import Store
    from fastcka.store.rows import StoredRows
    from fastcka.sweep.planning.group import Representation
    from fastcka.sweep.planning.matched import MatchedExamples
    from fastcka.sweep.running.buffers import Buffers

Loaded = list["StagedRepresentation | StoredRows | np.ndarray[Any, Any]"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one group has no values, as text: the error's frames would keep arrays in memory.

    Errors of a device, a ledger or a disk concern every group, and are raised instead.
    """

    reason: str


class Loadable(Protocol):
    """A group, or a part of one, as the data to read."""

    @property
    def representations(self) -> tuple[Representation, ...]:
        """The representations."""

    @property
    def examples(self) -> MatchedExamples:
        """Their examples."""

    @property
    def n_examples(self) -> int:
        """Number of examples."""

    @property
    def memory(self) -> int | None:
        """The bytes that it may use, if its data are read in blocks of rows."""


def load_group(group: Loadable, store: Store, buffers: Buffers) -> Loaded | Failure:
    """Read a group's data into one of ``buffers``, and check that it is the data of the plan.

    Data that do not fit into memory are read when the group is computed.
    """
    staged = _staged(group, buffers)
    try:
        read: Loaded = (
            [
                store.rows(planned.key, rows)
                for planned, rows in zip(group.representations, group.examples.rows, strict=True)
            ]
            if group.memory is not None
            else [
                *store.read_many(
                    [planned.key for planned in group.representations],
                    outs=[None if each is None else each.array for each in staged],
                    rows=group.examples.rows,
                )
            ]
        )
        for planned in group.representations:
            # Check after reading: a change of the file before or during it is then detected.
            info = store.info(planned.key)
            if (info.digest, info.examples_digest) != (planned.digest, planned.examples_digest):
                return Failure(
                    f"the store has changed since the plan was made ({planned.key}); run again"
                )
    except (StoreError, InputError) as error:  # InputError: the shape differs from the plan
        return Failure(str(error))
    return [array if each is None else each for each, array in zip(staged, read, strict=True)]


def _staged(group: Loadable, buffers: Buffers) -> list[StagedRepresentation | None]:
    """Return a part of a buffer for each representation that the pass centres in place."""
    n, each = group.n_examples, group.representations
    if group.memory is not None:
        buffers.close()
        return [None] * len(each)
    sizes = [StagedRepresentation.bytes_of(n, r.n_features) if r.staged else 0 for r in each]
    ends = list(itertools.accumulate(sizes))
    buffer = buffers.take(ends[-1])
    return [
        StagedRepresentation.empty(n, r.n_features, room=buffer[end - size : end])
        if r.staged
        else None
        for r, size, end in zip(each, sizes, ends, strict=True)
    ]
