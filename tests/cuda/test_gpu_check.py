"""benchmarks/gpu_check.py: its parts at tiny sizes, on the emulated device.

A GPU is hard to get, so the one run on it must not fail.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import oracle

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a file of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent))
    monkeypatch.setattr(importlib.import_module("benchmarks.clock"), "SECONDS", 0.0)
    return importlib.import_module


def tiny(script, **changes):
    sizes = {"m": 3, "n": 100, "d": 24, "predicted": {"float16x3": 1e-3}} | changes
    return script("benchmarks.workloads").Workload("tiny", "A tiny one", against="gpu", **sizes)


def tensors(script, workload):
    shape = workload.m, workload.n, workload.d
    return script("benchmarks.data").on_device(*shape, "cpu")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("way", ["gram_tiles", "feature_panels"])
def test_the_ways_of_torch_compute_cka(script, way, dtype):
    import torch

    xs = tensors(script, tiny(script, m=5))
    sizes = {"tile": 40, "piece": 64} if way == "gram_tiles" else {"panel": 50}
    cka = getattr(script("benchmarks.by_torch"), way)(xs, dtype=getattr(torch, dtype), **sizes)
    expected = oracle.cka_matrix([x.numpy() for x in xs], "biased")
    assert 0.05 < expected[0, 1] < 0.95
    np.testing.assert_allclose(cka, expected, atol=1e-4 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize(("route", "sizes"), [("G", {"d": 200}), ("F", {})])
def test_a_workload_is_measured(script, emulated, tmp_path, monkeypatch, route, sizes):
    # Launches take most of the time of small passes, and one route needs fewer of them.
    monkeypatch.setattr("fastcka.core.cuda.cost.LAUNCH_SECONDS", 0.0)
    monkeypatch.setattr("fastcka.core.cuda.products.FEW_FLOPS", 0.0)  # fp16 despite the size
    race, record = script("benchmarks.gpu.race"), script("benchmarks.record")
    path = tmp_path / "measured.json"
    workload = tiny(script, **sizes)
    race.GpuRace(workload, record.Record(path), device="cpu").run()
    figures = json.loads(path.read_text("utf-8"))
    assert not [name for name, entry in figures.items() if "failed" in str(entry)], figures
    for products, limit in {"float16x3": 1e-6, "float32": 1e-6, "float16": 1e-3}.items():
        entry = figures[f"pass {products}"]
        assert entry["route"] == route
        assert entry["median"] > 0
        assert max(entry["errors"]["biased"], entry["errors"]["unbiased"]) < limit
        assert entry["share_of_cublas"] > 0
    assert figures["pass float16x3"]["times_predicted"] == pytest.approx(
        figures["pass float16x3"]["median"] / 1e-3
    )
    assert figures["call fast"]["ran"]["products"] == "float16"
    assert figures["cpu"]["ran"]["device"] == "cpu"
    assert figures["store"]["groups"] == 2
    assert figures["store"]["errors"]["biased"] < 1e-6
    assert figures["torch pair loop"]["pairs"] == 3
    lines = script("benchmarks.gpu.verdict").verdict({"benchmarks": {"A": figures}})
    judged = {line["criterion"].partition(":")[2] for line in lines if line["figure"] != "not run"}
    assert judged == {
        " at most 1.5 times the prediction",
        " at least 10 times as fast as a torch loop over pairs",
        " errors of CKA at 'high' against float64",
        " errors of CKA at 'fast' against float64",
        " errors of CKA at 'float64' against float64",
        " a call at 'high' takes at most 1.2 ms",
        " a call at 'fast' takes no longer than torch's float16 tiles",
    }


def gpu_race(script, tmp_path, **changes):
    record = script("benchmarks.record").Record(tmp_path / "measured.json")
    return script("benchmarks.gpu.race").GpuRace(tiny(script, **changes), record, device="cpu")


def test_a_contestant_that_fails_leaves_the_rest(script, emulated, tmp_path, monkeypatch):
    race = gpu_race(script, tmp_path)
    tiles = script("benchmarks.contestants").ON_GPU[2]
    way = tiles.call.removeprefix("by_torch:")
    monkeypatch.setattr(script("benchmarks.by_torch"), way, lambda xs: np.eye(len(xs)))
    race.measure("wrong", race.by_torch, tiles)
    race.until = time.monotonic() - 1
    race.measure("late", lambda: 1)
    assert "the answer is wrong" in race.record.facts["wrong"]["failed"]
    assert race.record.facts["late"] == {"skipped": "the time for this part is over"}


def test_loops_over_pairs_are_timed_on_a_part(script, emulated, tmp_path, monkeypatch):
    loops = script("benchmarks.contestants").ON_GPU[:2]
    race = gpu_race(script, tmp_path, m=6)
    monkeypatch.setattr(script("benchmarks.gpu.race"), "PAIRS", 6)
    parts = [race.by_torch(loop) for loop in loops]
    # The second loop also multiplies each representation with itself.
    assert [(part["pairs"], part["pairs_timed"]) for part in parts] == [(15, 6), (21, 6)]
    for part in parts:
        assert part["extrapolated"]
        scale = part["pairs"] / part["pairs_timed"]
        assert part["median"] == pytest.approx(scale * part["seconds"]["median"])


def test_what_takes_too_long_at_any_rate_is_skipped(script, emulated, tmp_path, monkeypatch):
    race = gpu_race(script, tmp_path)
    monkeypatch.setattr(script("benchmarks.gpu.race"), "LONGEST", 1e-12)
    skipped = race.by_torch(script("benchmarks.contestants").ON_GPU[-1])
    assert skipped == {"skipped": "0 s at least"}


def test_the_store_is_left_out_if_time_or_disk_is_short(script, emulated):
    workload = tiny(script)
    from_store = script("benchmarks.gpu.store").from_store
    figures = from_store(workload, tensors(script, workload), None, seconds=0.0)
    assert "writing it would take" in figures["skipped"]
    vast = tiny(script, n=10**9, d=10**6)
    assert "GB are free" in from_store(vast, [], None, seconds=60.0)["skipped"]


@pytest.mark.parametrize("on_device", [False, True])
def test_the_workload_of_the_sanitizer_is_right(script, emulated, on_device):
    errors = script("benchmarks.gpu.sanitized").run(on_device=on_device, repeats=2)
    assert len(errors) == 24


def test_the_rates_are_measured(script):
    rates = script("benchmarks.rates").device_rates("cpu", bytes_moved=1 << 16)
    assert min(value for value in rates.values() if value is not None) > 0


OUTCOMES = """
import pytest

