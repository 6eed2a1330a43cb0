"""``fastcka demo`` with few seeds and steps, from the command line to the files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

SHORT = ("--steps", "0,20", "--seeds", "2")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def demo(tmp_path_factory, shell) -> tuple[Path, subprocess.CompletedProcess[str]]:
    directory = tmp_path_factory.mktemp("demo") / "here"
    return directory, shell("demo", directory, *SHORT)


def test_the_demo_succeeds_and_prints_a_table(demo):
    directory, done = demo
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("Each number is a CKA")
    for text in ("two seeds, same layer", "step 0", "step 20", "fastcka run", str(directory)):
        assert text in done.stdout


def test_the_files_exist(demo):
    directory, _ = demo
    assert (directory / "results" / "report" / "index.html").is_file()
    for name in ("sweep.yaml", "results/results.csv", "results/run.json", "results/ledger.sqlite"):
        assert (directory / name).stat().st_size > 0
    pictures = [directory / "overview.png", *(directory / "results" / "figures").glob("*.png")]
    assert len(pictures) == 1 + 2  # a heatmap for each step
    for picture in pictures:
        assert picture.read_bytes().startswith(PNG)


def test_a_second_call_reuses_the_files(demo, call):
    directory, _ = demo
    before = (directory / "results" / "results.csv").read_bytes()
    done = call("demo", directory, *SHORT)
    assert done.exit_code == 0
    assert "6 networks reused" in done.stdout
    assert "2 groups reused" in done.stdout
    assert (directory / "results" / "results.csv").read_bytes() == before


def test_other_settings_in_the_same_place_are_refused(demo, call):
    directory, _ = demo
    done = call("demo", directory, "--steps", "0,10", "--seeds", "2")
    assert done.exit_code == 2
    assert str(directory) in done.stderr


def test_steps_that_are_not_numbers(call, tmp_path):
    done = call("demo", tmp_path / "new", "--steps", "early,late")
    assert done.exit_code == 2
    assert "--steps" in done.stderr
    assert "early,late" in done.stderr
    assert not (tmp_path / "new").exists()
