"""The work and the memory of the planner grow with the sweep, not faster."""

from __future__ import annotations

import cProfile
import pstats
import tracemalloc

import pytest
from benchmarks.planner import SimulatedStore, config_of, layout

from fastcka.sweep import plan_sweep


def _plan(name, pairs):
    keys, within, expected = layout(name, pairs)
    config, store = config_of(within), SimulatedStore(keys)

    def plan():
        assert plan_sweep(config, store, threads=1).comparisons == expected

    return plan, len(keys), expected


@pytest.mark.parametrize("name", ["groups", "one group"])
def test_calls_grow_with_the_representations(name):
    """Eight times the representations: at most eight times the calls, whatever a call takes."""
    calls = []
    sizes = []
    for pairs in (4_950, 39_600) if name == "groups" else (4_950, 319_600):
        plan, size, _ = _plan(name, pairs)
        plan()  # what is loaded once
        profile = cProfile.Profile()
        profile.runcall(plan)
        calls.append(pstats.Stats(profile).total_calls)
        sizes.append(size)
    assert sizes[1] == 8 * sizes[0]
    assert calls[1] < 8.2 * calls[0]


def test_a_pair_takes_few_bytes():
    """No Python object for each pair: one of its two positions alone takes 32 bytes."""
    plan, _, pairs = _plan("one group", 300_000)
    plan()
    tracemalloc.start()
    try:
        plan()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * pairs
