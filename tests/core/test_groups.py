"""Many groups in one call give the results of single calls, in order."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from checks import compared
from fastcka import compare
from fastcka.core import Group, compare_many
from fastcka.errors import InputError
from samples import related, staged_copy


@pytest.fixture
def groups(rng):
    return [related(rng, n, widths) for n in (30, 80, 50) for widths in ((5, 20), (30, 3, 8))]


def test_results_equal_those_of_single_calls(device, groups):
    results = list(compared(iter(groups), device=device, estimator="biased"))
    assert len(results) == len(groups)
    for result, xs in zip(results, groups, strict=True):
        alone = compare(xs, device=device, estimator="biased")
        np.testing.assert_array_equal(result.unbiased, alone.unbiased)
        np.testing.assert_array_equal(result.cka, alone.biased)
        assert result.provenance["device"] == alone.provenance["device"]


def test_each_group_has_its_labels_and_pairs(device, groups):
    first, second, third = compared(
        [
            Group(groups[0], labels=["a", "b"], pairs=[]),
            {"x": groups[1][0], "y": groups[1][1]},
            groups[2],
        ],
        device=device,
    )
    assert (first.names, len(first.pairs)) == (["a", "b"], 0)
    assert second.names == ["x", "y"]
    assert third.names == ["0", "1"]


def test_no_groups(device):
    assert list(compared([], device=device)) == []


def test_an_error_is_raised_in_the_place_of_its_group(device, groups):
    bad = [groups[0][0], groups[1][0][:-1]]
    nan = [x.copy() for x in groups[2]]
    nan[1][3, 2] = np.nan
    for wrong, message in ((bad, "has 29 examples"), (nan, "example 3, feature 2")):
        results = compared([groups[0], wrong, groups[3]], device=device)
        assert next(results).n_examples == 30
        with pytest.raises(InputError, match=message):
            next(results)
        assert list(results) == []


def test_an_error_of_the_source_is_raised_after_earlier_results(device, groups):
    def source():
        yield groups[0]
        yield groups[1]
        raise OSError("no more")

    results = compared(source(), device=device)
    assert next(results).n_examples == next(results).n_examples == 30
    with pytest.raises(OSError, match="no more"):
        next(results)


def test_wrong_options_are_refused_before_the_first_group():
    with pytest.raises(InputError, match="device must be"):
        compare_many([], device="tpu")
    with pytest.raises(InputError, match="precision must be"):
        compare_many([], precision="double")


@pytest.mark.parametrize("staged", [True, False])
def test_a_group_is_freed_before_the_next_is_read(device, rng, staged):
    # A reader may need its memory for the next group.
    alive = []
    most = 0

    def source():
        nonlocal most
        for _ in range(5):
            gc.collect()
            most = max(most, sum(ref() is not None for ref in alive))
            group = [staged_copy(rng.standard_normal((40, 8))) for _ in range(2)]
            alive.append(weakref.ref(group[0].array.base))
            yield group if staged else [x.array for x in group]
            del group

    assert len(list(compared(source(), device=device))) == 5
    # A group is read after the one before it has been copied to the GPU or computed on the CPU.
    # Small groups on the CPU are computed together (see test_flights.py).
    assert most == (0 if staged or device != "cpu" else 4)


def test_staged_groups_are_used_up(device, rng):
    staged = staged_copy(rng.standard_normal((40, 8)))
    list(compared([[staged, np.eye(40)]], device=device))
    with pytest.raises(InputError, match="used up"):
        compare([staged, np.eye(40)], device=device)
