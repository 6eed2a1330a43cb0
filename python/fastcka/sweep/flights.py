"""Flights: groups that are read together, computed in one call and committed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.core.flight import FlightLoad, is_small

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.sweep.group import GroupPlan

FLIGHTS_IN_MEMORY = 2
"""One in the pass, one read ahead."""

Flight = list["GroupPlan"]


def flights_of(groups: Sequence[GroupPlan], threads: int) -> list[Flight]:
    """Return ``groups`` in their order, the small ones together as far as a flight has room."""
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


def bytes_of_flights(flights: Sequence[Flight], threads: int) -> int:
    """Return the predicted peak: neighbouring flights and the needs of the passes of the first."""
    loaded = [sum(group.bytes_loaded for group in flight) for flight in flights]
    return max(
        sum(loaded[at : at + FLIGHTS_IN_MEMORY]) + _bytes_of_passes(flight, threads)
        for at, flight in enumerate(flights)
    )


def _bytes_of_passes(flight: Flight, threads: int) -> int:
    if len(flight) == 1:
        return flight[0].bytes_of_pass
    # Each thread computes one group at a time.
    plans = [group.pass_plan for group in flight]
    results = sum(plan.bytes_results for plan in plans)
    most = max(plan.bytes_centered + plan.bytes_workspace // plan.threads for plan in plans)
    return min(threads, len(flight)) * most + results
