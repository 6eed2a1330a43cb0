"""The recorder in the Trainers of Hugging Face and Lightning, real ones where installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from capture.fake_libraries import install_fake
from fastcka.capture import (
    CheckpointRecorder,
    huggingface_callback,
    lightning_callback,
    read_checkpoint,
)
from fastcka.errors import MissingExtraError

PLAN = {"experiments": {"run": {"training_steps": 6, "checkpoint_steps": [0, 1, 4, 6]}}}


class Net(nn.Module):
    """Its weight grows by 1 in each update: the gradient is -1 and the learning rate is 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": -self.weight * x.mean()}


def assert_recorded(recorder: CheckpointRecorder, name: str = "weight") -> None:
    assert recorder.missing == ()
    for step in (0, 1, 4, 6):
        path = recorder.folder / f"checkpoint_step_{step:05d}.pt"
        saved = read_checkpoint(path)
        assert saved.model_state_dict[name].item() == pytest.approx(step)
        assert saved.optimizer_state_dict is not None or step == 0
        assert saved.run_id == recorder.run_id
    assert len(list(recorder.folder.iterdir())) == 4


@pytest.mark.filterwarnings("default")  # the warnings of the library
def test_hugging_faces_trainer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "out"),
        max_steps=6,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1.0,
        lr_scheduler_type="constant",
        max_grad_norm=0,
        optim="sgd",
        report_to=[],
        save_strategy="no",
        use_cpu=True,
    )
    recorder = CheckpointRecorder(PLAN, "run", tmp_path, exit_if_missing=True)
    trainer = transformers.Trainer(
        model=Net(),
        args=arguments,
        train_dataset=[{"x": torch.ones(1)} for _ in range(64)],
        callbacks=[huggingface_callback(recorder)],
    )
    trainer.train()
    assert_recorded(recorder)


@pytest.mark.filterwarnings("default")  # the warnings of the library
@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
def test_lightnings_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    lightning = pytest.importorskip(name)
    if name == "pytorch_lightning":
        monkeypatch.delitem(sys.modules, "lightning.pytorch", raising=False)

    class Module(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
            return self.net(batch)["loss"]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1.0)

    recorder = CheckpointRecorder(PLAN, "run", tmp_path, exit_if_missing=True)
    callback = lightning_callback(recorder)
    assert isinstance(callback, lightning.Callback)
    trainer = lightning.Trainer(
        max_steps=6,
        accumulate_grad_batches=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
        default_root_dir=tmp_path / "out",
    )
    batches = torch.utils.data.DataLoader(torch.ones(64, 1), batch_size=2)
    trainer.fit(Module(), batches)
    assert_recorded(recorder, "net.weight")
    assert read_checkpoint(recorder.folder / "checkpoint_step_00006.pt").loss is not None


def updates(recorder: CheckpointRecorder) -> Any:
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(7):
        yield model, optimizer, step
        with torch.no_grad():
            model.weight += 1
    assert recorder.missing == ()


def test_the_calls_of_hugging_faces_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(monkeypatch, "transformers", "TrainerCallback")
    recorder = CheckpointRecorder(PLAN, "run", tmp_path, exit_if_missing=True)
    callback = huggingface_callback(recorder)
    for model, optimizer, step in updates(recorder):
        state = SimpleNamespace(global_step=step, epoch=step / 3)
        event = callback.on_step_end if step else callback.on_train_begin
        event(None, state, None, model=model, optimizer=optimizer, train_dataloader=None)
    callback.on_train_end(None, state, None, model=model)
    assert_recorded(recorder)
    assert read_checkpoint(recorder.folder / "checkpoint_step_00004.pt").epoch == 4 / 3


def test_the_calls_of_lightnings_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake(monkeypatch, "lightning.pytorch", "Callback")
    recorder = CheckpointRecorder(PLAN, "run", tmp_path, exit_if_missing=True)
    callback = lightning_callback(recorder)
    for model, optimizer, step in updates(recorder):
        trainer = SimpleNamespace(global_step=step, current_epoch=step // 2, optimizers=[optimizer])
        if step == 0:
            callback.on_train_start(trainer, model)
        for batch in range(2 * step, 2 * step + 2 * (step > 0)):  # two batches, one update
            callback.on_train_batch_end(trainer, model, {"loss": torch.tensor(2.0)}, None, batch)
    callback.on_train_end(trainer, model)
    assert_recorded(recorder)
    saved = read_checkpoint(recorder.folder / "checkpoint_step_00004.pt")
    assert (saved.loss, saved.epoch) == (2.0, 2)


def test_a_training_that_ended_early_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(monkeypatch, "transformers", "TrainerCallback")
    recorder = CheckpointRecorder(PLAN, "run", tmp_path, exit_if_missing=True)
    with pytest.raises(SystemExit, match="0, 1, 4, 6"):
        huggingface_callback(recorder).on_train_end(None, None, None)


@pytest.mark.parametrize(
    ("make", "library"),
    [(huggingface_callback, "transformers"), (lightning_callback, "lightning")],
)
def test_without_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "lightning.pytorch", raising=False)
    monkeypatch.delitem(sys.modules, "pytorch_lightning", raising=False)
    recorder = CheckpointRecorder(PLAN, "run", tmp_path)
    with pytest.raises(MissingExtraError, match=rf"needs {library}.*pip install {library}"):
        make(recorder)


def test_the_import_of_capture_imports_no_library() -> None:
    code = """
import sys
import fastcka.capture
print([name for name in ("torch", "transformers", "lightning") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "[]\n"
