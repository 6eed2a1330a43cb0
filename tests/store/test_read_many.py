"""Reading many representations at once gives what reading each of them gives."""

from __future__ import annotations

import threading

import h5py
import numpy as np
import pytest

from fastcka.errors import CorruptFileError, InputError, UnknownKeyError
from fastcka.store import Key, create_store
from fastcka.store import reading as reading_module

LAYERS = ("a", "b", "c")


@pytest.fixture
def store(tmp_path, rng):
    with create_store(tmp_path / "store") as store:
        for model in "xyz":
            layers = {name: rng.standard_normal((50, 7)).astype("f4") for name in LAYERS}
            store.write(model=model, step=1, layers=layers)
        yield store


@pytest.fixture(params=[1, 2, 5])
def processors(request, monkeypatch):
    monkeypatch.setattr(reading_module, "usable_processors", lambda: (request.param, "test"))
    return request.param


def test_values_rows_and_outputs(store, processors, rng):
    keys = list(store.keys())
    assert len(keys) == 9
    rows = [None if i % 2 else rng.permutation(50)[: 10 + i] for i in range(9)]
    outs = [np.zeros((50 if i % 2 else 10 + i, 7)) if i % 3 else None for i in range(9)]
    values = store.read_many(keys, outs=outs, rows=rows)
    for key, value, out, wanted in zip(keys, values, outs, rows, strict=True):
        assert out is None or value is out
        whole = store.read(key)
        np.testing.assert_array_equal(value, whole if wanted is None else whole[wanted])
    assert store.read_many([]) == []


def test_several_are_read_at_the_same_time(store, monkeypatch):
    monkeypatch.setattr(reading_module, "usable_processors", lambda: (3, "test"))
    together = threading.Barrier(3, timeout=30)
    read = store._read

    def waiting(*arguments, **options):
        together.wait()  # passes only if three are here
        return read(*arguments, **options)

    monkeypatch.setattr(store, "_read", waiting)
    assert len(store.read_many(list(store.keys()))) == 9


def test_the_error_of_the_first_key_is_raised(store, processors):
    with h5py.File(next(store.path.rglob("y-*/1.h5")), "r+") as file:
        file["layers/1/x"][3, 1] += 1
    keys = [Key("x", 1, "a"), Key("y", 1, "b"), Key("z", 1, "nowhere"), Key("z", 1, "a")]
    with pytest.raises(CorruptFileError, match=r"checksum of /layers/1/x does not match"):
        store.read_many(keys)
    with pytest.raises(UnknownKeyError, match="nowhere"):
        store.read_many(keys[::-1])


def test_another_number_of_outputs_is_refused(store):
    with pytest.raises(InputError, match=r"^rows: expected one for each of 9 keys, got 2$"):
        store.read_many(list(store.keys()), rows=[None, None])
