"""The peak memory of a pass, without its inputs and their centred copy."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastcka
from child_memory import MIB, output_of
from fastcka.core import release_memory

MEASURE = """
    import numpy as np, fastcka
    from fastcka.core import StagedRepresentation

    m, n, d, staged = json.loads(sys.argv[1])

    fastcka.cka(np.eye(8), np.eye(8), threads=2)
    rng = np.random.default_rng(0)
    xs = []
    for _ in range(m):
        x = StagedRepresentation.empty(n, d)
        x.array[...] = rng.standard_normal((n, d), dtype=np.float32)
        xs.append(x if staged else x.array)
    reset_peak()
    before = memory("VmRSS")
    result = fastcka.compare(xs, threads=2)
    print(json.dumps([memory("VmHWM") - before, result.provenance["route"]]))
"""


@pytest.mark.parametrize(
    ("m", "n", "d", "route", "staged"),
    [
        (21, 20000, 64, "F", False),
        (21, 20000, 64, "F", True),
        (21, 2000, 512, "G", False),
        (21, 2000, 512, "G", True),
        (150, 500, 128, "G", False),
    ],
)
def test_peak_memory(m, n, d, route, staged, capsys):
    extra, ran = json.loads(output_of(MEASURE, json.dumps([m, n, d, staged])))
    assert ran == route
    copy = 0 if staged else m * n * d * 4
    with capsys.disabled():
        print(
            f"\n  M={m} n={n} d={d} staged={staged}: {extra / MIB:.1f} MiB, "
            f"with a centred copy of {copy / MIB:.1f}",
            end="",
        )
    assert extra - copy < 64 * MIB


FLIGHTS = """
    import numpy as np, fastcka
    from fastcka.core import compare_many

    rng = np.random.default_rng(0)
    fastcka.cka(np.eye(8), np.eye(8), threads=2)
    def group():
        return [rng.standard_normal((500, 256), dtype=np.float32) for _ in range(9)]

    before = memory("VmRSS")
    groups = (group() for _ in range(60))
    for outcomes in compare_many(groups, threads=2, device="cpu"):
        assert {result.provenance["threads"] for result in outcomes} == {1}
        del outcomes
    print(memory("VmHWM") - before)
"""


def test_peak_memory_of_flights(capsys):
    extra = int(output_of(FLIGHTS))
    with capsys.disabled():
        print(f"\n  60 groups of 4.4 MiB: {extra / MIB:.1f} MiB", end="")
    assert extra < 2 * (32 + 16) * MIB  # for each of 2 threads: waiting arrays, and a pass


def test_memory_is_kept_for_the_next_pass_until_it_is_released(rng):
    release_memory()
    xs = [rng.standard_normal((1000, 600), dtype=np.float32) for _ in range(9)]
    fastcka.compare(xs, threads=2, device="cpu")
    assert 9 * 1008 * 600 * 4 <= release_memory() <= 128 * MIB
    assert release_memory() == 0


def test_little_memory_is_kept(rng):
    wide = [rng.standard_normal((1000, 9000), dtype=np.float32) for _ in range(6)]
    for _ in range(2):
        for width in (9000, 5000, 3000):
            fastcka.compare([x[:, :width] for x in wide], threads=2, device="cpu")
    assert release_memory() <= 128 * MIB


KEPT = """
    import numpy as np, fastcka
    from fastcka.core import release_memory

    rng = np.random.default_rng(0)
    xs = [rng.standard_normal((2000, 512), dtype=np.float32) for _ in range(21)]
    before = memory("VmRSS")
    for width in (512, 500, 300, 470):  # no block of one pass is of use for the next
        fastcka.compare([x[:, :width] for x in xs], threads=2, device="cpu")
    peak = memory("VmHWM") - before
    release_memory()
    print(peak, memory("VmRSS") - before)
"""


def test_kept_memory_adds_nothing_to_the_peak():
    peak, after = map(int, output_of(KEPT).split())
    assert peak < 21 * 2000 * 512 * 4 + 64 * MIB
    assert after < 16 * MIB
