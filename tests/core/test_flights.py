"""Small groups in one call give the bits of single calls, and wait within limits."""

from __future__ import annotations

import weakref
from itertools import chain

import numpy as np
import pytest

from checks import compared
from fastcka import compare
from fastcka.core import Flight, Group, compare_many
from fastcka.core import flight as flight_module
from fastcka.core import work as work_module
from fastcka.core.device import plan_pass
from fastcka.core.flight import FlightLoad, bytes_of_group, is_small
from fastcka.errors import InputError
from samples import related, staged_copy

MATRICES = ("biased", "unbiased", "hsic_biased", "hsic_unbiased")

# (n, widths): float64 products, both routes, ragged ends, one representation, many.
SMALL = [
    (64, (16, 16)),
    (500, (64,) * 9),
    (3000, (7, 40)),
    (257, (257,) * 4),
    (97, (300,)),
    (1025, (5, 60)),
    (720, (33,) * 30),
    (48, (9,) * 12),
]
LARGE = (3000, (500,) * 4)


@pytest.fixture
def flown(monkeypatch):
    """Collect the number of groups in each call of the compiled pass."""
    counts = []
    run_passes = work_module.run_passes

    def counted(requests, plans, **options):
        counts.append(len(requests))
        return run_passes(requests, plans, **options)

    monkeypatch.setattr(work_module, "run_passes", counted)
    return counts


def assert_same_bits(one, other):
    for name in MATRICES:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("precision", ["high", "float64"])
def test_a_flight_gives_the_bits_of_single_calls(implementation, rng, flown, threads, precision):
    groups = [related(rng, n, widths) for n, widths in (*SMALL, LARGE, *SMALL[:3])]
    options = {"threads": threads, "precision": precision, "device": "cpu"}
    together = list(compared(groups, **options))
    assert flown == [len(SMALL), 1, 3]
    for result, group in zip(together, groups, strict=True):
        assert_same_bits(result, compare(group, **options))


def test_each_group_of_a_flight_is_computed_by_one_thread(rng, flown):
    groups = [related(rng, 500, (64,) * 9) for _ in range(3)]
    alone = compare(groups[0], threads=2, device="cpu").provenance
    records = [result.provenance for result in compared(groups, threads=2, device="cpu")]
    assert flown == [1, 3]
    assert alone["threads"] == 2
    assert [record["threads"] for record in records] == [1, 1, 1]
    assert all("1 thread" in record["plan"] for record in records)
    assert all(record["seconds"] > 0 for record in records)


def test_an_error_in_a_flight_does_not_affect_its_other_groups(rng, flown):
    groups = [related(rng, 200, (8, 20)) for _ in range(6)]
    groups[1][1][7, 3] = np.inf
    groups[4] = [groups[4][0], groups[4][1][:-1]]
    outcomes = list(chain.from_iterable(compare_many(groups, device="cpu")))
    assert flown == [5]
    assert "representations[1] holds 1 NaN or infinite value" in str(outcomes[1])
    assert "has 199 examples" in str(outcomes[4])
    for index in (0, 2, 3, 5):
        assert_same_bits(outcomes[index], compare(groups[index]))

    results = compared(groups, device="cpu")
    assert_same_bits(next(results), outcomes[0])
    with pytest.raises(InputError, match="example 7, feature 3"):
        next(results)


def test_flights_of_the_caller_take_staged_representations(rng, flown):
    plain = [related(rng, 150, (8, 20)) for _ in range(5)]
    groups = [[staged_copy(x) for x in xs] for xs in plain]
    flights = [Flight(groups[:3]), Flight([]), Flight(groups[3:])]
    outcomes = list(compare_many(flights, device="cpu"))
    assert [len(outcome) for outcome in outcomes] == [3, 0, 2]
    assert flown == [3, 2]
    for result, xs in zip(chain(*outcomes), plain, strict=True):
        assert_same_bits(result, compare(xs))
    with pytest.raises(InputError, match="used up"):
        compare(groups[4])


def test_staged_memory_that_groups_of_a_flight_share_is_refused(rng):
    x, y = related(rng, 400, (120, 160))
    shared, fine = staged_copy(x), staged_copy(y)
    groups = [[shared, y], [fine, x], [y, x], [y, shared.array[::-1]]]
    (outcomes,) = compare_many([Flight(groups)], device="cpu")
    assert "representation 0 shares memory with representation 1 of a group" in str(outcomes[0])
    assert "representation 1 shares memory with representation 0 of a group" in str(outcomes[3])
    assert_same_bits(outcomes[1], compare([y, x]))
    assert_same_bits(outcomes[2], compare([y, x]))
    np.testing.assert_array_equal(shared.array, x)  # not overwritten


