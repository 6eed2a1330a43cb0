"""benchmarks/gpu_check.py from end to end, without a GPU and without a network."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cuda_emulation

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_check.py"


@pytest.fixture
def script(monkeypatch):
    """Import a file of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def failures(value, path=""):
    """The place and text of everything that failed or was stopped."""
    if not isinstance(value, dict):
        return []
    here = [f"{path}: {value[word]}" for word in ("failed", "stopped") if word in value]
    return here + [line for name in value for line in failures(value[name], f"{path}/{name}")]


def test_a_rehearsal_runs_every_part(emulation, emulation_folder, tmp_path):
    path = tmp_path / "record.json"
    variable = {cuda_emulation.BUILD_VARIABLE: str(emulation_folder)}
    done = run("--rehearse", "--record", path, "--minutes", 60, **variable)
    assert done.returncode in (0, 1), done.stderr  # 1: tiny sizes do not meet criteria of speed
    facts = json.loads(path.read_text("utf-8"))
    assert failures({name: facts[name] for name in facts if name != "facts"}) == []
    assert facts["device"] == "emulated device 0"
    assert facts["suite"]["exit"] == 0
    assert facts["suite"]["counts"]["passed"] > 0
    for name in ("A", "B", "C", "D"):
        assert facts["benchmarks"][name]["call high"]["ran"]["device"].startswith("cuda:0")
    for measured in (
        facts["chains"]["A float16x3 32"],
        facts["calls"]["M=3"],
        facts["copies"]["ordinary, all threads"],
        facts["copies"]["registered"],
        facts["store"]["read_raw cold, 1 threads"],
        facts["store"]["read_sweep warm, 1 threads"],
        facts["sweep"]["auto"],
        facts["groups"]["host cpu"],
    ):
        assert measured["median"] > 0
    assert facts["chains"]["A float16x3 32"]["rank_chunk"] == 32
    assert facts["chains"]["B float16x3 32"]["chunk"] == 32
    assert facts["sweep"]["cuda"]["devices"] == ["cuda:0 emulated device 0"]
    assert facts["sweep"]["cuda"]["error"] < 1e-6
    assert facts["cost_model"]["HOST_BYTES_PER_SECOND"] > 0
    assert "A: pass float16x3" in done.stdout
    assert "HOST_BYTES_PER_SECOND of the cost model: " in done.stdout
    assert list(tmp_path.iterdir()) == [path]


def test_a_rehearsal_does_not_write_into_the_records():
    done = run("--rehearse")
    assert done.returncode == 2
    assert "--rehearse needs --record" in done.stderr


def test_records_are_compared_line_by_line(script):
    module = script("benchmarks.gpu.differences")
    before = {
        "suite": {"counts": {"passed": 2}},
        "benchmarks": {
            "rates": {"device": {"pinned_bytes_per_second": 5e10, "graph_launch_seconds": None}},
            "A": {
                "host": {"median": 0.02, "errors": {"biased": 4e-6, "unbiased": -5e-6}},
                "store": {"skipped": "no disk"},
            },
        },
    }
    after = {
        "benchmarks": {"A": {"host": {"median": 0.005, "bytes_per_second": 3e10}}},
        "sweep": {"cuda": {"median": 2.0, "error": 1e-8}},
    }
    lines = [line.split("  ") for line in module.differences(before, after)]
    shown = {line[0]: [part.strip() for part in line[1:] if part.strip()] for line in lines}
    assert shown == {
        "": ["before", "now", "now / before"],
        "tests passed": ["2", "not measured"],
        "rate pinned_bytes_per_second": ["50 GB/s", "not measured"],
        "A: host": ["20 ms (5e-06)", "5 ms", "0.25"],
        "A: host, rate": ["not measured", "30 GB/s"],
        "sweep: cuda": ["not measured", "2000 ms (1e-08)"],
    }


def test_the_first_record_can_be_compared_with(script):
    module, record = script("benchmarks.gpu.differences"), script("benchmarks.record")
    figures = module.figures(record.read(module.FIRST, record.GPU_FORMAT))
    assert figures["C: pass float16x3"] == (
        pytest.approx(0.05604, rel=1e-4),
        "s",
        4.238077140561458e-06,
    )
    assert {name[0] for name in figures if name[1] == ":"} == set("ABCD")


