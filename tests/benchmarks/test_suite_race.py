"""A race at a tiny size: which contestants are checked, timed or left out, and why."""

from __future__ import annotations

import io
import signal

import numpy as np
import pytest
from benchmarks.predict import predictions
from benchmarks.process import ContestantError, Process
from benchmarks.processes import Processes
from benchmarks.progress import Progress
from benchmarks.workloads import Workload

from benchmarks import by_fastcka, command, contestants, peer_folder, race, reference, suite, worker

SAME = "the same bits as fastcka: not timed"
TINY = Workload("tiny", "A tiny one", 4, 100, 8, groups=3, distinct=2)


@pytest.fixture
def fast(monkeypatch):
    """Rates of small products, no pauses, and two contestants, and one that is missing."""
    monkeypatch.setattr(race, "RATES", {})
    monkeypatch.setattr(race, "implementations", list)
    chosen = [contestants.FASTCKA, contestants.BY_NAME["NumPy, cached Grams"], contestants.PEERS[0]]
    monkeypatch.setattr(Workload, "contestants", lambda _: chosen)


def settings(tmp_path, **changes):
    missing = {"pytorch-cka": "not installed: because"}
    return race.Settings(1, tmp_path, repeats=2, missing=missing, pause=0, **changes)


def raced(workload, settings, scratch):
    """The contestants of a race, and what it printed."""
    results, printed = {}, io.StringIO()
    with Processes(settings.threads, settings.peers, reuse=settings.reuse) as processes:
        race.race(workload, settings, processes, scratch, Progress(1, printed), results)
    return results, printed.getvalue()


def test_a_race(tmp_path, fast):
    results, printed = raced(TINY, settings(tmp_path), tmp_path)
    assert list(results["contestants"]) == ["fastcka", "NumPy, cached Grams"]  # no missing one
    assert printed.splitlines()[0] == "[0:00] Part 1 of 1: tiny: A tiny one (M=4, n=100, d=8)"
    assert printed.splitlines()[2].startswith("  2 of 2: NumPy, cached Grams ... right, error ")
    for name, entry in results["contestants"].items():
        assert len(entry["seconds"]) == 2
        assert (entry["m"], entry["groups"], entry["factor"]) == (4, 3, 1)
        assert entry["median"] == entry["time"] == np.median(entry["seconds"])
        assert 0 < entry["error"] < 1e-6 or name != "fastcka"
        assert entry["peak_bytes"] > entry["extra_bytes"] >= 0


def test_a_wrong_answer_is_refused_before_timing(tmp_path, fast, monkeypatch):
    normalized = reference.normalized
    monkeypatch.setattr(reference, "normalized", lambda hsic: normalized(hsic) + 1e-5)
    entries = raced(TINY, settings(tmp_path), tmp_path)[0]["contestants"]
    assert entries["fastcka"]["refused"] == "wrong by 1e-05: not timed"
    assert "seconds" not in entries["fastcka"]
    assert "time" in entries["NumPy, cached Grams"]  # within what float32 sums may do


def test_fast_is_not_timed_where_it_has_the_same_bits(tmp_path, fast, monkeypatch):
    chosen = [contestants.FASTCKA, contestants.FASTCKA_FAST]
    monkeypatch.setattr(Workload, "contestants", lambda _: chosen)
    few = Workload("few", "So few examples that products are float64 at any precision", 3, 20, 8)
    monkeypatch.setattr(race, "implementations", lambda: by_fastcka.implementations()[-1:])
    results, _ = raced(few, settings(tmp_path), tmp_path)
    assert "time" in results["contestants"]["fastcka"]
    assert results["contestants"]["fastcka, fast"]["refused"] == SAME
    for entries in results["implementations"].values():  # unless it is the planned one
        assert entries["fastcka, fast"]["refused"] == SAME
        assert "time" not in entries["fastcka"]


def test_nan_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "tiny.npy"
    TINY.write(path)
    exact = reference.exact_from(path, TINY)
    answer = np.eye(4)
    assert exact.error(answer, "biased") > 0.01
    # Even where nothing is compared: of these four, three can be afforded.
    monkeypatch.setattr(reference, "MOST_FLOPS", 0)
    answer[2, 2] = np.nan
    assert np.isnan(reference.exact_from(path, TINY).error(answer, "biased"))


def loaded(tmp_path, name, **changes):
    path = tmp_path / "tiny.npy"
    TINY.write(path)
    shape = {"m": 4, "groups": 3, "distinct": 2}
    question = {"data": str(path), **shape, "limit": 9.0, "room": 1e9, **changes}
    return worker.Timed(name).load(question)


def test_the_slow_are_timed_on_a_part(tmp_path):
    by_pairs, by_squares = "NumPy, pair by pair", "NumPy, one product"
    assert loaded(tmp_path, by_pairs)["factor"] == 1
    part = loaded(tmp_path, by_pairs, limit=0)
    # Three groups; four representations need 6 products and 4 squares, two need 1 and 2.
    assert (part["m"], part["groups"], part["factor"]) == (2, 1, 3 * 10 / 3)
    assert loaded(tmp_path, by_squares, limit=0)["factor"] == 3 * 4
    assert np.shape(part["answer"]) == (2, 2)
    # fastcka is never extrapolated.
    assert loaded(tmp_path, "fastcka", limit=0)["factor"] == 1