def test_staged_groups_do_not_wait_for_others(rng, flown):
    groups = [[staged_copy(x) for x in related(rng, 100, (5, 9))] for _ in range(3)]
    groups.insert(1, groups[0])
    outcomes = list(chain.from_iterable(compare_many(groups, device="cpu")))
    assert flown == [1, 1, 1]
    assert "used up by an earlier pass" in str(outcomes[1])


@pytest.mark.parametrize("most", [1, 2, 5])
def test_at_most_one_flight_is_taken_ahead(rng, monkeypatch, most):
    monkeypatch.setattr(flight_module, "MOST_GROUPS", most)
    alive = []
    waiting = []

    def source():
        for _ in range(7):
            waiting.append(sum(ref() is not None for ref in alive))
            group = related(rng, 40, (8, 8))
            alive.append(weakref.ref(group[0]))
            yield group
            del group

    taken = [len(waiting) for _ in compared(source(), device="cpu")]
    # The groups taken when each result arrives are whole flights.
    assert taken == [min(7, (index // most + 1) * most) for index in range(7)]
    assert waiting == [index % most for index in range(7)]


def test_refused_groups_count_in_a_flight_and_keep_no_array(rng, monkeypatch):
    monkeypatch.setattr(flight_module, "MOST_GROUPS", 4)
    taken = []

    def source():
        for _ in range(20):
            x = rng.standard_normal((50, 3))
            taken.append(weakref.ref(x))
            yield [x, x[:49]]  # different numbers of examples
            del x

    outcomes = chain.from_iterable(compare_many(source()))
    first = next(outcomes)
    assert isinstance(first, InputError)
    assert len(taken) == 4
    # The source keeps a reference to the last.
    assert [reference() for reference in taken[:-1]] == [None] * 3
    assert sum(isinstance(outcome, InputError) for outcome in outcomes) == 19


def test_a_large_group_ends_a_flight(rng, flown):
    order = []

    def source():
        for index, (n, widths) in enumerate([SMALL[0], SMALL[1], LARGE, SMALL[0]]):
            order.append(f"take {index}")
            yield related(rng, n, widths)

    for index, _ in enumerate(compared(source(), device="cpu")):
        order.append(f"got {index}")
    assert flown == [2, 1, 1]
    assert order == ["take 0", "take 1", "take 2", "got 0", "got 1", "got 2", "take 3", "got 3"]


def test_the_size_of_small_groups_and_flights():
    def plan(m, n, d):
        return plan_pass(n, (d,) * m, threads=1, device="cpu")

    assert is_small(plan(9, 500, 256))
    assert not is_small(plan(9, 2000, 256))  # 18 MiB of arrays
    assert not is_small(plan(100, 2000, 1))  # 1 MB, but 20 Gflop
    planned = plan(9, 500, 256)
    # 9 arrays of 500 x 256 float32, their centred copies in padded panels, and a workspace.
    assert 2 * 9 * 500 * 256 * 4 < bytes_of_group(planned) < 2.5 * 9 * 500 * 256 * 4
    arrays = 9 * 500 * 256 * 4
    for threads in (1, 2, 16):
        load = FlightLoad(threads)
        count = 0
        while not load.full:
            load.add(planned)
            count += 1
        assert count * arrays <= threads * 32 * 2**20
        # A full flight has less free memory than the largest small group takes.
        assert (count + 1) * arrays > (threads * 32 - 16) * 2**20


def test_progress_counts_the_groups_of_a_flight_and_can_stop_it(rng):
    groups = [related(rng, 400, (64,) * 8) for _ in range(20)]
    calls = []
    results = list(compared(groups, device="cpu", progress=lambda *call: calls.append(call)))
    assert len(results) == 20
    assert calls[-1] == (20, 20)
    assert calls == sorted(calls)

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        list(compared(groups, device="cpu", progress=stop))


def test_groups_keep_their_labels_and_pairs(rng):
    xs = related(rng, 50, (3, 4, 5))
    groups = [
        Group(xs, labels=[f"{index}{name}" for name in "abc"], pairs=[(2, index)])
        for index in (0, 1)
    ]
    first, second = compared(groups, device="cpu")
    assert (first.names[1], first.pairs.tolist()) == ("0b", [[0, 2]])
    assert (second.names[1], second.pairs.tolist()) == ("1b", [[1, 2]])
