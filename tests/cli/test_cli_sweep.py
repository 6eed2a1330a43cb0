"""``fastcka plan`` and ``fastcka run``: counts, tables, resuming after a kill."""

from __future__ import annotations

import contextlib
import csv
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import oracle
from fastcka.core.request import Flight
from fastcka.errors import DeviceError, InputError, LedgerError
from fastcka.store import create_store
from fastcka.sweep import CompareConfig, SweepConfig
from fastcka.sweep.question.steps import POLICIES

STEPS = range(0, 800, 100)
LAYERS = ("fc1", "fc2", "out")
HALF = "{layer: [fc2], step: [0, 100, 200, 300, 400]}"  # 5 groups
COLUMNS = {
    "model_a", "step_a", "layer_a", "model_b", "step_b", "layer_b",
    "n_examples", "cka", "cka_biased", "cka_unbiased",
}  # fmt: skip

# The command, which waits after its third group until it is stopped.
SLOW = """
import time
import fastcka.sweep.running.compute as sweep_compute
from fastcka.cli import main
from fastcka.core import flight
flight.MOST_GROUPS = 1
compare_many = sweep_compute.compare_many
def slowly(*arguments, **options):
    for group, outcomes in enumerate(compare_many(*arguments, **options)):
        if group == 3:
            time.sleep(600)
        yield outcomes
sweep_compute.compare_many = slowly
main()
"""


def but_for_seconds(path: Path) -> list[dict[str, str]]:
    """The rows without the seconds of each group, which differ between runs."""
    return [
        {name: text for name, text in row.items() if name != "seconds"} for row in rows_of(path)
    ]


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
    """Write a sweep with a separate output: different seeds of one layer at one step."""
    text = {
        "store": "store",
        "output": f"out-{name}",
        "compare": "{within: [step, layer], differ: [seed]}",
        "estimator": "biased",
    } | fields
    path = folder / f"{name}.yaml"
    path.write_text("".join(f"{field}: {value}\n" for field, value in text.items()))
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_plan_counts_and_computes_nothing(call, strict_json, folder):
    path = sweep_file(folder, "planned")
    done = call("plan", path, "--json")
    assert done.exit_code == 0
    plan = strict_json(done.stdout)
    # 8 steps x 3 layers make 24 groups; 3 models make 3 pairs in each.
    assert (plan["representations"], plan["groups"], plan["comparisons"]) == (72, 24, 72)
    assert plan["dropped"] == {}
    shown = call("plan", path).stdout
    for name, count in (("pairs", 72), ("representations", 72), ("groups", 24)):
        assert re.search(rf"^{name} +{count}\b", shown, re.MULTILINE)
    assert "and 14 more; --json lists all" in shown
    assert shown.count("layer=") == 10
    assert not (folder / "out-planned").exists()


def test_plan_lists_what_the_selection_drops(call, strict_json, folder):
    path = sweep_file(folder, "selected", select="{layer: [fc1], seed: [0, 2]}")
    plan = strict_json(call("plan", path, "--json").stdout)
    assert (plan["representations"], plan["groups"], plan["comparisons"]) == (16, 8, 8)
    assert sum(plan["dropped"].values()) == 72 - 16
    assert plan["dropped_examples"].keys() == plan["dropped"].keys()
    shown = call("plan", path).stdout
    for reason, examples in plan["dropped_examples"].items():
        assert reason.split()[0] in shown
        assert 1 <= len(examples) <= 3
        assert all(example in shown for example in examples)


def test_plan_counts_the_comparisons_in_the_ledger(call, strict_json, folder):
    part = sweep_file(folder, "partial", select="{step: [0]}")
    assert call("run", part).exit_code == 0
    path = sweep_file(folder, "partial", select="{step: [0, 100]}")
    plan = strict_json(call("plan", path, "--json").stdout)
    assert (plan["comparisons_in_ledger"], plan["comparisons_to_compute"]) == (9, 9)
    shown = call("plan", path).stdout
    assert re.search(r"^groups +6: 3 to compute, 3 computed earlier$", shown, re.MULTILINE)
    assert re.search(r"^pairs +18: 18 within the groups", shown, re.MULTILINE)
    with sqlite3.connect(folder / "out-partial" / "ledger.sqlite") as database:
        database.execute("UPDATE similarities SET cka_biased = 0.5 WHERE group_id = 1")
    database.close()
    plan = strict_json(call("plan", path, "--json").stdout)
    assert (plan["comparisons_in_ledger"], plan["comparisons_to_compute"]) == (6, 12)


def test_the_table_of_a_plan_fits_80_columns(shell, folder):
    path = sweep_file(folder, "narrow", select="{step: [0]}")
    lines = shell("plan", path, COLUMNS="80").stdout.splitlines()
    assert any(line.startswith("step=0, layer=fc1 ") for line in lines)
    (head,) = (line for line in lines if line.startswith("group "))
    assert head.split() == ["group", "members", "pairs", "examples", "features"]


def test_a_run_that_replaces_another_sweep_is_announced(call, folder):
    path = sweep_file(folder, "shared", select="{step: [0]}")
    assert call("run", path).stderr == ""
    sweep_file(folder, "shared", select="{step: [100]}")
    done = call("run", path)
    expected = (
        "replaced the results of another sweep (9 comparisons); its values stay in the ledger"
    )
    assert (done.exit_code, done.stderr) == (0, f"warning: {expected}\n")
    assert expected in (folder / "out-shared" / "run.json").read_text("utf-8")
    assert committed(folder / "out-shared" / "ledger.sqlite") == 6
    assert call("run", path).stderr == ""


@pytest.mark.parametrize("command", ["plan", "run"])
def test_help_explains_the_sweep_file(call, command):
    shown = call(command, "--help").stdout
    for field in (*SweepConfig.model_fields, *CompareConfig.model_fields, "nearest", "fraction"):
        assert field in shown
    for policy in POLICIES:
        assert policy in shown