def test_the_documentation_quotes_the_first_record(script):
    """The table of times of "fast" and of torch."""
    module, record = script("benchmarks.gpu.differences"), script("benchmarks.record")
    benchmarks = record.read(module.FIRST, record.GPU_FORMAT)["benchmarks"]
    text = (ROOT / "docs" / "arrays.md").read_text("utf-8")
    rows = text.partition("| whole call / torch |\n")[2].splitlines()[1:5]
    for name, row in zip("ABCD", rows, strict=True):
        shape, *shown = row.strip("| ").split(" | ")
        measured = benchmarks[name]
        assert shape == "{m}, {n}, {d}".format(**measured["case"])
        torch = min(
            measured[f"torch {way} float16"]["median"] for way in ("gram tiles", "feature panels")
        )
        gpu, call = (measured[way]["median"] for way in ("pass float16", "call fast"))
        exact = 1e3 * torch, 1e3 * gpu, 1e3 * call, call / torch
        for quoted, value in zip(shown, exact, strict=True):
            digits = len(quoted.partition(".")[2])
            assert float(quoted) == pytest.approx(value, abs=0.51 * 10.0**-digits)


@pytest.mark.parametrize(
    ("facts", "criterion", "result"),
    [
        (
            {"copies": {"ordinary, all threads": {"bytes_per_second": 3e10, "threads": 16}}},
            "from ordinary arrays",
            "pass",
        ),
        (
            {"copies": {"ordinary, all threads": {"bytes_per_second": 2.9e10, "threads": 16}}},
            "from ordinary arrays",
            "fail",
        ),
        ({"copies": {"stopped": "killed"}}, "from ordinary arrays", "not measured"),
        (
            {"calls": {"M=84": {"python_seconds": 0.55e-3, "shape": [84, 9, 9]}}},
            "Python's share",
            "pass",
        ),
        (
            {
                "calls": {
                    "M=84": {"python_seconds": 0.56e-3, "shape": [84, 9, 9]},
                    "M=252": {"python_seconds": 0.1e-3, "shape": [252, 9, 9]},
                }
            },
            "Python's share",
            "fail",
        ),
        (
            {
                "store": {
                    "read_raw warm, 16 threads": {"bytes_per_second": 8e9},
                    "read_raw warm, 8 threads": {"bytes_per_second": 1e10},
                    "read_sweep warm, 2 threads": {"bytes_per_second": 9e9},
                }
            },
            "many representations from a store, warm",
            "pass",
        ),
        (
            {
                "store": {
                    "read_raw cold, 16 threads": {"bytes_per_second": 1e10},
                    "read_sweep cold, 16 threads": {"bytes_per_second": 8e9},
                }
            },
            "many representations from a store, cold",
            "fail",
        ),
        (
            {
                "sweep": {"cuda": {"bytes_per_second": 5e9, "median": 1.0}},
                "store": {"read_raw warm, 16 threads": {"bytes_per_second": 8e9}},
                "benchmarks": {"rates": {"device": {"pinned_bytes_per_second": 5.5e9}}},
            },
            "a sweep on the GPU",
            "pass",
        ),
        (
            {
                "sweep": {"cuda": {"bytes_per_second": 5e9, "median": 1.0}},
                "store": {"read_raw warm, 16 threads": {"bytes_per_second": 8e9}},
            },
            "a sweep on the GPU",
            "fail",
        ),
        (
            {
                "benchmarks": {
                    "D": {
                        "call fast": {"median": 0.2},
                        "torch gram tiles float16": {"median": 0.3},
                        "torch feature panels float16": {"median": 0.1},
                    }
                }
            },
            "workload D: a call at 'fast'",
            "fail",
        ),
        (
            {
                "benchmarks": {
                    "A": {"pass float16x3": {"errors": {"biased": 1.1e-6, "unbiased": 0.0}}}
                }
            },
            "workload A: errors of CKA at 'high'",
            "fail",
        ),
    ],
)
def test_criteria(script, facts, criterion, result):
    lines = script("benchmarks.gpu.verdict").verdict(facts)
    assert [line["result"] for line in lines if line["criterion"].startswith(criterion)] == [result]


def wheel(folder, name, source):
    """A wheel of one module."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", source)
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")


def test_wheels_of_a_folder_are_installed_without_a_network(script, tmp_path, monkeypatch):
    install = script("benchmarks.gpu.install")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "fastcka", "from carried_along import answer")
    wheel(wheels, "carried_along", "answer = 42")
    monkeypatch.setattr(install, "SITE", tmp_path / "site")
    monkeypatch.setattr(install, "WHEEL", tmp_path / "wheel")
    built = install.install(wheels, 100, tmp_path / "output.txt")
    assert built == {"wheels": ["carried_along", "fastcka"], "built": False}
    code = "import fastcka; print(fastcka.answer)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **install.searched()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "42\n"


def test_a_build_that_fails_is_reported(script, tmp_path, monkeypatch):
    install = script("benchmarks.gpu.install")
    for name in ("SITE", "WHEEL", "ROOT"):
        monkeypatch.setattr(install, name, tmp_path / name)
    (tmp_path / "ROOT").mkdir()  # no project
    built = install.install("", 100, tmp_path / "output.txt")
    assert built["failed"].startswith("pip --disable-pip-version-check wheel ")
    assert built["failed"].endswith(": exit 1")
    assert "pyproject.toml" in built["tail"]
