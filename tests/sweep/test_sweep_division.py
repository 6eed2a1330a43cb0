"""The tasks of a cluster: flights of small groups, and parts of large ones."""

from __future__ import annotations

from itertools import combinations

import pytest

from fastcka.store import Key
from fastcka.sweep import plan_sweep
from fastcka.sweep.running.division import flights_for, parts_for, parts_of


@pytest.fixture
def groups_of(config_for, labelled_store):
    """Return a function that plans groups of the given numbers of representations."""

    def make(*sizes, n_examples=2000):
        keys = [
            Key(f"m{model:04d}", 0, f"layer {layer}")
            for layer, size in enumerate(sizes)
            for model in range(size)
        ]
        store = labelled_store(keys, {key.model: {} for key in keys}, n_examples=n_examples)
        return plan_sweep(config_for(within=["layer"], device="cpu"), store).groups

    return make


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_flights_contain_every_group_once_in_order(groups_of, workers):
    groups = groups_of(*[3] * 40, n_examples=20)
    flights = flights_for(groups, 1, workers)
    assert [group.position for flight in flights for group in flight] == list(range(40))
    assert len(flights) >= 4 * workers


@pytest.mark.parametrize("blocks", [2, 3, 4, 8])
@pytest.mark.parametrize("size", [16, 17, 63])
def test_every_pair_is_in_a_part(groups_of, blocks, size):
    (group,) = groups_of(size)
    parts = parts_of(group, blocks)
    assert len(parts) == blocks * (blocks - 1) // 2
    covered = {pair for members in parts for pair in combinations(members, 2)}
    assert covered == set(combinations(range(size), 2))
    assert all(list(members) == sorted(set(members)) for members in parts)


def test_a_single_large_group_is_divided_among_many_workers(groups_of):
    """1,000 representations of 4 features: the products of pairs dominate, so parts pay."""
    groups = groups_of(1000)
    assert parts_for(groups, 1) == {}
    (parts,) = parts_for(groups, 6).values()
    assert len(parts) >= 6
    assert max(map(len, parts)) <= 500


def test_equal_groups_are_not_divided(groups_of):
    assert parts_for(groups_of(200, 200, 200, 200), 2) == {}
    assert parts_for(groups_of(*[200] * 9), 3) == {}


def test_a_small_group_is_never_divided(groups_of):
    assert parts_for(groups_of(9), 16) == {}


def test_only_the_group_that_holds_up_the_run_is_divided(groups_of):
    groups = groups_of(900, 40, 40, 40)
    assert list(parts_for(groups, 8)) == [0]
