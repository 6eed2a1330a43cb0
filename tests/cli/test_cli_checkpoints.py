"""``fastcka checkpoints``: make a plan, and compare it with recorded checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from fastcka.capture import CheckpointRecorder


def test_plan_and_verify_on_the_command_line(
    tmp_path: Path, call: Callable[..., Any], strict_json: Callable[[str], Any]
) -> None:
    result = call("checkpoints", "plan", "--experiment", "mlp", "--experiment", "cnn")
    assert result.exit_code == 2  # --steps is needed
    plan = ("checkpoints", "plan", "--experiment", "mlp", "--experiment", "cnn", "--steps", 30)
    phases = ("--phases", "early=10,mid=0.5,late=last")
    result = call(*plan, *phases)
    assert result.exit_code == 0
    experiment = strict_json(result.stdout)["experiments"]["cnn"]
    assert experiment["training_steps"] == 30
    assert experiment["checkpoint_steps"] == [0, 10, 15, 30]
    assert {name: p["step"] for name, p in experiment["checkpoints"].items()} == {
        "early": 10,
        "mid": 15,
        "late": 30,
    }
    file = tmp_path / "plan.json"
    result = call(*plan, *phases, "--output", file)
    assert result.exit_code == 0
    assert f"8 checkpoints of 2 experiments planned in {file}" in result.stdout
    assert json.loads(file.read_text())["experiments"]["cnn"] == experiment

    for name in ("mlp", "cnn"):
        model = nn.Linear(2, 2)
        with CheckpointRecorder(file, name, tmp_path) as recorder:
            recorder.before_training(model)
            for _ in range(30):
                recorder.after_update(model)
    verify = ("checkpoints", "verify", file, "--dir", tmp_path)
    result = call(*verify)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("present")]
    assert [row[1:3] for row in rows[:4]] == [["mlp", step] for step in ("0", "10", "15", "30")]
    assert len(rows) == 8
    assert "8 of 8 planned checkpoints as planned" in result.stdout

    lost = tmp_path / "cnn" / "checkpoint_step_00015.pt"
    lost.unlink()
    result = call(*verify)
    assert result.exit_code == 1
    assert f"missing: {lost}: no such file" in result.stdout
    assert "7 of 8 planned checkpoints as planned" in result.stdout
    result = call(*verify, "--json")
    assert result.exit_code == 1
    answer = strict_json(result.stdout)
    assert answer["wrong"] == 1
    assert [c["step"] for c in answer["checkpoints"] if c["status"] == "missing"] == [15]
    checkpoint = answer["checkpoints"][1]
    assert checkpoint["experiment"] == "mlp"
    assert checkpoint["size"] == (tmp_path / "mlp" / "checkpoint_step_00010.pt").stat().st_size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--phases", "late=31"], "expected 0 to 30, the length of the training, got 31"),
        (["--phases", "late"], "NAME=STEP"),
        (["--phases", "a=10,b=10"], "are the same step 10"),
        (["--experiment", "mlp"], "got this name twice"),
        (["--experiment", "a/b"], "got 'a/b'"),
        (["--output", "{existing}"], "already exists"),
    ],
)
def test_impossible_calls(
    tmp_path: Path, call: Callable[..., Any], options: list[str], message: str
) -> None:
    existing = tmp_path / "plan.json"
    existing.write_text("mine")
    options = [option.format(existing=existing) for option in options]
    result = call("checkpoints", "plan", "--experiment", "mlp", "--steps", 30, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert existing.read_text() == "mine"
