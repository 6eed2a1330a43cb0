"""Flights: groups that are read together, computed in one call and committed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.core.device_name import EVERY_GPU
from fastcka.core.flight import FlightLoad, is_small
from fastcka.core.many_gpus import groups_in_flight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.sweep.planning.group import GroupPlan

FLIGHTS_IN_MEMORY = 2
"""Flights in memory: one in the pass, one read ahead."""

Flight = list["GroupPlan"]


def flights_in_memory(device: str) -> int:
    """Return the flights in memory: those that were given to the device, and one read ahead."""
    return groups_in_flight() + 1 if device == EVERY_GPU else FLIGHTS_IN_MEMORY


def flights_of(groups: Sequence[GroupPlan], threads: int) -> list[Flight]:
    """Return ``groups`` in order, with small neighbouring groups joined into one flight."""
    flights: list[Flight] = []
    load = None
    for group in groups:
        if not is_small(group.pass_plan):
            flights.append([group])
            load = None
            continue
        if load is None or load.full:
            flights.append([])
            load = FlightLoad(threads)
        flights[-1].append(group)
        load.add(group.pass_plan)
    return flights
