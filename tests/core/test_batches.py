"""Wide representations, centred batch by batch: the same bits, less memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastcka
from fastcka.core import Group, StagedRepresentation, plan_pass
from fastcka.core.backend import _core, bytes_needed, run_passes
from fastcka.core.base_plan import MIB
from fastcka.core.device import plan_on_cpu
from fastcka.core.request import Request
from samples import related


def sums_by(representations, **forced):
    """The sums of a pass whose plan is changed."""
    request = Request.of_group(Group(representations), "biased")
    plan = replace(plan_on_cpu(request.views, "high", 2), route="G", **forced)
    (sums,) = run_passes([request], [plan], threads=forced.get("threads", 2))
    return sums


@pytest.mark.parametrize("batch", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("far", [False, True])
def test_any_batch_has_the_same_bits(rng, batch, far):
    xs = related(rng, 200, (300, 5, 1000, 64, 17))
    if far:
        xs[1][7] *= 1e4
        xs[3][[0, 190]] *= 1e5
    expected = sums_by(xs, batch=0)
    for threads in (1, 3):
        sums = sums_by(xs, batch=batch, threads=threads)
        for name in ("s0", "norms", "summed", "exponent"):
            np.testing.assert_array_equal(getattr(sums, name), getattr(expected, name))


def test_staged_and_other_representations_in_batches(rng):
    xs = [x.astype(np.float32) for x in related(rng, 200, (300, 64, 17))]
    staged = StagedRepresentation.empty(200, 64)
    staged.array[...] = xs[1]
    sums = sums_by([xs[0], staged, xs[2]], batch=1)
    np.testing.assert_array_equal(sums.s0, sums_by(xs, batch=0).s0)


def test_wide_representations_are_centred_in_batches():
    wide = plan_pass(1000, [4096] * 20, threads=2)
    copies = 20 * 1008 * 4096 * 4
    assert 0 < wide.batch < 20
    assert wide.bytes_centered < copies / 2
    assert plan_pass(2000, [512] * 21, threads=2).batch == 0
    assert plan_pass(20000, [64] * 24, threads=2).batch == 0
    staged = plan_pass(1000, [4096] * 20, threads=2, staged=True)
    assert (staged.batch == 0) == staged.in_place  # in its buffers, where panels have room there


def test_the_bytes_of_batches():
    # Counted by hand: batches of 2 of 4; 1000 examples are 63 panels, 11 tiles a side.
    shape = _core.ProductShape(
        products="float32", lanes=16, rows=8, step=48, values=1, cell_bytes=4, sum_bytes=4
    )
    options = {"route": "G", "tile": 96, "chunk": 256, "in_place": False, "shape": shape}
    options |= {"moment_routes": []}
    needed = bytes_needed(1000, [4000, 1000, 3000, 4000], batch=2, **options)
    copies = 1008 * (3000 + 4000) * 4
    grams = 11 * 12 // 2 * 4 * (96**2 + 208) * 4
    assert needed["centered"] == copies + grams
    assert needed["thread"] == 16 * 256 * 4  # a strip before it is packed: the sums are no part


def test_progress_of_batches(rng):
    xs = [rng.standard_normal((700, 30_000), dtype=np.float32) for _ in range(3)]
    assert plan_pass(700, [30_000] * 3).batch == 1
    seen = []
    fastcka.compare(xs, threads=2, device="cpu", progress=lambda *units: seen.append(units))
    assert len({total for _, total in seen}) == 1
    done = [units for units, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] == seen[-1][1]


def test_extra_memory_of_wide_data():
    plan = plan_pass(1000, [4096] * 100, threads=2)
    assert plan.bytes_centered < 320 * MIB  # 1.6 GiB of copies