def test_a_part_whose_whole_turns_out_affordable_is_replaced_by_the_whole(tmp_path):
    class Quick:
        """Calls of a part that take 0.2 s, after a first one that was slow."""

        asked = None

        def seconds(self, *_):
            return 0.2 if self.asked is None else 1.5

        def ask(self, question, _):
            self.asked = question
            return {"m": 21, "factor": 1, "because": None, "first_seconds": 1.6, "answer": []}

        def alive(self):
            return True

        def end(self):
            pass

    quick, options = Quick(), settings(tmp_path)
    with Processes(1, tmp_path) as processes:
        course = race._Course(TINY, options, processes, Progress(1, io.StringIO()), None, "data")
        measured = {"seconds": [], "factor": 10, "m": 7, "because": "time"}
        course._running.append(("a contestant", quick, measured))
        course._time_all()
    assert quick.asked["whole"] is True
    assert measured["seconds"] == [1.5, 1.5]
    assert (measured["m"], measured["time"], measured["because"]) == (21, 1.5, None)


def test_predictions_come_from_a_new_process():
    shapes = [(300, [8] * 3, 1, "high"), (100, [200] * 30, 1, "high"), (300, [8] * 3, 1, "fast")]
    plans = predictions(shapes, 1)
    assert [plan["route"] for plan in plans] == ["F", "G", "F"]
    assert all(plan["seconds"] > 0 for plan in plans)
    with pytest.raises(ContestantError, match=r"^predictions: .*got 'none'$"):
        predictions([(300, [8] * 3, 1, "none")], 1)


def test_a_contestant_that_fails_reports_the_error(tmp_path):
    question = {"do": "load", "data": "nowhere.npy", "m": 2, "groups": 1, "distinct": 1}
    with Process("fastcka", threads=1) as process:
        with pytest.raises(ContestantError, match=r"FileNotFoundError: .*nowhere\.npy"):
            process.ask(question, 30)
        process._child.send_signal(signal.SIGSTOP)  # else it may answer before it is asked for it
        with pytest.raises(ContestantError, match="stopped: no answer after 0 s"):
            process.ask({"do": "go"}, 0)
    with Process("fastcka", threads=1) as process:
        process._child.kill()
        process._child.wait()  # so that the question always comes too late
        with pytest.raises(ContestantError, match="ended with status -9"):
            process.ask({"do": "go"}, 30)
        assert not process.alive()


def test_too_little_memory_is_named(tmp_path, monkeypatch):
    workload = Workload("large", "Two Gram matrices of 64 MB", 2, 4000, 2)
    path = tmp_path / "large.npy"
    workload.write(path)
    monkeypatch.setattr("benchmarks.process.room", lambda: 100 << 20)
    question = {"do": "load", "data": str(path), "m": 2, "groups": 1, "distinct": 1}
    match = r"needs more than the 0\.1 GB"
    with (
        Process("NumPy, cached Grams", threads=1) as process,
        pytest.raises(ContestantError, match=match),
    ):
        process.ask(question, 60)


def test_a_missing_peer_is_named(tmp_path):
    reasons = peer_folder.missing(tmp_path)
    assert set(reasons) == set(peer_folder.REQUIREMENTS)
    command_line = f"python -m benchmarks peers --peers {tmp_path}"
    assert reasons["repsim"] == f"not installed: run `{command_line}`"
    (tmp_path / "repsim").mkdir()
    (tmp_path / "repsim" / peer_folder.REASON).write_text("no compiler")
    (tmp_path / "hyppo").mkdir()
    reasons = peer_folder.missing(tmp_path)
    assert reasons["repsim"] == "does not work: no compiler"
    assert "hyppo" not in reasons


def test_a_peer_without_its_package_does_not_work(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_folder, "_install", lambda *_: None)
    ((peer, reason),) = peer_folder.install(tmp_path, "repsim")
    assert peer == "repsim"
    assert "No module named 'repsim'" in reason
    assert peer_folder.missing(tmp_path)["repsim"] == f"does not work: {reason}"


def test_an_installation_that_was_stopped_is_not_taken_for_a_peer(tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(peer_folder, "_install", stopped)
    with pytest.raises(KeyboardInterrupt):
        list(peer_folder.install(tmp_path, "repsim"))
    assert "was not finished: run `python -m benchmarks" in peer_folder.missing(tmp_path)["repsim"]


def test_who_takes_part_can_be_called():
    pytest.importorskip("torch")
    peers = {contestant.package for contestant in contestants.PEERS}
    assert peers == set(peer_folder.REQUIREMENTS)
    for contestant in contestants.ALL:
        assert callable(contestant.groups())


def test_an_unknown_part_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"--only: expected names from pair, .*; got par$"):
        command.main(["--only", "par", "--output", str(tmp_path)])
    assert next(iter(suite.names())) == "pair"
