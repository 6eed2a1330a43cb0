"""A record as JSON, as tables, and in the README."""

from __future__ import annotations

import json

import pytest

from benchmarks import command, record, table, terminal

RATE = {"seconds": [0.5], "median": 0.5, "flops": 1.28e11}
RECORD = {
    "format": record.FORMAT,
    "machine": {
        "processor": "A Processor",
        "family": "model 1",
        "cores": 2,
        "flags": ["avx2"],
        "memory_bytes": 8e9,
    },
    "versions": {"numpy": "2.0", "torch": None},
    "commit": "abc",
    "finished": "2026-01-01",
    "quick": False,
    "threads": 2,
    "limit": 3.0,
    "missing": dict.fromkeys(("repsim", "hyppo"), "not installed: no compiler"),
    "entries": {
        "fastcka": {"package": "fastcka", "entry": "cka_matrix(xs)", "estimator": "unbiased"},
        "repsim": {"package": "repsim", "entry": "cka(xs)", "estimator": "biased"},
    },
    "workloads": {
        "pairs": {
            "title": "All pairs",
            "m": 21,
            "n": 2000,
            "d": 512,
            "groups": 1,
            "pairs": 210,
            "flops": 4.4e10,
            "route": "G",
            "plan": {"implementation": "avx2"},
            "rates": {"sgemm by NumPy": RATE, "sgemm by torch": {"failed": "no torch"}},
            "implementations": {
                "avx512": {
                    "fastcka": {"time": 0.2},
                    "fastcka, fast": {"refused": "the same bits as fastcka: not timed"},
                },
                "amx": {"fastcka": {"time": 0.1}, "fastcka, fast": {"time": 0.12}},
            },
            "contestants": {
                "crawling": {
                    "time": 60.0,
                    "error": 1e-4,
                    "m": 3,
                    "groups": 1,
                    "peak_bytes": 5e8,
                    "extra_bytes": None,
                },
                "fastcka": {
                    "time": 0.25,
                    "error": 2e-9,
                    "m": 21,
                    "groups": 1,
                    "version": "0.1",
                    "peak_bytes": 2e8,
                    "extra_bytes": 4.2e7,
                },
                "checked": {
                    "error": 1e-6,
                    "m": 21,
                    "groups": 1,
                    "seconds": [],
                    "first_seconds": 0.5,
                    "factor": 2,
                },
                "interrupted": {},
                "wrong": {"refused": "wrong by 0.05: not timed", "error": 0.05},
            },
        }
    },
    "correctness": {
        "kinds": ["plain", "offset"],
        "m": 4,
        "n": 500,
        "d": 128,
        "contestants": {
            "crawling": {
                "estimator": "unbiased",
                "errors": {"plain": 1e-6, "offset": "ValueError: not symmetric"},
            },
            "wrong": {"estimator": "biased", "errors": {"plain": float("nan"), "offset": 0.5}},
        },
    },
    "small": {
        "rows": [
            {
                "n": 30,
                "d": 64,
                "dtype": "float32",
                "estimator": "biased",
                "fastcka": {"median": 5e-5, "least": 4e-5},
                "numpy": {"median": 1e-4, "least": 8e-5},
            },
            {"n": 50, "d": 64, "dtype": "float32", "estimator": "biased", "failed": "differ"},
        ],
        "start": {"import": {"median": 0.04, "least": 0.03}},
    },
    "growth": {
        "base": {"m": 21, "n": 2000, "d": 128},
        "axes": {
            axis: [
                {
                    "value": 2,
                    "n": 5000,
                    "route": "G",
                    "predicted": 0.1,
                    "predicted_again": 0.11,
                    "median": 0.2,
                    "ratio": 2.0,
                    "fast": {
                        "route": "F",
                        "predicted": 0.1,
                        "median": 0.05,
                        "ratio": 0.5,
                        "predicted_again": 0.09,
                    },
                }
            ]
            for axis in ("n", "d", "m", "threads")
        },
    },
}


