"""Reading ahead: order, limits, errors, and closing early."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from fastcka.errors import InputError
from fastcka.store import prefetch


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fastcka-prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert threads() == []


@pytest.mark.parametrize("ahead", [1, 2, 7])
def test_items_and_results_in_order(ahead: int) -> None:
    got = list(prefetch(range(20), lambda item: item * item, ahead=ahead))
    assert got == [(item, item * item) for item in range(20)]


def test_nothing_to_load() -> None:
    assert list(prefetch([], str)) == []


@pytest.mark.parametrize("ahead", [1, 3])
def test_loads_run_ahead_but_not_further(ahead: int) -> None:
    started: list[int] = []
    arrived = threading.Semaphore(0)

    def load(item: int) -> int:
        started.append(item)
        arrived.release()
        return item

    loading = prefetch(range(10), load, ahead=ahead)
    assert started == []  # nothing is loaded before the first next
    for taken in range(1, 11 - ahead):
        next(loading)
        while len(started) < taken + ahead:
            assert arrived.acquire(timeout=60)
        time.sleep(0.01)  # time for another load
        assert started == list(range(taken + ahead))
    loading.close()


def test_all_loads_run_in_one_separate_thread() -> None:
    names = {name for _, name in prefetch(range(5), lambda _: threading.get_ident())}
    assert len(names) == 1
    assert threading.get_ident() not in names


def test_loading_overlaps_with_computing() -> None:
    begun = [threading.Event() for _ in range(6)]
    for item, _ in prefetch(range(6), lambda item: begun[item].set()):
        # The next item is loaded during the use of this one.
        assert all(event.wait(60) for event in begun[: item + 2])


def test_an_error_is_raised_at_its_item_and_ends_the_loading() -> None:
    started = []

    def load(item: int) -> int:
        started.append(item)
        if item == 3:
            raise KeyError("third")
        return item

    loading = prefetch(range(10), load, ahead=5)
    assert [next(loading)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError, match="third"):
        next(loading)
    assert list(loading) == []
    assert started == [0, 1, 2, 3]


def test_an_error_of_the_iterable_is_raised_after_earlier_items() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    loading = prefetch(items(), str)
    assert next(loading) == (1, "1")
    with pytest.raises(ValueError, match="no more"):
        next(loading)


def test_closing_early_stops_the_thread() -> None:
    started: list[int] = []
    loading = prefetch(range(10**9), started.append, ahead=2)
    next(loading)
    assert len(threads()) == 1
    loading.close()
    assert threads() == []
    assert len(started) <= 4
    after = len(started)
    time.sleep(0.02)
    assert len(started) == after


def test_closing_waits_for_the_current_load() -> None:
    entered, finish, done = threading.Event(), threading.Event(), []

    def load(item: int) -> None:
        if item == 1:
            entered.set()
            finish.wait(5)
            done.append(item)

    loading = prefetch(range(5), load)
    next(loading)
    entered.wait(5)
    threading.Timer(0.05, finish.set).start()
    loading.close()
    assert done == [1]


class Result:
    """An object with weak references."""


def test_no_reference_to_a_result_is_kept() -> None:
    alive: list[weakref.ref[Result]] = []

    def load(_: int) -> Result:
        result = Result()
        alive.append(weakref.ref(result))
        return result

    gc.disable()  # reference counts must suffice
    try:
        loading = prefetch(range(6), load)
        for taken in range(1, 6):
            pair = next(loading)
            assert sum(ref() is not None for ref in alive) <= 2
            del pair
            assert alive[taken - 1]() is None
        loading.close()
        assert all(ref() is None for ref in alive)
    finally:
        gc.enable()


@pytest.mark.parametrize("ahead", [0, -1, 1.5, True, None])
def test_ahead_is_a_positive_integer(ahead: object) -> None:
    with pytest.raises(InputError, match="ahead: expected an integer of at least 1"):
        prefetch([], str, ahead=ahead)
