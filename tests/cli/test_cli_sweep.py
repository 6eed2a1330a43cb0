"""``fastcka plan`` and ``fastcka run``: counts, tables, resuming after a kill."""

from __future__ import annotations

import contextlib
import csv
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from fastcka.store import create_store

STEPS = range(0, 800, 100)
LAYERS = ("fc1", "fc2", "out")
HALF = "{layer: [fc2], step: [0, 100, 200, 300, 400]}"  # 5 groups
COLUMNS = {
    "model_a", "step_a", "layer_a", "model_b", "step_b", "layer_b",
    "n_examples", "cka", "cka_biased", "cka_unbiased",
}  # fmt: skip

# The command, at 0.15 s a group, so that it can be stopped halfway.
SLOW = """
import time
import fastcka.sweep.run as sweep_run
from fastcka.cli import main
compare = sweep_run.compare
def slow_compare(*arguments, **options):
    time.sleep(0.15)
    return compare(*arguments, **options)
sweep_run.compare = slow_compare
main()
"""


def values(model: int, step: int, layer: int) -> np.ndarray:
    rng = np.random.default_rng([model, step, layer])
    shared = np.random.default_rng(0).normal(size=(40, 6))
    return shared @ rng.normal(size=(6, 5 + layer)) + rng.normal(size=(40, 5 + layer))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A store of 3 models at 8 steps with 3 layers each."""
    path = tmp_path_factory.mktemp("sweep")
    with create_store(path / "store") as store:
        for model in range(3):
            for step in STEPS:
                layers = {name: values(model, step, i) for i, name in enumerate(LAYERS)}
                store.write(model=f"m{model}", step=step, layers=layers, factors={"seed": model})
    return path


def sweep_file(folder: Path, name: str, **fields: str) -> Path:
    """Write a sweep of its own output: different seeds of one layer at one step."""
    text = {
        "store": "store",
        "output": f"out-{name}",
        "compare": "{within: [step, layer], differ: [seed]}",
        "estimator": "biased",
    } | fields
    path = folder / f"{name}.yaml"
    path.write_text("".join(f"{field}: {value}\n" for field, value in text.items()))
    return path


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    n = len(x)
    h = np.eye(n) - 1 / n
    k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
    return float((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_plan_counts_and_computes_nothing(call, strict_json, folder):
    path = sweep_file(folder, "planned")
    done = call("plan", path, "--json")
    assert done.exit_code == 0
    plan = strict_json(done.stdout)
    # 8 steps x 3 layers are the groups; 3 models make 3 pairs in each.
    assert (plan["representations"], plan["groups"], plan["comparisons"]) == (72, 24, 72)
    assert plan["dropped"] == {}
    shown = call("plan", path).stdout
    assert "72 comparisons of 72 representations in 24 groups" in shown
    assert "and 12 more groups" in shown
    assert not (folder / "out-planned").exists()


def test_plan_says_what_it_leaves_out(call, strict_json, folder):
    path = sweep_file(folder, "selected", select="{layer: [fc1], seed: [0, 2]}")
    plan = strict_json(call("plan", path, "--json").stdout)
    assert (plan["representations"], plan["groups"], plan["comparisons"]) == (16, 8, 8)
    assert sum(plan["dropped"].values()) == 72 - 16
    shown = call("plan", path).stdout
    for reason in plan["dropped"]:
        assert reason.split()[0] in shown


def test_run_writes_the_table(shell, strict_json, folder):
    path = sweep_file(folder, "whole", select="{step: [0, 300]}")
    done = shell("run", path, "--json", "--threads", 1)
    assert (done.returncode, done.stderr) == (0, "")
    answer = strict_json(done.stdout)
    assert (answer["groups_computed"], answer["groups_reused"]) == (6, 0)
    rows = rows_of(Path(answer["results"]))
    assert set(rows[0]) >= COLUMNS
    assert len(rows) == answer["comparisons"] == 2 * 3 * 3
    for row in rows:
        layer = LAYERS.index(row["layer_a"])
        assert (row["step_a"], row["layer_a"]) == (row["step_b"], row["layer_b"])
        sides = [
            values(int(row[side][1:]), int(row["step_a"]), layer) for side in ("model_a", "model_b")
        ]
        assert float(row["cka"]) == float(row["cka_biased"])
        assert float(row["cka"]) == pytest.approx(biased_cka(*sides), abs=1e-6)
        assert row["n_examples"] == "40"
    again = strict_json(shell("run", path, "--json").stdout)
    assert (again["groups_computed"], again["groups_reused"]) == (0, 6)


def test_progress_is_for_terminals_and_leaves_stdout_alone(strict_json, folder, monkeypatch):
    path = sweep_file(folder, "watched", select="{step: [0]}")
    monkeypatch.setenv("TERM", "xterm")
    terminal, its_other_end = pty.openpty()
    with tempfile.TemporaryFile("w+") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-c", "from fastcka.cli import main; main()", "run", path, "--json"],
            stdout=stdout,
            stderr=its_other_end,
        )
        os.close(its_other_end)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while block := os.read(terminal, 4096):
                shown += block
        os.close(terminal)
        assert process.wait(timeout=60) == 0
        stdout.seek(0)
        assert strict_json(stdout.read())["groups_computed"] == 3
    assert b"groups computed" in shown or b"writing the results" in shown
    assert b"100%" in shown


def test_run_tells_a_person_where_things_are(call, folder):
    path = sweep_file(folder, "shown", select="{step: [0]}")
    done = call("run", path)
    assert done.exit_code == 0
    assert "3 computed, 0 in the ledger" in done.stdout
    for name in ("results.csv", "run.json"):
        assert str(folder / "out-shown" / name) in done.stdout


def committed(ledger: Path) -> int:
    """Return the number of groups in the ledger; 0 before there is one."""
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as database:
            return int(database.execute("SELECT count(*) FROM groups").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def stop_halfway(path: Path, ledger: Path, how: signal.Signals) -> tuple[int, str]:
    """Start a slow run, and send the signal once two groups are in the ledger."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "run", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while committed(ledger) < 2:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    _, messages = process.communicate(timeout=60)
    return process.returncode, messages