def rows(text):
    """First cell -> other cells, of all table rows."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {first: rest for first, *rest in cells}


def test_a_record_as_tables(tmp_path):
    path = tmp_path / "record.json"
    record.Record(path, RECORD).write()
    assert (
        "NaN"
        in json.loads(path.read_text())["correctness"]["contestants"]["wrong"]["errors"]["plain"]
    )
    text = table.markdown(record.read(path))
    pairs, correct = text.split("#### Growth")
    small = rows(text.split("#### Small calls")[1].split("####")[0])
    assert small["n=30, d=64, float32, biased"][:3] == ["50 (40)", "100 (80)", "2.00"]
    assert small["n=50, d=64, float32, biased"][-1] == "differ"
    assert "import 40.0 (at least 30.0) ms" in text
    assert "A Processor" in pairs
    assert "torch not installed" in pairs
    cells = rows(pairs)
    # 44 Gflop in 0.25 s are 176 of 256 Gflop/s.
    assert cells["fastcka"][:6] == ["0.25", "1.00", "0.69", "42", "200", "2e-09"]
    assert cells["crawling"][:2] == ["60", "240"]
    assert cells["crawling"][-1] == "extrapolated from 3 of 21 representations (3 pairs)"
    assert text.count("repsim") == text.count("not installed: no compiler") == 1
    assert "Left out: repsim, hyppo (not installed: no compiler)." in text
    assert "interrupted" not in cells
    assert cells["checked"][:2] == ["1", "4.00"]
    assert cells["checked"][-1] == "first call only"
    assert "sgemm reaches 256 by NumPy (Gflop/s)" in pairs
    assert "needs for 44 Gflop, divided by s" in pairs
    assert "Route G computes the n x n Gram matrix" in pairs
    assert "would need more than 3 s" in pairs
    assert cells["All pairs"] == ["", "same", "**1.20**"]  # fast / high; avx2 has no "fast"
    assert cells["wrong"][-1] == "wrong by 0.05: not timed"
    assert list(cells).index("fastcka") < list(cells).index("crawling") < list(cells).index("wrong")
    judged = rows(correct.split("#### Contestants")[0])
    assert judged["crawling"] == ["1e-06", "**ValueError**", "unbiased"]
    assert judged["wrong"] == ["**NaN**", "**5e-01**", "biased"]
    assert judged["threads (n = 5000)"] == ["2", "F", "fast", "0.05", "0.1", "0.50", "0.90"]
    assert "Measured / predicted: 0.50 to 2.00; the second prediction / the first: 0.90" in text


def test_the_tables_on_a_terminal():
    text = terminal.plain(table.markdown(RECORD, with_left_out=False), 100)
    assert "no compiler" not in text  # it is named before the run
    assert max(map(len, text.splitlines())) <= 100
    assert "growth.png" not in text
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith("error"))
    assert set(lines[start + 1]) == {"-"}
    fast, _, slow, folded = lines[start + 2 : start + 6]
    assert fast.split() == ["fastcka", "0.25", "1.00", "0.69", "42", "200", "2e-09"]
    assert slow.split()[:4] == ["crawling", "60", "240", "0.0029"]
    assert folded.startswith(" " * 50)
    assert [line.index("error") for line in (lines[start],)] == [fast.index("2e-09")]


def test_a_part_that_was_left_out_is_named():
    text = table.markdown({**RECORD, "skipped": {"transformer": "it needs torch"}})
    assert "The part transformer is left out: it needs torch." in text


def test_a_run_that_was_stopped_says_what_it_lacks():
    stopped = {"by": "Ctrl-C", "in": "pairs", "left": ["wide", "tall"]}
    text = table.markdown({**RECORD, "stopped": stopped})
    assert "This run was stopped by Ctrl-C; unfinished: pairs; not begun: wide, tall." in text


def test_a_file_that_is_not_a_record_is_refused(tmp_path):
    path = tmp_path / "record.json"
    path.write_text('{"format": "other"}')
    with pytest.raises(record.RecordError, match=r"record\.json: expected .* got 'other'"):
        record.read(path)


def test_rendering_into_the_readme(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "HERE", tmp_path)
    (tmp_path / "README.md").write_text(f"before\n{table.BEGIN}\nstale\n{table.END}\nafter\n")
    record.Record(tmp_path / "record.json", RECORD).write()
    for _ in range(2):  # the second time gives the same
        command.main(["render", str(tmp_path / "record.json")])
        text = (tmp_path / "README.md").read_text()
        assert text.startswith(f"before\n{table.BEGIN}\n\nA Processor")
        assert text.endswith(f"{table.END}\nafter\n")
        assert "stale" not in text
        assert text.count("#### Growth") == 1
    assert (tmp_path / "growth.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="table: begin"):
        table.placed("no markers", "")
