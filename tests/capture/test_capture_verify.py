"""The status of each planned checkpoint, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from fastcka.capture import CheckpointRecorder, same_weights, verify_checkpoints
from fastcka.cli.app import app

PLAN: dict[str, Any] = {
    "experiments": {
        name: {
            "training_steps": 30,
            "checkpoints": {"early": {"step": 10}, "late": {"step": 30}},
            "checkpoint_steps": [0, 10, 30],
        }
        for name in ("mlp", "cnn")
    }
}


def record(directory: Path, experiment: str = "mlp", **options: Any) -> CheckpointRecorder:
    model = nn.Linear(30, 20)
    with CheckpointRecorder(PLAN, experiment, directory, **options) as recorder:
        recorder.before_training(model)
        for _ in range(30):
            recorder.after_update(model)
    return recorder


def statuses(directory: Path, **options: Any) -> list[str]:
    return [entry.status for entry in verify_checkpoints(PLAN, directory, **options)]


def verify_mlp(directory: Path, *options: str) -> Any:
    plan = directory / "plan.json"
    plan.write_text(json.dumps({"experiments": {"mlp": PLAN["experiments"]["mlp"]}}))
    arguments = ["checkpoints", "verify", str(plan), "--dir", str(directory), *options]
    return CliRunner().invoke(app, arguments)


def step_file(directory: Path, step: int, experiment: str = "mlp") -> Path:
    return directory / experiment / f"checkpoint_step_{step:05d}.pt"


def test_what_was_recorded_is_as_planned(tmp_path: Path) -> None:
    ids = [record(tmp_path, name).run_id for name in ("mlp", "cnn")]
    checked = verify_checkpoints(PLAN, tmp_path)
    assert [(c.experiment, c.step, c.phase, c.status, c.found_step, c.run_id) for c in checked] == [
        (name, step, phase, "present", step, run_id)
        for name, run_id in zip(("mlp", "cnn"), ids, strict=True)
        for step, phase in ((0, None), (10, "early"), (30, "late"))
    ]
    assert all(c.ok and not c.detail and c.size == c.path.stat().st_size for c in checked)


def test_files_of_weights_alone_are_as_planned(tmp_path: Path) -> None:
    record(tmp_path, "mlp", contents="safetensors")
    record(tmp_path, "cnn", contents="weights")
    assert statuses(tmp_path) == ["present"] * 6


def test_missing_files(tmp_path: Path) -> None:
    record(tmp_path)
    step_file(tmp_path, 30).unlink()
    checked = verify_checkpoints(PLAN, tmp_path)
    assert [entry.status for entry in checked] == ["present"] * 2 + ["missing"] * 4
    assert checked[2].detail == f"{step_file(tmp_path, 30)}: no such file"
    assert checked[2].size is None
    assert not checked[2].ok


@pytest.mark.parametrize("contents", ["full", "safetensors"])
def test_truncated_and_damaged_files(tmp_path: Path, contents: str) -> None:
    record(tmp_path, contents=contents)
    record(tmp_path, "cnn")
    (path,) = (tmp_path / "mlp").glob("*00010.*")
    whole = path.read_bytes()
    for size in (0, 1, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert statuses(tmp_path)[1] == "truncated", size
    half = len(whole) // 2
    path.write_bytes(whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
    assert statuses(tmp_path) == ["present", "damaged", "present", *["present"] * 3]
    path.write_bytes(b"no checkpoint at all" * 1000)
    assert statuses(tmp_path)[1] == "damaged"


def test_wrong_steps(tmp_path: Path) -> None:
    record(tmp_path)
    record(tmp_path, "cnn")
    step_file(tmp_path, 10).write_bytes(step_file(tmp_path, 30).read_bytes())
    entry = verify_checkpoints(PLAN, tmp_path)[1]
    assert (entry.status, entry.found_step) == ("wrong step", 30)
    assert entry.detail.startswith(
        f"{step_file(tmp_path, 10)}: expected step 10 by its name, got step 30; "
    )


def test_another_run(tmp_path: Path) -> None:
    first = record(tmp_path / "first")
    other = record(tmp_path / "other")
    first_late = step_file(tmp_path / "first", 30)
    first_late.write_bytes(step_file(tmp_path / "other", 30).read_bytes())
    entry = verify_checkpoints(PLAN, tmp_path / "first")[2]
    assert (entry.status, entry.run_id) == ("another run", other.run_id)
    assert first.run_id in entry.detail
    # With one file of each of two runs, the later file decides.
    step_file(tmp_path / "first", 0).unlink()
    assert statuses(tmp_path / "first")[:3] == ["missing", "another run", "present"]


def test_files_that_no_recorder_wrote(tmp_path: Path) -> None:
    (tmp_path / "mlp").mkdir()
    state = nn.Linear(2, 2).state_dict()
    for step in (0, 10, 30):
        torch.save({"step": step, "model_state_dict": state}, step_file(tmp_path, step))
    checked = verify_checkpoints(PLAN, tmp_path)[:3]
    assert [(entry.status, entry.run_id) for entry in checked] == [("present", None)] * 3
    recorder = CheckpointRecorder(PLAN, "mlp", tmp_path, overwrite=True)
    recorder.after_update(nn.Linear(2, 2), step=30)
    assert statuses(tmp_path)[:3] == ["present", "present", "another run"]


class _Custom:
    """A class that a checkpoint should not need."""


def test_unsafe_files(tmp_path: Path) -> None:
    (tmp_path / "mlp").mkdir()
    state = nn.Linear(2, 2).state_dict()
    torch.save({"step": 0, "model_state_dict": state, "x": _Custom()}, step_file(tmp_path, 0))
    entry = verify_checkpoints(PLAN, tmp_path)[0]
    assert entry.status == "unsafe"
    assert "--trust-pickle" in entry.detail
    assert statuses(tmp_path, trust_pickle=True)[0] == "present"


def test_other_trainers_names(tmp_path: Path) -> None:
    folder = tmp_path / "mlp" / "checkpoint-10"
    folder.mkdir(parents=True)
    state = nn.Linear(2, 2).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 10}))
    lightning = tmp_path / "mlp" / "epoch=2-step=30.ckpt"
    torch.save({"state_dict": state, "global_step": 31, "epoch": 2}, lightning)
    checked = verify_checkpoints(PLAN, tmp_path)[:3]
    assert [entry.status for entry in checked] == ["missing", "present", "wrong step"]
    assert [entry.found_step for entry in checked] == [None, 10, 31]
    (folder / "pytorch_model.bin").write_bytes((folder / "pytorch_model.bin").read_bytes()[:-1])
    assert statuses(tmp_path)[1] == "truncated"


def test_the_same_weights_at_two_steps(tmp_path: Path) -> None:
    (tmp_path / "mlp").mkdir()
    state, other = nn.Linear(2, 2).state_dict(), nn.Linear(2, 2).state_dict()
    for step, weights in ((0, state), (10, other), (30, dict(reversed(state.items())))):
        torch.save({"model_state_dict": weights}, step_file(tmp_path, step))
    checked = verify_checkpoints(PLAN, tmp_path)
    assert [entry.status for entry in checked[:3]] == ["present"] * 3  # doubtful, not wrong
    assert same_weights(checked) == ["mlp: steps 0 and 30 have the same weights"]
    result = verify_mlp(tmp_path)
    assert result.exit_code == 0
    assert "warning: mlp: steps 0 and 30 have the same weights" in result.stderr


def test_the_name_gives_the_step_that_a_file_does_not_contain(tmp_path: Path) -> None:
    (tmp_path / "mlp").mkdir()
    for step in (0, 10, 30):
        state = nn.Linear(2, 2).state_dict()
        torch.save({"model": state, "loss": 0.5}, step_file(tmp_path, step).with_suffix(".pth"))
    assert statuses(tmp_path)[:3] == ["present"] * 3


def test_the_field_of_the_weights_is_an_option(tmp_path: Path) -> None:
    (tmp_path / "mlp").mkdir()
    for step in (0, 10, 30):
        content = {"student": nn.Linear(2, 2).state_dict(), "teacher": {"w": torch.ones(step + 1)}}
        torch.save(content, step_file(tmp_path, step))
    assert statuses(tmp_path)[0] == "damaged"
    assert statuses(tmp_path, weights_key="teacher")[:3] == ["present"] * 3
    assert "'student', 'teacher'" in verify_mlp(tmp_path).stdout
    assert verify_mlp(tmp_path, "--weights-key", "teacher").exit_code == 0
