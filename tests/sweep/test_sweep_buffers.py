"""The buffers that a sweep reads its groups into."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from fastcka.core import StagedRepresentation
from fastcka.core import flight as flight_module
from fastcka.store import create_store
from fastcka.sweep import run_sweep
from fastcka.sweep.running.buffers import Buffers


def address(array):
    return array.__array_interface__["data"][0]


def test_a_buffer_is_used_again_when_no_array_refers_to_it():
    buffers = Buffers()
    first = buffers.take(1000)
    part = first[64:128].view(np.float32).reshape(4, 4)[:2]
    place = address(first)
    del first
    second = buffers.take(1000)
    assert address(second) != place  # `part` is still in the first buffer
    second[:] = 7
    part[:] = 1.0
    assert (second == 7).all()
    del part
    third = buffers.take(1000)
    assert address(third) == place
    assert (second == 7).all()


def test_a_spare_buffer_of_another_size_is_freed():
    buffers = Buffers()
    spare = weakref.ref(buffers.take(1000).base.obj)
    assert spare() is not None
    buffers.take(1001)
    assert spare() is None


def test_nothing_is_kept_after_close():
    buffers = Buffers()
    used = buffers.take(1000)
    spare, memory = weakref.ref(buffers.take(1000).base.obj), weakref.ref(used.base.obj)
    assert spare() is not None
    buffers.close()
    assert spare() is None
    del used
    assert memory() is None


def test_a_staged_representation_takes_no_more_than_its_bytes():
    n, d = 33, 5
    size = StagedRepresentation.bytes_of(n, d)
    for skip in range(0, 64, 4):
        room = np.full(skip + size + 100, 255, np.uint8)
        staged = StagedRepresentation.empty(n, d, room=room[skip : skip + size])
        staged.array[:] = 0.0
        view = staged.view()
        assert view.address % 64 == 0
        assert (room[:skip] == 255).all()
        assert (room[skip + size :] == 255).all()


@pytest.mark.usefixtures("no_figures")
def test_at_most_two_buffers_are_in_memory(tmp_path, config_for, monkeypatch):
    rng = np.random.default_rng(3)
    with create_store(tmp_path / "store") as store:
        for model in "abc":
            layers = {f"l{i}": rng.normal(size=(70, 8)).astype(np.float32) for i in range(6)}
            store.write(model=model, step=0, layers=layers)
    config = config_for(within=["layer"], device="cpu")
    monkeypatch.setattr(flight_module, "MOST_GROUPS", 1)
    again, memories, most = [], [], []

    class Watched(Buffers):
        def take(self, count):
            spare = self._spare
            buffer = super().take(count)
            again.append(spare is not None and address(spare) == address(buffer))
            if not again[-1]:
                memories.append(weakref.ref(buffer.base.obj))
            most.append(sum(memory() is not None for memory in memories))
            return buffer

    monkeypatch.setattr("fastcka.sweep.running.compute.Buffers", Watched)
    gc.disable()  # a buffer must be free without the collection of cycles
    try:
        result = run_sweep(config)
    finally:
        gc.enable()
    assert result.comparisons == 6 * 3
    assert len(again) == 6
    assert sum(again) >= 2  # if both buffers become free at once, one of them is not kept
    assert max(most) <= 2
    assert [memory() for memory in memories] == [None] * len(memories)
