"""``examples/checkpoints.py``: one command from the training loop to the page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "checkpoints.py"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Run the example on one of its three networks, with few updates."""
    folder = tmp_path_factory.mktemp("example") / "here"

    def run():
        options = ["--steps", "20", "--permutations", "1", "--experiments", "mlp_digits"]
        return subprocess.run(
            [sys.executable, EXAMPLE, folder, *options],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return folder, run


def test_the_example_writes_the_page_and_names_deleted_checkpoints(example):
    folder, run = example
    done = run()
    assert done.returncode == 0, done.stderr
    assert "4 of 4 planned checkpoints as planned" in done.stdout
    for name in ("mlp_digits_analysis.json", "summary_report.md", "report/index.html"):
        assert (folder / "results" / name).stat().st_size > 0

    (folder / "seed0" / "mlp_digits" / "checkpoint_step_00010.pt").unlink()
    again = run()
    assert again.returncode == 1
    assert "trained" not in again.stdout
    assert "3 of 4 planned checkpoints as planned" in again.stdout
    assert "mlp_digits: step 10 (mid): missing" in again.stderr
