"""benchmarks/seed_sweep.py at a small size. The script itself checks its counts and values."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "seed_sweep.py"


def test_the_benchmark_runs(tmp_path):
    for library in ("torch", "matplotlib", "pandas"):
        pytest.importorskip(library)
    command = [sys.executable, SCRIPT, "--models", "18", "--rows", "90", "--pairs", "1"]
    done = subprocess.run(
        [*command, "--folder", tmp_path],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Variants 1 and 2 share no task in either family: 2 families x 4 layers x 3 x 3 seeds.
    assert re.findall(r"^  (\d+) comparisons$", done.stdout, re.M) == ["48", "72", "24"]
    for part in ("write the tree", "import", "plan", "run", "report", "a process each"):
        assert re.search(rf"^.*{part}.* \d+\.\d\d s$", done.stdout, re.M), part
    alike, other = map(float, re.findall(r"(\d\.\d+) \(n = ", done.stdout))
    assert alike > other + 0.1
    assert "times as fast" in done.stdout
    assert list(tmp_path.iterdir()) == []
