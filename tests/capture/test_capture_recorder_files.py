"""Files that a recorder finds, replaces or refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fastcka.capture.recorder
from capture.recordings import Counter, plan_of, run, step_file
from fastcka.capture import (
    CheckpointRecorder,
    checkpoint_path,
    read_checkpoint,
)
from fastcka.errors import CheckpointWarning, InputError, WriteError, WrongStepError


def test_another_runs_file_is_not_overwritten(tmp_path: Path) -> None:
    first = run(tmp_path, 0, 2, updates=2)
    before = step_file(tmp_path, 0).read_bytes()
    with pytest.raises(InputError, match=rf"got '{first.run_id}'.*overwrite=True"):
        CheckpointRecorder(plan_of(0, 5), "run", tmp_path)
    assert step_file(tmp_path, 0).read_bytes() == before
    # Nor is a file that no recorder wrote.
    torch.save({"step": 2, "model_state_dict": Counter().state_dict()}, step_file(tmp_path, 2))
    with pytest.raises(
        InputError, match=r"step_00002\.pt: expected .* got a file without a run id"
    ):
        CheckpointRecorder(plan_of(2), "run", tmp_path)


def test_overwriting_replaces_each_file_when_the_new_one_is_complete(tmp_path: Path) -> None:
    first = run(tmp_path, 0, 2, updates=2)
    second = CheckpointRecorder(plan_of(0, 2), "run", tmp_path, overwrite=True)
    assert second.missing == (0, 2)
    second.before_training(Counter())
    ids = [read_checkpoint(step_file(tmp_path, step)).run_id for step in (0, 2)]
    assert ids == [second.run_id, first.run_id]


def test_a_step_is_not_saved_in_two_formats(tmp_path: Path) -> None:
    first = run(tmp_path, 0, 2, updates=2)
    for options in ({"overwrite": True}, {"run_id": first.run_id}):
        with pytest.raises(InputError, match=r"step_00000\.pt exists, and .*00000\.safetensors"):
            CheckpointRecorder(plan_of(0), "run", tmp_path, contents="safetensors", **options)


def test_a_resumed_run_keeps_its_id(tmp_path: Path) -> None:
    with pytest.warns(CheckpointWarning, match=": 5; 2 updates"):
        first = run(tmp_path, 0, 2, 5, updates=2)
    resumed = CheckpointRecorder(plan_of(0, 2, 5), "run", tmp_path, run_id=first.run_id)
    assert resumed.missing == (5,)
    for step in (3, 4, 5):
        resumed.after_update(Counter(), step=step)
    resumed.finish()
    assert {read_checkpoint(step_file(tmp_path, s)).run_id for s in (0, 2, 5)} == {first.run_id}


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, 0, updates=0)
    before = step_file(tmp_path, 0).read_bytes()

    def half_a_file(_content: object, file: Any) -> None:
        file.write(b"PK half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_a_file)
    recorder = CheckpointRecorder(plan_of(0), "run", tmp_path, run_id=first.run_id)
    with pytest.raises(WriteError) as caught:
        recorder.before_training(Counter())
    path = step_file(tmp_path, 0)
    assert str(caught.value) == f"{path}: cannot be written: No space left on device"
    assert list((tmp_path / "run").iterdir()) == [path]
    assert path.read_bytes() == before


LIMITED = """
import resource, sys
from capture.recordings import Counter, plan_of
from fastcka.capture import CheckpointRecorder
from fastcka.errors import WriteError
recorder = CheckpointRecorder(plan_of(0), "run", sys.argv[1], contents=sys.argv[2])
for limit in (0, 60, 100, 200):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        recorder.before_training(Counter())
    except WriteError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
recorder.before_training(Counter())
"""


@pytest.mark.parametrize(("contents", "suffix"), [("full", ".pt"), ("safetensors", ".safetensors")])
def test_a_file_without_disk_space_is_named(tmp_path: Path, contents: str, suffix: str) -> None:
    """A limit on the size of files makes the writes of torch and safetensors fail."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), contents],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stderr
    path = step_file(tmp_path, 0).with_suffix(suffix)
    messages = done.stdout.splitlines()
    assert len(messages) == 4
    for message in messages:
        assert message.startswith(f"{path}: cannot be written: ")
        assert "File too large" in message
    assert list((tmp_path / "run").iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(WriteError, match=r"run: cannot be made: Not a directory$"):
        CheckpointRecorder(plan_of(0), "run", tmp_path)


def test_a_checkpoint_that_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    model = Counter()
    optimizer = torch.optim.SGD(model.parameters(), lr=np.float64(0.1))
    recorder = CheckpointRecorder(plan_of(1), "run", tmp_path)
    with pytest.raises(InputError, match=r"not written.*optimizer's state.*float\(rate\)"):
        recorder.after_update(model, optimizer=optimizer)
    assert recorder.missing == (1,)
    assert not list((tmp_path / "run").iterdir())

    class Extra(nn.Module):
        def get_extra_state(self) -> object:
            return {"scale": 3}

    with pytest.raises(
        InputError, match="'_extra_state' in the state dict: expected a tensor, got dict"
    ):
        CheckpointRecorder(plan_of(1), "run", tmp_path).after_update(Extra())


def test_nothing_is_copied_between_planned_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = CheckpointRecorder(plan_of(9), "run", tmp_path)
    monkeypatch.setattr(fastcka.capture.recorder, "bare_state", None)
    for _ in range(8):
        assert recorder.after_update(Counter(), loss=torch.tensor([1.0, 2.0])) is None
    assert checkpoint_path(recorder.folder, 9) == step_file(tmp_path, 9)


def test_a_file_of_another_step_does_not_count(tmp_path: Path) -> None:
    first = run(tmp_path, 0, 2, updates=2)
    step_file(tmp_path, 2).write_bytes(step_file(tmp_path, 0).read_bytes())
    with pytest.raises(WrongStepError, match="expected step 2 by its name, got step 0"):
        CheckpointRecorder(plan_of(0, 2), "run", tmp_path, run_id=first.run_id)