@pytest.fixture(scope="module")
def undisturbed(shell, folder) -> bytes:
    """Return the table of a run that nothing stopped."""
    path = sweep_file(folder, "undisturbed", select=HALF)
    assert shell("run", path).returncode == 0
    return (folder / "out-undisturbed" / "results.csv").read_bytes()


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [(signal.SIGKILL, -signal.SIGKILL, ""), (signal.SIGINT, 130, "interrupted\n")],
    ids=["kill -9", "Ctrl-C"],
)
def test_a_stopped_run_is_taken_up(shell, strict_json, folder, undisturbed, how, status, message):
    name = f"stopped-{how.name}"
    path = sweep_file(folder, name, select=HALF)
    output = folder / f"out-{name}"
    assert stop_halfway(path, output / "ledger.sqlite", how) == (status, message)
    kept = committed(output / "ledger.sqlite")
    assert 2 <= kept < 5
    done = shell("run", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = strict_json(done.stdout)
    assert (answer["groups_reused"], answer["groups_computed"]) == (kept, 5 - kept)
    assert Path(answer["results"]).read_bytes() == undisturbed


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"estimater": "biased"}, ["estimater", "estimator"]),
        ({"estimator": "hsic"}, ["estimator", "hsic", "unbiased"]),
        ({"select": "{seed: [9]}"}, ["seed", "9"]),
        ({"compare": "{within: [stpe]}"}, ["stpe", "step"]),
        ({"store": "no-such-store"}, ["no-such-store"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_sweep_is_a_readable_message(call, folder, command, fields, words):
    path = sweep_file(folder, "wrong", **fields)
    done = call(command, path, "--json")
    assert done.exit_code == (1 if "store" in fields else 2), done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    for word in words:
        assert word in done.stderr
    assert not (folder / "out-wrong").exists()


def test_a_sweep_that_is_not_there(call, tmp_path):
    done = call("plan", tmp_path / "absent.yaml")
    assert done.exit_code == 2
    assert "absent.yaml" in done.stderr
