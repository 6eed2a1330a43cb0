"""Which groups go through one call of the compiled pass together.

A small group pays more for the start of threads, for its share of Python and for the ends of its
few tiles than for arithmetic. So small ones are collected into flights, in which each is computed
by one thread, parallel to others; their values have the same bits as those of a group alone. Pure.
"""

from __future__ import annotations

from typing import TypeGuard

from fastcka.core.base_plan import MIB
from fastcka.core.cuda.plan import CudaPlan
from fastcka.core.plan import PassPlan

#: A group up to this size, with all that its pass needs, and up to this number of flops, is small.
SMALL_BYTES = 16 * MIB
SMALL_FLOPS = 3e9
#: Arrays of a flight, a thread, and flops: enough groups that no thread waits long at the end
#: for the others.
FLIGHT_BYTES = 32 * MIB
FLIGHT_FLOPS = 12e9
#: Groups of a flight, however small: more gain nothing, and their results come together.
MOST_GROUPS = 256


def is_small(plan: PassPlan | CudaPlan) -> TypeGuard[PassPlan]:
    """Whether a group may go into a flight with others."""
    if isinstance(plan, CudaPlan):
        return False
    return bytes_of_group(plan) <= SMALL_BYTES and plan.flops <= SMALL_FLOPS


def bytes_of_group(plan: PassPlan) -> int:
    """Bytes of a group's arrays and of all that one thread needs in addition."""
    workspace = plan.bytes_workspace // plan.threads
    return plan.bytes_inputs + plan.bytes_centered + workspace + plan.bytes_results


class FlightLoad:
    """What the small groups that are collected for a flight come to."""

    def __init__(self, threads: int) -> None:
        self._most_bytes = threads * FLIGHT_BYTES
        self._most_flops = threads * FLIGHT_FLOPS
        self._bytes = 0
        self._flops = 0.0
        self._groups = 0

    def add(self, plan: PassPlan) -> None:
        """Count a group in."""
        self._bytes += plan.bytes_inputs + plan.bytes_results
        self._flops += plan.flops
        self._groups += 1

    def add_failed(self) -> None:
        """Count a group in that has nothing to be computed."""
        self._groups += 1

    @property
    def full(self) -> bool:
        """Whether there may be no room for another small group."""
        return (
            self._groups >= MOST_GROUPS
            or self._bytes > self._most_bytes - SMALL_BYTES
            or self._flops > self._most_flops - SMALL_FLOPS
        )
