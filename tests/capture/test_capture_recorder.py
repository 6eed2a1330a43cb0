"""The recorder counts completed updates, keeps its plan, and leaves whole files alone."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fastcka.capture import CheckpointRecorder, checkpoint_path, read_checkpoint
from fastcka.errors import InputError


class Counter(nn.Module):
    """Its one weight is the number of updates made to it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def update(self) -> None:
        with torch.no_grad():
            self.weight += 1


def test_the_loop_over_range_2000_saves_step_2000(tmp_path: Path) -> None:
    model = Counter()
    with CheckpointRecorder({100, 1000, 2000}, tmp_path, run={"seed": 7}) as recorder:
        for _step in range(2000):
            model.update()
            recorder.after_update(model, loss=float(2000 - model.weight.item()))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"checkpoint_step_{step:05d}.pt" for step in (100, 1000, 2000)]
    for step in (100, 1000, 2000):
        saved = read_checkpoint(tmp_path / f"checkpoint_step_{step:05d}.pt")
        assert saved.step == step
        assert saved.model_state_dict["weight"].item() == step
        assert saved.loss == 2000 - step
        assert saved.run == {"seed": 7}


def test_step_0_is_the_network_before_training(tmp_path: Path) -> None:
    model = Counter()
    with CheckpointRecorder((1, 0), tmp_path, run={}) as recorder:
        assert recorder.before_training(model) == checkpoint_path(tmp_path, 0)
        assert recorder.missing == (1,)
        model.update()
        loss = (3 * model.weight).sum()  # still needs its gradient
        assert recorder.after_update(model, loss=loss) == checkpoint_path(tmp_path, 1)
        assert recorder.after_update(model) is None
    first, second = (read_checkpoint(checkpoint_path(tmp_path, step)) for step in (0, 1))
    assert (first.model_state_dict["weight"].item(), first.loss) == (0, None)
    assert (second.model_state_dict["weight"].item(), second.loss) == (1, 3.0)


def test_missing_steps_are_named_at_the_end(tmp_path: Path) -> None:
    recorder = CheckpointRecorder([7, 3, 5, 0], tmp_path, run={})

    def train_too_short() -> None:
        with recorder:
            for _ in range(3):
                recorder.after_update(Counter())

    with pytest.raises(InputError, match=r": 0, 5, 7; 3 updates.*before_training"):
        train_too_short()
    assert recorder.missing == (0, 5, 7)
    assert recorder.completed == 3


def test_an_exception_in_training_keeps_its_type_and_notes_what_is_missing(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError) as caught,
        CheckpointRecorder([4], tmp_path, run={}),
    ):
        _ = 1 / 0
    assert "without a checkpoint" in caught.value.__notes__[0]
    assert ": 4; 0 updates" in caught.value.__notes__[0]


def test_step_0_after_an_update_is_refused(tmp_path: Path) -> None:
    recorder = CheckpointRecorder([0, 1], tmp_path, run={})
    recorder.after_update(Counter())
    with pytest.raises(InputError, match="after 1 updates"):
        recorder.before_training(Counter())


@pytest.mark.parametrize("steps", [[], [-1], [1, 1], [1.0], [True], ["2"]])
def test_impossible_plans(tmp_path: Path, steps: list[object]) -> None:
    with pytest.raises(InputError, match="steps"):
        CheckpointRecorder(steps, tmp_path / "run", run={})
    assert not (tmp_path / "run").exists()


def test_run_must_be_jsonable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run must be JSON-able"):
        CheckpointRecorder([1], tmp_path, run={"model": object()})


def test_another_runs_file_is_not_overwritten(tmp_path: Path) -> None:
    with CheckpointRecorder([0], tmp_path, run={"seed": 1}) as recorder:
        recorder.before_training(Counter())
    before = checkpoint_path(tmp_path, 0).read_bytes()
    with pytest.raises(InputError, match=r"another run.*'seed': 1.*'seed': 2"):
        CheckpointRecorder([0, 5], tmp_path, run={"seed": 2})
    assert checkpoint_path(tmp_path, 0).read_bytes() == before


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CheckpointRecorder([0], tmp_path, run={}) as recorder:
        recorder.before_training(Counter())
    before = checkpoint_path(tmp_path, 0).read_bytes()

    def half_a_file(_content: object, file: object) -> None:
        file.write(b"PK half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_a_file)
    with pytest.raises(OSError, match="No space left"):
        CheckpointRecorder([0], tmp_path, run={}).before_training(Counter())
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_step_00000.pt"]
    assert checkpoint_path(tmp_path, 0).read_bytes() == before


_ENDLESS = """
import sys, torch
from fastcka.capture import CheckpointRecorder
model = torch.nn.Linear(200, 200)
recorder = CheckpointRecorder(range(1, 100_000), sys.argv[1], run={})
print("go", flush=True)
while True:
    recorder.after_update(model, loss=0.5)
"""


def test_killed_while_writing_every_final_name_loads(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"go\n"
        while not checkpoint_path(tmp_path, 20).exists():
            assert process.poll() is None
        process.kill()
    files = sorted(tmp_path.glob("checkpoint_step_*.pt"))
    assert len(files) >= 20
    for step, path in enumerate(files, start=1):
        assert read_checkpoint(path).step == step


def test_checkpoints_load_with_weights_only(tmp_path: Path) -> None:
    run = {"seed": 1, "steps": (0, 2), "data": {"name": "digits"}}
    with CheckpointRecorder([0], tmp_path, run=run) as recorder:
        recorder.before_training(nn.BatchNorm1d(3))
    content = torch.load(checkpoint_path(tmp_path, 0), weights_only=True)
    assert set(content) == {"step", "model_state_dict", "loss", "run"}
    assert content["run"] == {"seed": 1, "steps": [0, 2], "data": {"name": "digits"}}
    nn.BatchNorm1d(3).load_state_dict(content["model_state_dict"])


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path(os.environ["FASTCKA_TEST_TOUCH"]),)


def test_pickled_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "executed"
    monkeypatch.setenv("FASTCKA_TEST_TOUCH", str(trace))
    path = checkpoint_path(tmp_path, 3)
    torch.save({"step": 3, "model_state_dict": {}, "loss": None, "run": _Malicious()}, path)
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(path)
    assert not trace.exists()


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    good = {"step": 3, "model_state_dict": {}, "loss": None, "run": {}}
    path = checkpoint_path(tmp_path, 3)
    with pytest.raises(InputError, match=r"checkpoint_step_00003\.pt is not a file"):
        read_checkpoint(path)
    torch.save(good, path)
    assert read_checkpoint(path).step == 3
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="cannot be read"):
            read_checkpoint(path)
    for wrong, message in (
        ([1], "holds list"),
        ({**good, "step": 4}, "holds step 4"),
        ({**good, "loss": "low"}, "'loss' is str"),
        ({key: good[key] for key in ("step", "loss", "run")}, "no field 'model_state_dict'"),
    ):
        torch.save(wrong, path)
        with pytest.raises(InputError, match=message):
            read_checkpoint(path)
