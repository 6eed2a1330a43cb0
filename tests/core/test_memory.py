"""What a pass takes beyond its inputs and their centred copy, measured as the peak of a process."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastcka
from fastcka.core import release_memory

MIB = 1 << 20

MEASURE = """
    import json, sys
    import numpy as np, fastcka
    from fastcka.core import StagedRepresentation

    m, n, d, staged = json.loads(sys.argv[1])

    def memory(field):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

    fastcka.cka(np.eye(8), np.eye(8), threads=2)
    rng = np.random.default_rng(0)
    xs = []
    for _ in range(m):
        x = StagedRepresentation.empty(n, d)
        x.array[...] = rng.standard_normal((n, d), dtype=np.float32)
        xs.append(x if staged else x.array)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
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
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), json.dumps([m, n, d, staged])],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    extra, ran = json.loads(out)
    assert ran == route
    copy = 0 if staged else m * n * d * 4
    with capsys.disabled():
        print(
            f"\n  M={m} n={n} d={d} staged={staged}: {extra / MIB:.1f} MiB, "
            f"of it the centred copy {copy / MIB:.1f}",
            end="",
        )
    assert extra - copy < 64 * MIB


FLIGHTS = """
    import json, sys
    import numpy as np, fastcka
    from fastcka.core import compare_many

    def memory(field):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

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
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FLIGHTS)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    with capsys.disabled():
        print(f"\n  60 groups of 4.4 MiB: {int(out) / MIB:.1f} MiB", end="")
    assert int(out) < 2 * (32 + 16) * MIB  # a thread: the arrays that wait, and a pass


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
    import sys
    import numpy as np, fastcka
    from fastcka.core import release_memory

    def memory(field):
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

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
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KEPT)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    peak, after = map(int, out.split())
    assert peak < 21 * 2000 * 512 * 4 + 64 * MIB
    assert after < 16 * MIB
