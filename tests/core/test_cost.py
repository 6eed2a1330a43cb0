"""The predicted work of a pass against a count of its loops."""

from __future__ import annotations

import math

import pytest

from fastcka.core.backend import ProductShape
from fastcka.core.cost import Operations, Speed, count_features, count_gram
from fastcka.core.moment_cost import cube_products

SINGLE = {"lanes": 16, "rows": 8, "step": 48, "cell_bytes": 4, "sum_bytes": 4}
FLOAT32 = ProductShape(products="float32", values=1, **SINGLE)
BFLOAT16 = ProductShape(products="bfloat16", values=2, **SINGLE)
TILES = {**SINGLE, "rows": 32, "step": 32, "arranged_bytes": 6}
SPLIT = ProductShape(products="bfloat16x3", values=1, **TILES)


def micro_tiles(side, shape):
    """Count the micro-tiles of the upper triangle one after another."""
    count = 0.0
    padded = math.ceil(side / shape.lanes) * shape.lanes
    for begin in range(0, padded, shape.step):
        width = min(shape.step, padded - begin)
        for row in range(0, begin + width, shape.rows):
            rows = min(shape.rows, begin + width - row)
            panels = [
                column
                for column in range(begin, begin + width, shape.lanes)
                if column + shape.lanes > row  # not below the diagonal
            ]
            count += rows / shape.rows * len(panels) * shape.lanes / shape.step
    return count


@pytest.mark.parametrize("shape", [FLOAT32, BFLOAT16, SPLIT])
@pytest.mark.parametrize("n", [65, 96, 200, 513])
def test_count_gram(shape, n):
    widths = [1, 130, 300]
    operations = count_gram(n, widths, shape, 128)
    depths = [math.ceil(d / shape.values) for d in widths]
    assert operations.steps == pytest.approx(micro_tiles(n, shape) * sum(depths))
    calls = sum(len(range(0, depth, 128)) for depth in depths)
    assert operations.calls == pytest.approx(micro_tiles(n, shape) * calls)
    entries = micro_tiles(n, shape) * shape.rows * shape.step
    assert operations.rank == pytest.approx(6 * entries + 2 * 6 * n)  # 6 pairs of 3, self included
    assert (operations.rows, operations.values) == (n * 3, n * 431)


@pytest.mark.parametrize("shape", [FLOAT32, BFLOAT16, SPLIT])
def test_count_features(shape):
    widths = [5, 16, 40]  # 16 + 16 + 48 padded
    operations = count_features(1001, widths, shape, 64)
    steps = math.ceil(1001 / shape.values)
    assert operations.steps == pytest.approx(micro_tiles(80, shape) * steps)
    assert operations.calls == pytest.approx(micro_tiles(80, shape) * len(range(0, steps, 64)))
    assert (operations.rows, operations.values) == (1001 * 3, 1001 * 61)


def test_seconds_add_up():
    speed = Speed(steps=10.0, call=0.5, rank=100.0, statistics=4.0, center=2.0, entries=1.0)
    operations = Operations(steps=20.0, calls=8.0, rank=300.0, rows=0.0, values=12.0)
    # 2 s of steps, 8 calls of 0.5 s on two threads, 3 s of rank updates, 3 + 6 s of preparation
    assert operations.seconds(speed, 2) == pytest.approx(2 + 2 + 3 + 9, abs=1e-3)
    assert operations.seconds(speed, 1) == pytest.approx(2 + 4 + 3 + 9, abs=1e-3)


@pytest.mark.parametrize(("lanes", "rows"), [(16, 8), (8, 8)])
@pytest.mark.parametrize("d", [1, 8, 17, 40])
def test_cube_products(d, lanes, rows):
    """Entries (a, b, c) whose group of rows begins at or before b, and whose panel ends after b."""
    padded = math.ceil(d / lanes) * lanes
    entries = [
        (a, b, c)
        for b in range(d)
        for a in range(padded)
        for c in range(padded)
        if a // rows * rows <= b and (c // lanes + 1) * lanes > b
    ]
    assert cube_products(d, lanes, rows) == len(entries)
    assert len(entries) >= d * (d + 1) * (d + 2) / 6  # each a <= b <= c once
