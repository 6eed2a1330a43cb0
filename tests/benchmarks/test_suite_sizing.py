"""How much of a workload is timed: brute force over made-up costs."""

from __future__ import annotations

import itertools

import pytest
from benchmarks.sizing import RISK, Sizing

from benchmarks import contestants

LIMIT = 3.0


def cost(fixed, each, growth):
    """The seconds of a call with some groups of m representations."""
    return lambda groups, m: fixed + each * groups * growth(m)


def searched(seconds, *, growth, groups=1, m=21, memory=0, room=1e12):
    """The part that is chosen, and the most seconds of a call on the way to it."""
    name = {"pairs": "hyppo", "square": "repsim", "representations": "NumPy, cached Grams"}[growth]
    calls = []

    def measure(groups, m):
        calls.append(seconds(groups, m))
        return calls[-1], memory * m

    sizing = Sizing(groups, m, contestants.BY_NAME[name], LIMIT, room)
    return sizing.largest(measure), max(calls)


@pytest.mark.parametrize("growth", ["pairs", "square", "representations"])
@pytest.mark.parametrize(("groups", "m"), [(1, 3), (1, 21), (1, 252), (50, 9), (500, 9)])
def test_whoever_needs_less_than_the_limit_is_timed_whole(growth, groups, m):
    work = getattr(contestants, growth)
    for fixed, share in itertools.product((0, 0.3, 1, 2, 2.9), (0.01, 0.3, 0.9, 0.99)):
        each = share * (LIMIT - fixed) / (groups * work(m))
        seconds = cost(fixed, each, work)
        assert seconds(groups, m) < LIMIT
        part, _ = searched(seconds, growth=growth, groups=groups, m=m)
        assert (part.groups, part.m, part.because) == (groups, m, None), (fixed, share)


@pytest.mark.parametrize("growth", ["pairs", "square", "representations"])
@pytest.mark.parametrize(("groups", "m"), [(1, 21), (1, 252), (50, 9), (500, 9)])
def test_whoever_needs_more_is_timed_on_an_affordable_part(growth, groups, m):
    work = getattr(contestants, growth)
    for fixed, times in itertools.product((0, 0.3, 1, 2, 2.9), (1.1, 3, 100, 10_000)):
        each = (times * LIMIT - fixed) / (groups * work(m))
        seconds = cost(fixed, each, work)
        part, slowest = searched(seconds, growth=growth, groups=groups, m=m)
        if seconds(1, 2) <= LIMIT:  # else the smallest part is already too slow
            assert slowest <= RISK * LIMIT
        if part.because is None:  # a whole that turned out too slow was measured, not guessed
            assert seconds(groups, m) <= RISK * LIMIT
        else:
            assert part.because == "time"
            assert part.groups * work(part.m) < groups * work(m)


def test_costs_that_grow_faster_than_they_say():
    # Gram matrices grow with M, but their products with M^2: two alone predict too little.
    part, slowest = searched(lambda _, m: 0.01 * m + 0.01 * m * m, growth="representations", m=252)
    assert part.because == "time"
    assert slowest <= RISK * LIMIT


def test_memory_limits_a_part_and_is_the_reason():
    part, _ = searched(lambda *_: 0.01, growth="representations", m=63, memory=10, room=300)
    assert (part.m, part.because) == (30, "memory")


def test_a_slow_smallest_part_is_the_part():
    part, slowest = searched(lambda *_: 8.0, growth="square", m=21)
    assert (part.groups, part.m, part.because) == (1, 2, "time")
    assert slowest == 8
