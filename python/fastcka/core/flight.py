"""Flights: the groups that one call of the compiled pass computes together.

For a small group, starting threads, Python, and waiting for the last tiles cost more than the
arithmetic. So small groups are collected into flights. In a flight, one thread computes each group,
and the values have the same bits as those of the group alone. This module only plans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from fastcka.core.base_plan import MIB, Plan
from fastcka.core.plan import PassPlan

if TYPE_CHECKING:
    pass

#: A group is small up to this size (with the memory of its pass) and this number of flops.
SMALL_BYTES = 16 * MIB
SMALL_FLOPS = 3e9
#: Arrays of a flight, a thread, and flops: enough groups that no thread waits long at the end
#: for the others.
FLIGHT_BYTES = 32 * MIB
FLIGHT_FLOPS = 12e9
#: Groups of a flight, however small: more gain nothing, and their results come together.
MOST_GROUPS = 256


def is_small(plan: Plan) -> TypeGuard[PassPlan]:
    """Whether a group may go into a flight with others."""
    if not isinstance(plan, PassPlan):
        return False
    return bytes_of_group(plan) <= SMALL_BYTES and plan.flops <= SMALL_FLOPS


def bytes_of_group(plan: PassPlan) -> int:
    """Return the bytes of a group's arrays and of the memory that one thread needs in addition."""
    workspace = plan.bytes_workspace // plan.threads
    return plan.bytes_inputs + plan.bytes_centered + workspace + plan.bytes_results


class FlightLoad:
    """The total size of the small groups that are collected for a flight."""

    def __init__(self, threads: int) -> None:
        self._most_bytes = threads * FLIGHT_BYTES
        self._most_flops = threads * FLIGHT_FLOPS
        self._bytes = 0
        self._flops = 0.0
        self._groups = 0

    def add(self, plan: PassPlan) -> None:
        """Add a group."""
        self._bytes += plan.bytes_inputs + plan.bytes_results
        self._flops += plan.flops
        self._groups += 1

    def add_failed(self) -> None:
        """Add a group that cannot be computed."""
        self._groups += 1

    @property
    def full(self) -> bool:
        """Whether another small group might not fit."""
        return (
            self._groups >= MOST_GROUPS
            or self._bytes > self._most_bytes - SMALL_BYTES
            or self._flops > self._most_flops - SMALL_FLOPS
        )
