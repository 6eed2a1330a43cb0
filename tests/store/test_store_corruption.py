"""Random damage gives the written values or an error, never wrong values."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastcka.errors import StoreError
from fastcka.store import Key, Store, open_store

FILES = 150


def test_flipped_bytes_never_give_wrong_values(store: Store) -> None:
    random.seed(11)
    rng = np.random.default_rng(11)
    layers = {
        "a": rng.normal(size=(40, 6)).astype(np.float32),
        "b": np.maximum(rng.normal(size=(40, 3)), 0),
        "c": rng.normal(size=(40, 8)).astype(np.float16),
    }
    ids = [f"image {i}" for i in range(40)]
    region = [f"r{i % 3}" for i in range(40)]
    store.write(
        model="m",
        step=0,
        layers=layers,
        example_ids=ids,
        example_columns={"region": region},
        factors={"seed": 7, "tasks": ["x", "y"]},
    )
    path: Path = store.info(Key("m", 0, "a")).path
    good = path.read_bytes()
    refused = intact = 0
    for number in range(FILES):
        bad = bytearray(good)
        for _ in range(random.choice([1, 1, 2, 8, 64]) if number else 0):
            bad[random.randrange(len(bad))] ^= random.randrange(1, 256)
        path.write_bytes(bad)
        damaged = open_store(store.path)
        errors = 0
        for name, x in layers.items():
            try:
                got = damaged.read(Key("m", 0, name))
                assert got.dtype == x.dtype
                np.testing.assert_array_equal(got, x)
                intact += 1
            except StoreError:
                errors += 1
        try:
            examples = damaged.examples(Key("m", 0, "a"))
            assert examples.ids.tolist() == ids
            assert {n: c.tolist() for n, c in examples.columns.items()} == {"region": region}
        except StoreError:
            errors += 1
        try:
            assert damaged.keys() == [Key("m", 0, name) for name in layers]
            assert damaged.factors("m") == {"seed": 7, "tasks": ["x", "y"]}
        except StoreError:
            errors += 1
        refused += errors > 0
        assert number or errors == 0  # the first file is not damaged
    print(f"\n{FILES - 1} damaged files: {refused} refused in part or whole, 0 wrong values")
    assert refused > FILES // 3
    assert intact > FILES // 3  # the other layers of a damaged file are read


def test_verify_detects_a_change_that_format_1_0_misses(
    store: Store, as_format_1_0: Callable[[Path], None]
) -> None:
    # The sum of Fletcher is modulo 65535, so the words 0x0000 and 0xFFFF are equal.
    x = np.zeros((64, 4), dtype=np.float32)
    x[:, 0] = np.arange(64)
    store.write(model="m", step=0, layers={"a": x})
    path = store.info(Key("m", 0, "a")).path
    as_format_1_0(path)
    data = bytearray(path.read_bytes())
    offset = data.index(x.tobytes()) + 4  # the second value, 0.0, becomes a denormal
    data[offset : offset + 2] = b"\xff\xff"
    path.write_bytes(data)
    (finding,) = open_store(store.path).verify()
    assert finding.kind == "error"
    assert "/layers/0/x (a): damaged: the values do not match their digest" in finding.message