def test_passes(): pass

def test_fails(): assert False

@pytest.mark.parametrize("x", ["a b", "PASSED"])
def test_skips(x): pytest.skip("no")

@pytest.mark.xfail
def test_is_expected_to_fail(): assert False

@pytest.fixture
def broken(): raise ValueError

def test_errs(broken): pass
"""


def test_outcomes_of_tests_are_counted(script, tmp_path):
    (tmp_path / "test_some.py").write_text(OUTCOMES)
    (tmp_path / "test_worse.py").write_text("import nothing_of_that_name")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-vv", "--continue-on-collection-errors"]
    run_program = script("benchmarks.gpu.program").run_program
    status, output = run_program([*command, str(tmp_path)], 60, tmp_path / "output.txt")
    tests = script("benchmarks.gpu.suite").test_outcomes(output)
    assert status == 1
    assert tests["counts"] == {"passed": 1, "failed": 1, "error": 2, "skipped": 2, "xfailed": 1}
    assert [name.split("::")[1] for name in tests["failed_tests"]] == ["test_fails", "test_errs"]


def test_a_program_is_stopped_with_what_it_started(script, tmp_path):
    run_program = script("benchmarks.gpu.program").run_program
    code = (
        "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True);"
        "time.sleep(600)"
    )
    output = ""
    for seconds in (1, 5, 60):  # a slow machine may take longer to start it
        if not output:
            command = [sys.executable, "-c", code]
            status, output = run_program(command, seconds, tmp_path / "output.txt")
    assert status is None
    child = Path("/proc") / output.strip()
    deadline = time.monotonic() + 60
    while child.exists() and "State:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("tool", "status", "output", "result"),
    [
        ("memcheck", 0, "========= ERROR SUMMARY: 0 errors\n", "pass"),
        ("memcheck", 0, "========= ERROR SUMMARY: 1 error\n", "fail"),
        ("memcheck", 1, "========= ERROR SUMMARY: 0 errors\n", "fail"),  # the workload fails
        ("racecheck", 0, "= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)", "pass"),
        ("racecheck", 0, "= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)", "fail"),
        ("racecheck", 255, "Device not supported", "not measured"),
        ("racecheck", None, "========= COMPUTE-SANITIZER", "not measured"),
    ],
)
def test_the_output_of_the_sanitizer_is_judged(script, tool, status, output, result):
    figures = script("benchmarks.gpu.suite").sanitizer_errors(tool, status, output, 60.0)
    lines = script("benchmarks.gpu.verdict").verdict({"sanitizer": {tool: figures}})
    assert [line["result"] for line in lines if tool in line["criterion"]] == [result]


FACTS = {"device": "NVIDIA H100 80GB", "commit": "c0ffee", "usable": True}


def test_a_stopped_part_leaves_the_others(script, tmp_path, monkeypatch):
    check, suite = script("benchmarks.gpu_check"), script("benchmarks.gpu.suite")

    def run_program(command, seconds, log):
        assert seconds > 0
        assert log.parent.name.endswith("-c0ffee.json.parts")
        if "benchmarks.gpu" in command:
            name, into = command[3], command[command.index("--into") + 1]
            if name == "B":
                return 1, "Traceback: no torch"
            Path(into).write_text(json.dumps({"call high": {"median": 0.001}}))
            return None if name == "A" else 0, ""
        if "pytest" in command:
            return None, "tests/core/test_pass.py::test_one PASSED [ 10%]\n"
        return 0, "========= ERROR SUMMARY: 0 errors\n"

    for module in (check, suite):
        monkeypatch.setattr(module, "run_program", run_program)
    monkeypatch.setattr(suite, "find_sanitizer", lambda: "compute-sanitizer")
    monkeypatch.setattr(check, "HERE", tmp_path)
    record = check.begin_record(FACTS, None)
    check.Check(record, time.monotonic() + 1000).run(check.LIMITS)
    (path,) = (tmp_path / "records").iterdir()  # nothing of the parts is left
    written = json.loads(path.read_text("utf-8"))
    assert record.path.name.startswith("nvidia-h100-80gb-20")
    assert written["suite"]["counts"] == {"passed": 1}
    assert "stopped" in written["suite"]
    assert written["sanitizer"]["memcheck"]["errors"] == 0
    assert "failed" in written["sanitizer"]["racecheck"]
    assert set(written["benchmarks"]) == {"rates", "A", "B", "C", "D"}
    assert "stopped" in written["benchmarks"]["A"]
    assert written["benchmarks"]["A"]["call high"]
    assert written["benchmarks"]["B"]["failed"] == "exit 1"
    results = {line["criterion"]: line["result"] for line in written["verdict"]}
    assert results["the test suite passes on the GPU"] == "not measured"
    assert set(results.values()) == {"pass", "not measured"}

    # The same commit and device continue the record; others are refused.
    assert check.begin_record(FACTS, record.path).facts["suite"] == written["suite"]
    error = script("benchmarks.record").RecordError
    with pytest.raises(error, match="give another --record"):
        check.begin_record(FACTS | {"commit": "beef"}, record.path)
    (tmp_path / "cpu.json").write_text('{"format": "fastcka.benchmarks/1"}')
    with pytest.raises(error, match=r"cpu\.json: expected .* fastcka\.gpu_check 1, got"):
        check.begin_record(FACTS, tmp_path / "cpu.json")


def test_no_part_starts_when_the_time_of_the_run_is_over(script, tmp_path):
    check = script("benchmarks.gpu_check")
    record = check.begin_record(FACTS, tmp_path / "record.json")
    check.Check(record, time.monotonic()).run(["suite", "A"])
    assert record.facts["benchmarks"]["A"]["skipped"].endswith("; --only A measures it")
    assert "is over" in record.facts["suite"]["skipped"]
    # What an earlier run has measured stays.
    check.put(record, "A", {"host": {"median": 1.0}})
    check.put(record, "calls", {"M=2": {"median": 2.0}})
    check.Check(record, time.monotonic()).run(["calls", "A", "B"])
    assert record.facts["benchmarks"]["A"] == {"host": {"median": 1.0}}
    assert record.facts["calls"] == {"M=2": {"median": 2.0}}
    assert "skipped" in record.facts["benchmarks"]["B"]


def test_what_a_killed_run_has_measured_is_taken_over(script, tmp_path):
    check = script("benchmarks.gpu_check")
    record = check.begin_record(FACTS, tmp_path / "record.json")
    parts = check.parts_folder(record.path)
    parts.mkdir()
    for name in ("copies", "C"):
        (parts / f"{name}.json").write_text('{"pinned": {"median": 0.5}}')
    (parts / "other.json").write_text("{}")
    again = check.begin_record(FACTS, record.path)
    expected = {"pinned": {"median": 0.5}, "stopped": "killed"}
    assert again.facts["copies"] == again.facts["benchmarks"]["C"] == expected
    assert json.loads(record.path.read_text("utf-8"))["copies"] == expected
    assert [path.name for path in parts.iterdir()] == ["other.json"]


def test_facts_are_json(script, emulated):
    facts = script("benchmarks.machine").gpu()
    assert facts["usable"]
    assert facts["device"] == emulated.module.status()["devices"][0]["name"]
    assert facts["versions"]["numpy"] == np.__version__
    json.dumps(facts)


def test_without_a_gpu_it_says_why_and_writes_nothing(tmp_path):
    path = tmp_path / "record.json"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu_check.py"), "--record", str(path)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "there is no usable GPU: " in done.stderr
    assert not list(tmp_path.iterdir())