def test_plan_notices_an_output_that_is_a_file(call, folder):
    (folder / "a-file").write_text("")
    done = call("plan", sweep_file(folder, "onto-file", output="a-file"))
    assert done.exit_code == 2
    assert "a-file is a file; expected a folder" in done.stderr


def test_a_damaged_file_fails_only_the_sweeps_that_select_it(call, tmp_path):
    with create_store(tmp_path / "store") as store:
        for model in range(3):
            for step in (0, 100):
                x = values(model, step, 0)
                store.write(model=f"m{model}", step=step, layers={"l": x}, factors={"seed": model})
        store.write(model="lone", step=0, layers={"l": x}, factors={"seed": 9})
    compare = "{within: [step, layer]}"
    (damaged,) = (tmp_path / "store").rglob("m2-*/100.h5")
    damaged.write_bytes(damaged.read_bytes()[:2000])
    done = call("plan", sweep_file(tmp_path, "all", compare=compare))
    assert done.exit_code == 1
    for words in ("m2-", "cut off after 2,000 of its", "overwrite=True, or delete", "store verify"):
        assert words in done.stderr
    for select in ("{model: [m0, m1]}", "{seed: [0, 1]}", "{step: 0}"):
        done = call("plan", sweep_file(tmp_path, "part", compare=compare, select=select))
        assert done.exit_code == 0, done.stderr
        assert "1 unreadable file outside select" in done.stdout
    # Only the folder is known of a model whose one file is truncated.
    (only,) = (tmp_path / "store").rglob("lone-*/0.h5")
    only.write_bytes(only.read_bytes()[:2000])
    done = call("run", sweep_file(tmp_path, "part", compare=compare, select="{seed: [0, 1]}"))
    assert done.exit_code == 1
    assert "the model of this file cannot be read" in done.stderr
    done = call("run", sweep_file(tmp_path, "part", compare=compare, select="{model: [m0, m1]}"))
    assert done.exit_code == 0, done.stderr
    done = call("plan", sweep_file(tmp_path, "part", compare=compare, select="{model: lone}"))
    assert (done.exit_code, "cut off" in done.stderr) == (1, True)


def test_a_value_that_fails_its_checksum_ends_the_run_with_the_remedy(call, tmp_path):
    with create_store(tmp_path / "store") as store:
        for model in range(2):
            x = values(model, 0, 0)
            store.write(model=f"m{model}", step=0, layers={"l": x}, factors={"seed": model})
    (path,) = (tmp_path / "store").rglob("m1-*/0.h5")
    data = bytearray(path.read_bytes())
    data[data.index(x.tobytes())] ^= 1
    path.write_bytes(data)
    done = call("run", sweep_file(tmp_path, "damaged"))
    assert done.exit_code == 1
    assert "the checksum of /layers/0/x does not match" in done.stderr
    assert "write model 'm1', step 0, again with overwrite=True, or delete the file" in done.stderr


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
        assert float(row["cka"]) == pytest.approx(oracle.cka(*sides, "biased"), abs=1e-6)
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
        with contextlib.suppress(OSError):  # on Linux: the other end is closed
            while block := os.read(terminal, 4096):
                shown += block
        os.close(terminal)
        assert process.wait(timeout=60) == 0
        stdout.seek(0)
        assert strict_json(stdout.read())["groups_computed"] == 3
    assert b"groups computed" in shown or b"writing the results" in shown
    assert b"100%" in shown


def test_run_prints_where_the_results_are(call, folder):
    path = sweep_file(folder, "shown", select="{step: [0]}")
    done = call("run", path)
    assert done.exit_code == 0
    assert "3 computed now, 0 computed earlier" in done.stdout
    for name in ("results.csv", "run.json"):
        assert str(folder / "out-shown" / name) in done.stdout


def committed(ledger: Path) -> int:
    """The number of groups in the ledger; 0 without a ledger."""
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
        # Shells ignore SIGINT for background jobs, and their children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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
def undisturbed(shell, folder) -> list[dict[str, str]]:
    """The table of a run that was not stopped."""
    path = sweep_file(folder, "undisturbed", select=HALF)
    assert shell("run", path).returncode == 0
    return but_for_seconds(folder / "out-undisturbed" / "results.csv")


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        (signal.SIGKILL, -signal.SIGKILL, ""),
        (signal.SIGINT, 130, "interrupted; run the same command again to resume\n"),
    ],
    ids=["kill -9", "Ctrl-C"],
)
def test_a_stopped_run_is_resumed(shell, strict_json, folder, undisturbed, how, status, message):
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
    assert but_for_seconds(Path(answer["results"])) == undisturbed


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
    assert done.exit_code == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    for word in words:
        assert word in done.stderr
    assert not (folder / "out-wrong").exists()


@pytest.mark.parametrize(
    "error", [InputError("a NaN"), DeviceError("no device"), LedgerError("locked")]
)
def test_a_failed_run_is_not_a_wrong_call(call, folder, monkeypatch, error):
    def fails(flights: Iterable[Flight], **_: object) -> Iterator[list[Exception]]:
        for flight in flights:
            if not isinstance(error, InputError):
                raise error
            yield [error] * len(flight.groups)

    monkeypatch.setattr("fastcka.sweep.running.compute.compare_many", fails)
    done = call("run", sweep_file(folder, f"failed-{type(error).__name__}"))
    assert done.exit_code == 1
    assert str(error) in done.stderr


def test_a_missing_sweep_file(call, tmp_path):
    done = call("plan", tmp_path / "absent.yaml")
    assert done.exit_code == 2
    assert "absent.yaml" in done.stderr
