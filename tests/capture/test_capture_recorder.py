"""The recorder counts completed updates, follows its plan, and leaves complete files alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from capture.recordings import Counter, Wrapping, plan_of, run, step_file
from fastcka.capture import (
    CheckpointPlan,
    CheckpointRecorder,
    read_checkpoint,
    restore_rng_state,
)
from fastcka.errors import CheckpointWarning, InputError


def test_a_plain_training_loop_saves_all_planned_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint_plan_file = Path("experiments/mechanistic_interpretability/checkpoint_plan.json")
    checkpoint_plan_file.parent.mkdir(parents=True)
    phases = {"early": 100, "mid": 1000, "late": 2000}
    planned = {
        "training_steps": 2000,
        "checkpoints": {
            name: {"step": step, "phase": step / 2000, "rationale": "why"}
            for name, step in phases.items()
        },
        "checkpoint_steps": [100, 1000, 2000],
    }
    names = ("transformer_deep_mnist", "cnn_deep_mnist", "mlp_narrow_mnist")
    checkpoint_plan_file.write_text(json.dumps({"experiments": dict.fromkeys(names, planned)}))

    torch.manual_seed(3)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.MSELoss()
    inputs, targets = torch.ones(4, 2), torch.zeros(4, 1)
    epoch = 0
    num_training_steps = 2000
    seen = {}

    with open(checkpoint_plan_file) as f:
        checkpoint_plan = json.load(f)
    experiment_name = "transformer_deep_mnist"
    checkpoint_dir = Path(f"experiments/checkpoints/{experiment_name}")
    checkpoint_dir.mkdir(parents=True, exist_ok=True)
    recorder = CheckpointRecorder(
        checkpoint_plan, experiment_name, checkpoint_dir, model_config={"num_layers": None}
    )
    for step in range(num_training_steps):
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()

        recorder.after_update(model, optimizer=optimizer, loss=loss, epoch=epoch)
        if step + 1 in {100, 1000, 2000}:
            seen[step + 1] = (model.weight.detach().clone(), loss.item())
    recorder.finish()

    assert sorted(path.name for path in checkpoint_dir.iterdir()) == [
        "checkpoint_step_00100.pt",
        "checkpoint_step_01000.pt",
        "checkpoint_step_02000.pt",
    ]
    for step, (weight, loss_then) in seen.items():
        content = torch.load(checkpoint_dir / f"checkpoint_step_{step:05d}.pt", weights_only=True)
        assert torch.equal(content["model_state_dict"]["weight"], weight)
        assert content["step"] == step
        assert content["loss"] == loss_then
        assert content["epoch"] == 0
        assert content["model_config"] == {"num_layers": None}
        assert content["optimizer_state_dict"]["state"][0]["step"].item() == step
        assert content["experiment_name"] == experiment_name
        assert content["run_id"] == recorder.run_id
        assert content["seeds"] == {"torch": 3}
    # The last file is enough to resume.
    optimizer.load_state_dict(content["optimizer_state_dict"])
    model.load_state_dict(content["model_state_dict"])


@pytest.mark.parametrize("given", ["plan", "path", "text", "mapping"])
def test_a_plan_in_any_form_and_a_folder_of_all_experiments(tmp_path: Path, given: str) -> None:
    plan = CheckpointPlan.parse(plan_of(1))
    path = tmp_path / "plan.json"
    plan.save(path)
    form = {"plan": plan, "path": path, "text": str(path), "mapping": plan_of(1)}[given]
    with CheckpointRecorder(form, "run", tmp_path / "checkpoints") as recorder:
        assert recorder.after_update(Counter()) == step_file(tmp_path / "checkpoints", 1)


def test_step_0_is_the_network_before_training(tmp_path: Path) -> None:
    model = Counter()
    with CheckpointRecorder(plan_of(0, 1, training_steps=5), "run", tmp_path, seed=7) as recorder:
        assert recorder.before_training(model) == step_file(tmp_path, 0)
        assert recorder.missing == (1,)
        model.update()
        loss = (3 * model.weight).sum()  # still needs its gradient
        assert recorder.after_update(model, loss=loss) == step_file(tmp_path, 1)
        assert recorder.after_update(model) is None
    first, second = (read_checkpoint(step_file(tmp_path, step)) for step in (0, 1))
    assert (first.model_state_dict["weight"].item(), first.loss) == (0, None)
    assert (second.model_state_dict["weight"].item(), second.loss) == (1, 3.0)
    assert first.run_id == second.run_id
    assert second.seeds["run"] == 7
    assert second.model_config == {"class_name": "Counter"}


def test_the_last_step_is_saved_although_the_plan_does_not_name_it(tmp_path: Path) -> None:
    with CheckpointRecorder(plan_of(1, training_steps=3), "run", tmp_path) as recorder:
        for _ in range(4):
            recorder.after_update(Counter())
    assert sorted(path.name for path in recorder.folder.iterdir()) == [
        "checkpoint_step_00001.pt",
        "checkpoint_step_00003.pt",
    ]


def test_missing_steps_are_named_at_the_end_once(tmp_path: Path) -> None:
    def train(directory: Path) -> CheckpointRecorder:
        with CheckpointRecorder(plan_of(3, 5, 7), "run", directory) as recorder:
            for _ in range(3):
                recorder.after_update(Counter())
        return recorder

    with pytest.warns(CheckpointWarning, match=r"of run .*: 5, 7; 3 updates") as caught:
        recorder = train(tmp_path)
    assert recorder.missing == (5, 7)
    recorder.finish()
    with pytest.warns(CheckpointWarning, match=": 1; 0 updates") as direct:
        CheckpointRecorder(plan_of(1), "run", tmp_path).finish()
    for warned in (caught, direct):
        assert [warning.filename for warning in warned] == [__file__]


def test_missing_steps_end_the_process_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(SystemExit) as caught,
        CheckpointRecorder(plan_of(2), "run", tmp_path, exit_if_missing=True),
    ):
        pass
    assert str(caught.value).startswith("error: planned steps of run")  # Python exits with status 1
    with CheckpointRecorder(plan_of(1), "run", tmp_path, exit_if_missing=True) as recorder:
        recorder.after_update(Counter())


def test_a_forgotten_step_0_is_reported_at_the_first_update(tmp_path: Path) -> None:
    recorder = CheckpointRecorder(plan_of(0, 2), "run", tmp_path)
    with pytest.warns(CheckpointWarning, match=r"step 0 of run .*before_training"):
        recorder.after_update(Counter())
    recorder.after_update(Counter())
    with pytest.warns(CheckpointWarning, match=r": 0; 2 updates .*before_training"):
        recorder.finish()
    with pytest.raises(InputError, match="after 2 updates"):
        recorder.before_training(Counter())


def test_an_exception_in_training_keeps_its_type_and_notes_what_is_missing(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError) as caught,
        CheckpointRecorder(plan_of(4), "run", tmp_path, exit_if_missing=True),
    ):
        _ = 1 / 0
    assert "without a checkpoint" in caught.value.__notes__[0]
    assert ": 4; 0 updates" in caught.value.__notes__[0]


def test_the_step_may_be_given(tmp_path: Path) -> None:
    recorder = CheckpointRecorder(plan_of(10, 20), "run", tmp_path)
    assert recorder.after_update(Counter(), step=9) is None
    assert recorder.after_update(Counter()) == step_file(tmp_path, 10)
    assert recorder.after_update(Counter(), step=20) == step_file(tmp_path, 20)
    for step in (20, 19, 0, -1, 21.0, True):
        with pytest.raises(InputError, match="number of completed updates"):
            recorder.after_update(Counter(), step=step)  # type: ignore[arg-type]
    # The counter of a loop over range(n) begins at 0, which is refused at once.
    with pytest.raises(InputError, match=r"more than 0, got 0.*step \+ 1"):
        CheckpointRecorder(plan_of(1), "run", tmp_path / "b").after_update(Counter(), step=0)


@pytest.mark.parametrize("contents", ["full", "weights", "safetensors"])
def test_contents(tmp_path: Path, contents: Any) -> None:
    model = nn.BatchNorm1d(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    config = {"hidden_dim": 3, "shape": (1, 2)}
    with CheckpointRecorder(
        plan_of(1), "run", tmp_path, contents=contents, model_config=config
    ) as recorder:
        path = recorder.after_update(model, optimizer=optimizer, loss=float("nan"), epoch=2)
    assert path is not None
    assert path.suffix == (".safetensors" if contents == "safetensors" else ".pt")
    saved = read_checkpoint(path)
    nn.BatchNorm1d(3).load_state_dict(saved.model_state_dict)
    assert saved.model_config == {"hidden_dim": 3, "shape": [1, 2]}
    assert (saved.step, saved.epoch, saved.run_id) == (1, 2, recorder.run_id)
    assert saved.loss is not None
    assert np.isnan(saved.loss)
    full = contents == "full"
    assert (saved.optimizer_state_dict is not None) == full
    assert (saved.rng_state is not None) == full
    with pytest.raises(InputError, match="contents: expected"):
        CheckpointRecorder(plan_of(1), "run", tmp_path, contents="all")  # type: ignore[arg-type]


def test_tied_weights_in_every_format(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    for contents in ("full", "safetensors"):
        recorder = CheckpointRecorder(plan_of(1), "run", tmp_path / contents, contents=contents)
        path = recorder.after_update(model)
        assert path is not None
        state = read_checkpoint(path).model_state_dict
        assert torch.equal(state["0.weight"], state["1.weight"])


def test_several_optimizers(tmp_path: Path) -> None:
    model = Counter()
    optimizers = [torch.optim.SGD(model.parameters(), lr=rate) for rate in (0.1, 0.2)]
    path = CheckpointRecorder(plan_of(1), "run", tmp_path).after_update(model, optimizer=optimizers)
    assert path is not None
    rates = [s["param_groups"][0]["lr"] for s in read_checkpoint(path).optimizer_state_dict]
    assert rates == [0.1, 0.2]


def test_the_random_number_generators_can_be_restored(tmp_path: Path) -> None:
    def draws() -> list[float]:
        return [random.random(), np.random.random(), torch.rand(1).item()]  # noqa: NPY002

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        random.gauss(0, 1)  # keeps a second value for the next call
        recorder = CheckpointRecorder(plan_of(1), "run", tmp_path)
        path = recorder.after_update(Counter())
        assert path is not None
        first = draws()
        assert draws() != first
        state = read_checkpoint(path).rng_state
        assert state is not None
        restore_rng_state(state)
        assert draws() == first
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile
def test_wrappers_leave_no_trace_in_the_names(tmp_path: Path) -> None:
    def saved_names(model: nn.Module, name: str) -> tuple[set[str], Any]:
        path = CheckpointRecorder(plan_of(1), "run", tmp_path / name).after_update(model)
        assert path is not None
        saved = read_checkpoint(path)
        return set(saved.model_state_dict), saved.model_config

    bare = nn.Linear(2, 2)
    names = {"weight", "bias"}
    assert saved_names(nn.DataParallel(bare), "a") == (names, {"class_name": "Linear"})
    compiled = torch.compile(bare, backend="eager")
    assert isinstance(compiled, nn.Module)
    assert saved_names(compiled, "b") == (names, {"class_name": "Linear"})
    both = nn.DataParallel(compiled)
    assert saved_names(both, "c") == (names, {"class_name": "Linear"})
    inside = nn.Sequential(compiled, nn.DataParallel(bare))
    assert saved_names(inside, "d")[0] == {"0.weight", "0.bias", "1.weight", "1.bias"}
    names = {"module.weight", "module.bias"}
    assert saved_names(Wrapping(bare), "e") == (names, {"class_name": "Wrapping"})
    assert saved_names(nn.DataParallel(Wrapping(bare)), "f")[0] == names


def test_only_rank_0_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    with CheckpointRecorder(plan_of(0, 1), "run", tmp_path, exit_if_missing=True) as recorder:
        assert recorder.before_training(Counter()) is None
        assert recorder.after_update(Counter()) is None
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    run(tmp_path, 0, 1, updates=1, exit_if_missing=True)
    assert len(list((tmp_path / "run").iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experiment": "rum"}, "no experiment 'rum'; did you mean run"),
        ({"plan": plan_of(1, 3, training_steps=2)}, "contains 3, but the training has 2 updates"),
        ({"plan": "no-such.json"}, r"no-such\.json: cannot be read"),
        ({"model_config": {"model": object()}}, "model_config: expected JSON types"),
    ],
)
def test_impossible_arguments(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    arguments = {"plan": plan_of(1), "experiment": "run", "directory": tmp_path / "d", **options}
    with pytest.raises(InputError, match=message):
        CheckpointRecorder(**arguments)
    assert not (tmp_path / "d").exists()
