"""The predicted work of a pass against a count of what its loops do."""

from __future__ import annotations

import math

import pytest

from fastcka.core.cost import Speed, Work, feature_work, gram_work
from fastcka.core.implementation import Panels

FLOAT32 = Panels("float32", 16, 8, 48, 1, 4, arranged=False)
BFLOAT16 = Panels("bfloat16", 16, 8, 48, 2, 4, arranged=False)


def micro_tiles(side, panels):
    """Those of the upper triangle, in whole micro-tiles, counted one after another."""
    found = 0.0
    padded = math.ceil(side / panels.lanes) * panels.lanes
    for begin in range(0, padded, panels.step):
        width = min(panels.step, padded - begin)
        for _row in range(0, begin + width, panels.rows):
            found += width / panels.step
    return found


@pytest.mark.parametrize("panels", [FLOAT32, BFLOAT16])
@pytest.mark.parametrize("n", [65, 96, 200, 513])
def test_gram_work(panels, n):
    widths = [1, 130, 300]
    work = gram_work(n, widths, panels, 128)
    depths = [math.ceil(d / panels.values) for d in widths]
    assert work.steps == pytest.approx(micro_tiles(n, panels) * sum(depths))
    calls = sum(len(range(0, depth, 128)) for depth in depths)
    assert work.calls == pytest.approx(micro_tiles(n, panels) * calls)
    entries = micro_tiles(n, panels) * panels.rows * panels.step
    assert work.rank == pytest.approx(6 * entries + 2 * 6 * n)  # 6 pairs of 3, self included
    assert (work.rows, work.values) == (n * 3, n * 431)


@pytest.mark.parametrize("panels", [FLOAT32, BFLOAT16])
def test_feature_work(panels):
    widths = [5, 16, 40]  # 16 + 16 + 48 padded
    work = feature_work(1001, widths, panels, 64)
    steps = math.ceil(1001 / panels.values)
    assert work.steps == pytest.approx(micro_tiles(80, panels) * steps)
    assert work.calls == pytest.approx(micro_tiles(80, panels) * len(range(0, steps, 64)))
    assert (work.rows, work.values) == (1001 * 3, 1001 * 61)


def test_seconds_add_up():
    speed = Speed(steps=10.0, call=0.5, rank=100.0, statistics=4.0, center=2.0)
    work = Work(steps=20.0, calls=8.0, rank=300.0, rows=0.0, values=12.0)
    # 2 s of steps, 8 calls of 0.5 s on two threads, 3 s of rank updates, 3 + 6 s of preparation
    assert work.seconds(speed, 2) == pytest.approx(2 + 2 + 3 + 9, abs=1e-3)
    assert work.seconds(speed, 1) == pytest.approx(2 + 4 + 3 + 9, abs=1e-3)
