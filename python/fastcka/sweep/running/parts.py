"""The tasks of a run on a cluster, and the values of divided groups from those of their parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.sweep.ledger.values import GroupValues
from fastcka.sweep.running.compute import units_of
from fastcka.sweep.running.worker import GroupWork, Valued, Whole, compute_flight, compute_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastcka.sweep.planning.flights import Flight
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.running.division import Members
    from fastcka.sweep.running.worker import Done


@dataclass(eq=False)
class Task:
    """A flight, or a part of a divided group."""

    flight: Flight
    divided: Divided | None = None
    members: Members = ()

    @property
    def units(self) -> int:
        """The units of progress of its groups."""
        return sum(map(units_of, self.flight))

    def call(self) -> tuple[Callable[..., Done], tuple[Any, ...]]:
        """Return the function that a worker calls, and its arguments after the settings."""
        if self.divided is None:
            return compute_flight, ([GroupWork.of(group) for group in self.flight],)
        (group,) = self.flight
        whole = Whole(
            n_features=tuple(group.pass_plan.n_features),
            dtypes=tuple("float32" if r.staged else r.dtype for r in group.representations),
            staged=all(r.staged for r in group.representations),
            members=self.members,
        )
        return compute_part, (GroupWork.of(group, self.members), whole)


@dataclass(eq=False)
class Divided:
    """A divided group: its tasks, and the values of those that are done."""

    group: GroupPlan
    tasks: list[Task] = field(default_factory=list)
    parts: dict[Members, Valued] = field(default_factory=dict)
    given_up: bool = False

    @property
    def complete(self) -> bool:
        """Whether all parts have values."""
        return len(self.parts) == len(self.tasks)

    @property
    def alike(self) -> bool:
        """Whether all values so far were computed in the same way, on which their bits depend."""
        return len({_way_of(part.values.provenance) for part in self.parts.values()}) == 1


def _way_of(provenance: dict[str, Any]) -> tuple[Any, ...]:
    names = ("device", "implementation", "products", "route", "tile", "chunk")
    return tuple(provenance[name] for name in names)


def joined(divided: Divided) -> Valued:
    """Return the values of a group from those of all its parts."""
    m = len(divided.group.representations)
    matrices: dict[str, Any] = {}
    moments: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    undefined: dict[str, None] = {}
    seconds = 0.0
    for members, part in sorted(divided.parts.items()):
        for name, matrix in part.values.matrices.items():
            whole = matrices.setdefault(name, np.full((m, m), np.nan))
            whole[np.ix_(members, members)] = matrix
        for name, numbers in part.values.moments.items():
            moments.setdefault(name, np.full(m, np.nan))[list(members)] = numbers
        provenance = part.values.provenance
        seconds += provenance["seconds"]
        undefined.update(dict.fromkeys(part.undefined))
    widths = list(divided.group.pass_plan.n_features)
    provenance = provenance | {
        "seconds": seconds,
        "n_features": widths,
        "parts": len(divided.parts),
    }
    return Valued(GroupValues(matrices, moments, provenance), tuple(undefined))
