"""A run that Ctrl-C or the end of its time stops: what it keeps, and what it says."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.progress import Progress
from benchmarks.workloads import Workload

from benchmarks import command, contestants, correctness, growth, race, record, suite, table

ROOT = Path(suite.__file__).parents[1]
CHOSEN = [contestants.FASTCKA, contestants.BY_NAME["NumPy, cached Grams"]]


class Stopping(Progress):
    """Raises at one of its messages, as a signal does anywhere."""

    def __init__(self, at, stop):
        super().__init__(3, io.StringIO())
        self._left, self._stop = at, stop

    def _print(self, text, end="\n"):
        self._count()

    def now(self, text):
        self._count()

    def _count(self):
        self._left -= 1
        if self._left == 0:
            raise self._stop


@pytest.fixture
def tiny(monkeypatch):
    """One small workload, two points of growth, two kinds of correctness."""
    workload = Workload("pair", "A tiny one", 3, 50, 8)
    monkeypatch.setattr(Workload, "contestants", lambda _: CHOSEN)
    monkeypatch.setattr(suite, "QUICK", (workload,))
    monkeypatch.setattr(race, "RATES", {})
    monkeypatch.setattr(race, "implementations", list)
    monkeypatch.setattr(growth, "BASE", Workload("growth", "Growth", 3, 60, 8))
    monkeypatch.setattr(growth, "QUICK_AXES", {"n": (50,)})
    monkeypatch.setattr(correctness, "ALL", CHOSEN)
    monkeypatch.setattr(correctness, "KINDS", dict(list(correctness.KINDS.items())[-2:]))
    monkeypatch.setattr(suite, "draw", lambda *_: None)


def stopped_at(step, folder, stop=KeyboardInterrupt):
    """The facts of a run that is stopped at its message number `step`."""
    settings = race.Settings(1, folder, repeats=2, pause=0, reuse=True)
    parts = ["pair", "growth", "correctness"]
    return suite.run(settings, folder, parts, quick=True, progress=Stopping(step, stop))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, suite.TimeOver])
def test_wherever_a_run_is_stopped_it_keeps_what_was_measured(tmp_path, tiny, stop):
    kept = []
    for step in range(1, 100):
        folder = tmp_path / str(step)
        facts = stopped_at(step, folder, stop)
        if facts is None:
            assert list(folder.iterdir()) == []
            kept.append(None)
            continue
        assert record.read(folder / "record.json") == facts
        assert (folder / "table.md").read_text("utf-8") == table.markdown(facts)
        kept.append(suite.measured(facts))
        if "stopped" not in facts:
            break
        unfinished, left = facts["stopped"]["in"], facts["stopped"]["left"]
        assert facts["stopped"]["by"] == ("Ctrl-C" if stop is KeyboardInterrupt else "time")
        # Each part is finished, unfinished, or not begun.
        finished = [name for name in kept[-1] if name != unfinished]
        assert [*finished, unfinished, *left] == ["pair", "growth", "correctness"]
    assert kept[0] is None
    assert kept[-1] == ["pair", "growth", "correctness"]
    points = [point for along in facts["growth"]["axes"].values() for point in along]
    assert all("predicted_again" in point and "median" in point for point in points)
    order = [kept.index(parts) for parts in (None, ["pair"], ["pair", "growth"], kept[-1])]
    assert order == sorted(order)


def test_an_error_keeps_what_was_measured(tmp_path, tiny, monkeypatch):
    def failing(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(suite, "growth", failing)
    with pytest.raises(OSError, match="No space"):
        stopped_at(0, tmp_path)
    facts = record.read(tmp_path / "record.json")
    assert suite.measured(facts) == ["pair"]
    assert facts["stopped"] == {"by": "an error", "in": "growth", "left": ["correctness"]}
    assert "This run was stopped by an error; unfinished: growth" in (
        tmp_path / "table.md"
    ).read_text("utf-8")


@pytest.mark.parametrize(
    "line", ["  1 of", "Part 2 of 2"], ids=["within a workload", "in the next part"]
)
def test_ctrl_c_to_the_whole_group(tmp_path, line):
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks", "--quick", "--only", "pair", "rate-F"),
            *("--output", str(tmp_path / "out"), "--threads", "1", "--peers", str(tmp_path)),
        ],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Tests in the background of a shell ignore it, and so would the child.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with child:
        printed = []
        for text in child.stdout:
            printed.append(text)
            if line in text:
                for _ in range(3):  # as when the key is held down
                    os.killpg(child.pid, signal.SIGINT)
                    time.sleep(0.05)
                break
        printed += child.stdout.readlines()
    assert child.returncode == command.INTERRUPTED == 130
    text = "".join(printed)
    assert "Traceback" not in text
    assert sum("hyppo" in each for each in printed) == 1
    part = " (in part)" if line.startswith("  ") else ""
    lost = f"{tmp_path / 'out'}: record.json, table.md; not measured: rate-F."
    assert printed[-1] == f"Interrupted: kept pair{part} in {lost}\n"
    facts = record.read(tmp_path / "out" / "record.json")
    assert facts["workloads"]["pair"]["contestants"]["fastcka"]["error"] < 1e-6
    assert facts["stopped"]["by"] == "Ctrl-C"
