"""benchmarks/gpu_check.py runs to its end: its parts at tiny sizes, on the emulated device.

It is meant to be run once, on a machine that is hard to come by.
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
    monkeypatch.setattr(importlib.import_module("benchmarks.gpu.clock"), "SECONDS", 0.0)
    return importlib.import_module


def tiny(script, **changes):
    sizes = {"m": 3, "n": 100, "d": 24, "predicted": {"float16x3": 1e-3}} | changes
    return script("benchmarks.gpu.cases").Case("tiny", **sizes)


@pytest.mark.parametrize("block", [30, 1000])
def test_the_reference_is_cka(script, block):
    cases = script("benchmarks.gpu.cases")
    xs = cases.representations(tiny(script), "cpu")
    found = cases.by_definition(xs, block=block)
    arrays = [x.numpy() for x in xs]
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka_matrix(arrays, estimator)
        assert 0.05 < expected[0, 1] < 0.95
        np.testing.assert_allclose(found[estimator], expected, atol=1e-12)
    expected = oracle.hsic_biased(arrays[0], arrays[1])
    assert found["hsic_biased"][0, 1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("way", ["gram_tiles", "feature_panels"])
def test_the_peers_compute_cka(script, way, dtype):
    import torch

    xs = script("benchmarks.gpu.cases").representations(tiny(script, m=5), "cpu")
    sizes = {"tile": 40, "chunk": 64} if way == "gram_tiles" else {"panel": 50}
    found = getattr(script("benchmarks.gpu.peers"), way)(xs, dtype=getattr(torch, dtype), **sizes)
    expected = oracle.cka_matrix([x.numpy() for x in xs], "biased")
    np.testing.assert_allclose(found, expected, atol=1e-4 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize(("route", "sizes"), [("G", {"d": 200}), ("F", {})])
def test_a_case_is_measured(script, emulated, tmp_path, monkeypatch, route, sizes):
    # Launches would cost more than all else in passes so small, and one route is short of them.
    monkeypatch.setattr("fastcka.core.cuda.cost.LAUNCH_SECONDS", 0.0)
    monkeypatch.setattr("fastcka.core.cuda.plan.FEW_FLOPS", 0.0)  # fp16 in spite of the size
    benchmark, record = script("benchmarks.gpu.benchmark"), script("benchmarks.gpu.record")
    path = tmp_path / "measured.json"
    case = tiny(script, **sizes)
    benchmark.CaseRun(case, record.Record(path), device="cpu").run()
    found = json.loads(path.read_text("utf-8"))
    assert not [name for name, facts in found.items() if "failed" in str(facts)], found
    for products, limit in {"float16x3": 1e-6, "float32": 1e-6, "float16": 1e-3}.items():
        facts = found[f"pass {products}"]
        assert facts["route"] == route
        assert facts["median"] > 0
        assert max(facts["errors"]["biased"], facts["errors"]["unbiased"]) < limit
        assert facts["share_of_cublas"] > 0
    assert found["pass float16x3"]["times_predicted"] == pytest.approx(
        found["pass float16x3"]["median"] / 1e-3
    )
    assert found["call fast"]["ran"]["products"] == "float16"
    assert found["store"]["groups"] == 2
    assert found["store"]["errors"]["biased"] < 1e-6
    assert found["torch pair loop"]["pairs"] == 3
    lines = script("benchmarks.gpu.verdict").verdict({"benchmarks": {"A": found}})
    assert [line["result"] for line in lines].count("not measured") == len(lines) - 3


def test_a_case_that_fails_leaves_the_rest(script, emulated, tmp_path, monkeypatch):
    benchmark, record = script("benchmarks.gpu.benchmark"), script("benchmarks.gpu.record")
    path = tmp_path / "measured.json"
    run = benchmark.CaseRun(tiny(script), record.Record(path), device="cpu")
    monkeypatch.setattr(benchmark, "gram_tiles", lambda xs, dtype: np.zeros((3, 3)))
    run.measure("wrong", lambda: run.batched(benchmark.gram_tiles, __import__("torch").float32))
    run.until = time.monotonic() - 1
    run.measure("late", lambda: 1)
    found = json.loads(path.read_text("utf-8"))
    assert "the answer is wrong" in found["wrong"]["failed"]
    assert found["late"] == {"skipped": "the time for this case is over"}


def test_the_store_is_left_out_where_time_or_disk_are_short(script, emulated):
    case = tiny(script)
    xs = script("benchmarks.gpu.cases").representations(case, "cpu")
    found = script("benchmarks.gpu.store").from_store(case, xs, None, groups=2, seconds=0.0)
    assert "writing it would take" in found["skipped"]


@pytest.mark.parametrize("on_device", [False, True])
def test_the_sanitizer_s_case_is_right(script, emulated, on_device):
    found = script("benchmarks.gpu.small_case").run(on_device=on_device, repeats=2)
    assert len(found) == 16


def test_the_rates_are_measured(script):
    found = script("benchmarks.gpu.rates").device_rates("cpu", bytes_moved=1 << 16)
    assert min(value for value in found.values() if value is not None) > 0


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
    check = script("benchmarks.gpu_check")
    (tmp_path / "test_some.py").write_text(OUTCOMES)
    (tmp_path / "test_worse.py").write_text("import nothing_of_that_name")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-vv", "--continue-on-collection-errors"]
    status, told = check.run_program([*command, str(tmp_path)], 60)
    found = check.test_outcomes(told)
    assert status == 1
    assert found["counts"] == {"passed": 1, "failed": 1, "error": 2, "skipped": 2, "xfailed": 1}
    assert [name.split("::")[1] for name in found["failed_tests"]] == ["test_fails", "test_errs"]


def test_a_program_is_stopped_with_what_it_started(script, tmp_path):
    check = script("benchmarks.gpu_check")
    code = (
        "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True);"
        "time.sleep(600)"
    )
    told = ""
    for seconds in (1, 5, 60):  # where it takes so long to start
        if not told:
            status, told = check.run_program([sys.executable, "-c", code], seconds)
    assert status is None
    child = Path("/proc") / told.strip()
    deadline = time.monotonic() + 60
    while child.exists() and "State:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("tool", "status", "told", "result"),
    [
        ("memcheck", 0, "========= ERROR SUMMARY: 0 errors\n", "pass"),
        ("memcheck", 0, "========= ERROR SUMMARY: 1 error\n", "fail"),
        ("memcheck", 1, "========= ERROR SUMMARY: 0 errors\n", "fail"),  # of the case itself
        ("racecheck", 0, "= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)", "pass"),
        ("racecheck", 0, "= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)", "fail"),
        ("racecheck", 255, "Device not supported", "not measured"),
        ("racecheck", None, "========= COMPUTE-SANITIZER", "not measured"),
    ],
)
def test_what_the_sanitizer_says_is_judged(script, tool, status, told, result):
    found = script("benchmarks.gpu_check").sanitizer_errors(tool, status, told, 60.0)
    lines = script("benchmarks.gpu.verdict").verdict({"sanitizer": {tool: found}})
    assert [line["result"] for line in lines if tool in line["criterion"]] == [result]


def test_a_stopped_part_leaves_the_others(script, tmp_path, monkeypatch):
    check = script("benchmarks.gpu_check")
    facts = {"device": "NVIDIA H100 80GB", "commit": "c0ffee", "dirty": False, "usable": True}

    def run_program(command, seconds, environment=None):
        assert seconds > 0
        words = " ".join(map(str, command))
        if "benchmarks.gpu.benchmark" in words:
            name, into = command[command.index("--case") + 1], command[command.index("--into") + 1]
            if name == "B":
                return 1, "Traceback: no torch"
            Path(into).write_text(json.dumps({"call high": {"median": 0.001}}))
            return None if name == "A" else 0, ""
        if "pytest" in command:
            return None, "tests/core/test_pass.py::test_one PASSED [ 10%]\n"
        return 0, "========= ERROR SUMMARY: 0 errors\n"

    monkeypatch.setattr(check, "run_program", run_program)
    monkeypatch.setattr(check, "find_sanitizer", lambda: "compute-sanitizer")
    monkeypatch.setattr(check, "HERE", tmp_path)
    record = check.begin_record(facts, None)
    check.check(record, check.PARTS, time.monotonic() + 100, {})
    found = json.loads(next((tmp_path / "records").iterdir()).read_text("utf-8"))
    assert record.path.name.startswith("nvidia-h100-80gb-20")
    assert record.path.name.endswith("-c0ffee.json")
    assert found["suite"]["counts"] == {"passed": 1}
    assert "stopped" in found["suite"]
    assert found["sanitizer"]["memcheck"]["errors"] == 0
    assert "failed" in found["sanitizer"]["racecheck"]
    assert set(found["benchmarks"]) == {"rates", "A", "B", "C", "D"}
    assert "stopped" in found["benchmarks"]["A"]
    assert found["benchmarks"]["A"]["call high"]
    assert found["benchmarks"]["B"]["failed"] == "exit 1"
    results = {line["criterion"]: line["result"] for line in found["verdict"]}
    assert results["the test suite passes on the GPU"] == "not measured"
    assert set(results.values()) == {"pass", "not measured"}

    # The same commit and device go on with the record; another does not touch it.
    assert check.begin_record(facts, record.path).facts["suite"] == found["suite"]
    with pytest.raises(SystemExit, match="give another --record"):
        check.begin_record(facts | {"commit": "beef"}, record.path)


def test_facts_are_json(script, emulated):
    found = script("benchmarks.gpu.facts").facts()
    assert found["usable"]
    assert found["device"] == emulated.module.status()["devices"][0]["name"]
    assert set(found["missing"]) <= set(script("benchmarks.gpu.facts").NEEDED)
    json.dumps(found)


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
    assert not path.exists()
