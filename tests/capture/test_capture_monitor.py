"""CKA during a training with earlier and with the final step, against the textbook formula."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fastcka
import oracle
from capture.fake_libraries import install_fake
from fastcka.capture import CKAMonitor, huggingface_callback, lightning_callback
from fastcka.errors import InputError, KeyExistsError

X = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
STEPS = (0, 2, 4, 5)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def set_weights(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))


def layer(name: str, step: int) -> Any:
    """The output of a layer at a step."""
    model = net()
    set_weights(model, step)
    first = model[0](X)
    return (first if name == "0" else model[1](first)).detach().numpy()


def training(model: nn.Module, last: int = 5) -> Iterator[int]:
    for step in range(last + 1):
        set_weights(model, step)
        yield step


def train(monitor: CKAMonitor) -> CKAMonitor:
    model = net()
    for step in training(model):
        if step == 0:
            monitor.before_training(model)
        else:
            monitor.after_update(model)
    monitor.finish(model)
    return monitor


def by_hand(estimator: str = "unbiased") -> dict[tuple[int, str, int, str], float]:
    pairs = [(b, "previous", a) for a, b in itertools.pairwise(STEPS)]
    pairs += [(step, "first", 0) for step in STEPS[1:]]
    pairs += [(step, "final", 5) for step in STEPS[:-1]]
    return {
        (step, reference, other, name): oracle.cka(layer(name, step), layer(name, other), estimator)
        for step, reference, other in pairs
        for name in ("0", "1")
    }


def assert_values(monitor: CKAMonitor, expected: dict[Any, float]) -> None:
    got = {tuple(record[:4]): record.cka for record in monitor.records}
    assert len(got) == len(monitor.records)
    assert got == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("stored", [False, True])
def test_values_are_those_of_the_formula(tmp_path: Path, estimator: Any, stored: bool) -> None:
    monitor = CKAMonitor(
        X,
        ["0", "1"],
        every=2,
        references=("previous", "first", "final"),
        estimator=estimator,
        store=tmp_path / "store" if stored else None,
    )
    assert_values(train(monitor), by_hand(estimator))
    floats = 0 if stored else len(STEPS) * 10 * (3 + 2)
    assert monitor.bytes_kept == 4 * floats
    if stored:
        with fastcka.open_store(tmp_path / "store") as store:
            assert store.steps("training") == list(STEPS)
            np.testing.assert_allclose(store.read(("training", 4, "1")), layer("1", 4), atol=1e-6)


@pytest.mark.parametrize(("reference", "kept"), [("previous", 1), ("first", 2), ("final", 4)])
def test_only_what_is_needed_is_kept(reference: Any, kept: int) -> None:
    monitor = train(CKAMonitor(X, ["0", "1"], every=2, references=[reference]))
    assert monitor.bytes_kept == 4 * kept * 10 * (3 + 2)
    assert_values(monitor, {key: v for key, v in by_hand().items() if key[1] == reference})


def test_another_run_in_the_store_is_kept(tmp_path: Path) -> None:
    train(CKAMonitor(X, ["0"], every=2, store=tmp_path))
    with pytest.raises(KeyExistsError, match="other layers"):
        train(CKAMonitor(X, ["1"], every=2, store=tmp_path))
    train(CKAMonitor(X, ["1"], every=2, store=tmp_path, overwrite=True))
    train(CKAMonitor(X, ["0"], every=2, store=tmp_path, model_name="second"))


def test_without_a_network_the_last_captured_step_is_the_final_one() -> None:
    monitor, model = CKAMonitor(X, ["0"], every=2, references=["final"]), net()
    for step in training(model):
        if step:
            monitor.after_update(model)
    set_weights(model, 3)  # the best weights
    monitor.finish()
    pairs = [(record.step, record.reference_step) for record in monitor.records]
    assert pairs == [(2, 4)]
    assert monitor.records[0].cka == pytest.approx(
        oracle.cka(layer("0", 2), layer("0", 4), "unbiased"), abs=1e-5
    )


def test_a_part_of_the_network() -> None:
    whole = nn.ModuleDict({"net": net()})  # has no forward method
    monitor = CKAMonitor(X, ["0"], every=1, references=["previous"], submodule="net")
    for step in training(whole["net"], 1):
        if step:
            monitor.after_update(whole)
        else:
            monitor.before_training(whole)
    assert_values(
        monitor,
        {(1, "previous", 0, "0"): oracle.cka(layer("0", 0), layer("0", 1), "unbiased")},
    )


def test_wrong_arguments() -> None:
    for every in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="every: expected a number of updates"):
            CKAMonitor(X, ["0"], every=every)  # type: ignore[arg-type]
    for references in ("final", [], ["last"]):
        with pytest.raises(InputError, match="references: expected some of previous, first, final"):
            CKAMonitor(X, ["0"], every=1, references=references)  # type: ignore[arg-type]
    monitor = CKAMonitor(X, ["0"], every=1)
    monitor.after_update(net(), step=3)
    with pytest.raises(InputError, match="step: expected more than 3, got 3"):
        monitor.after_update(net(), step=3)
    with pytest.raises(InputError, match="submodule: Sequential has no module 'nte'"):
        CKAMonitor(X, ["0"], every=1, submodule="nte").before_training(net())


def named(values: dict[tuple[int, str, int, str], float], reference: str) -> dict[Any, float]:
    """(step, name in the log) -> value."""
    return {
        (step, f"cka/{kind}/{name}"): value
        for (step, kind, _, name), value in values.items()
        if kind == reference
    }


@pytest.mark.parametrize("best", [False, True])
def test_the_log_of_hugging_faces_trainer(monkeypatch: pytest.MonkeyPatch, best: bool) -> None:
    install_fake(monkeypatch, "transformers", "TrainerCallback")
    monitor = CKAMonitor(X, ["0", "1"], every=2)
    callback, model = huggingface_callback(monitor), net()
    state = SimpleNamespace(global_step=0, epoch=0.0, log_history=[])
    for step in training(model):
        state.global_step, state.epoch = step, step / 10
        event = callback.on_step_end if step else callback.on_train_begin
        event(None, state, None, model=model)
    callback.on_train_end(SimpleNamespace(load_best_model_at_end=best), state, None, model=model)
    expected = by_hand()
    if best:  # step 5 is not captured, because its weights are replaced
        expected = {key: value for key, value in expected.items() if 5 not in (key[0], key[2])}
        for name in ("0", "1"):
            for step in (0, 2):
                value = oracle.cka(layer(name, step), layer(name, 4), "unbiased")
                expected[step, "final", 4, name] = value
    got = {
        (entry["cka_step"], name): value
        for entry in state.log_history
        for name, value in entry.items()
        if name.startswith("cka/")
    }
    assert got == pytest.approx(named(expected, "previous") | named(expected, "final"), abs=1e-5)
    assert [entry["step"] for entry in state.log_history][:2] == [2, 4]


def test_the_log_of_lightnings_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake(monkeypatch, "lightning.pytorch", "Callback")
    monitor = CKAMonitor(X, ["0", "1"], every=2, references=["first", "final"])
    callback, model = lightning_callback(monitor), net()
    got: dict[Any, float] = {}

    def log(values: dict[str, float], step: int) -> None:
        got.update({(step, name): value for name, value in values.items()})

    trainer = SimpleNamespace(
        optimizers=[], current_epoch=0, loggers=[SimpleNamespace(log_metrics=log)]
    )
    for step in training(model):
        trainer.global_step = step
        if step:
            callback.on_train_batch_end(trainer, model, None, None, step)
        else:
            callback.on_train_start(trainer, model)
    callback.on_train_end(trainer, model)
    expected = by_hand()
    assert got == pytest.approx(named(expected, "first") | named(expected, "final"), abs=1e-5)


@pytest.mark.filterwarnings("default")  # the warnings of the library
def test_hugging_faces_trainer(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from capture.pretrained_samples import SENTENCES, WORDS, alone, bert, probe_of

    logs: list[Any] = []

    class Watcher(transformers.TrainerCallback):  # type: ignore[misc,name-defined]
        def on_log(self, _args: Any, _state: Any, _control: Any, **given: Any) -> None:
            logs.append(dict(given["logs"]))

    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(bert(0).config)
    initial = copy.deepcopy(model).eval()
    probe = probe_of(SENTENCES)
    monitor = CKAMonitor(probe, ["hidden_states"], every=2, pool="mean_tokens")
    ids = torch.tensor([[2, *range(4, 8), 3]]) % len(WORDS)
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"),
            max_steps=5,
            per_device_train_batch_size=2,
            learning_rate=0.05,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
        ),
        train_dataset=[{"input_ids": ids[0], "labels": ids[0]} for _ in range(16)],
        callbacks=[Watcher()],
    )
    trainer.add_callback(huggingface_callback(monitor, log=trainer.log))
    trainer.train()
    logged = {
        (entry["cka_step"], name): value
        for entry in logs
        for name, value in entry.items()
        if name.startswith("cka/")
    }
    expected = {
        (record.step, f"cka/{record.reference}/{record.layer}"): record.cka
        for record in monitor.records
    }
    assert logged == pytest.approx(expected)
    assert {step for step, name in logged if "previous" in name} == {2, 4, 5}
    assert {step for step, name in logged if "final" in name} == {0, 2, 4}
    assert {name.rpartition("/")[2] for _, name in logged} == {
        f"hidden_states.{i}" for i in (0, 1, 2)
    }
    # The weights at the end are those of step 5.
    states = [
        np.stack([state[i].mean(axis=0) for state in (alone(m.bert, s) for s in SENTENCES)])
        for m in (initial, model.eval())
        for i in (2,)
    ]
    value = logged[0, "cka/final/hidden_states.2"]
    assert value == pytest.approx(oracle.cka(*states, "unbiased"), abs=1e-4)
    assert value < 0.999


@pytest.mark.filterwarnings("default")  # the warnings of the library
def test_lightnings_trainer(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    loggers = pytest.importorskip("lightning.pytorch.loggers")

    class Module(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = net()

        def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
            return self.net(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.5)

    monitor = CKAMonitor(X, ["0", "1"], every=2, submodule="net")
    trainer = lightning.Trainer(
        max_steps=5,
        accelerator="cpu",
        logger=loggers.CSVLogger(tmp_path),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[lightning_callback(monitor)],
        default_root_dir=tmp_path / "out",
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(X, batch_size=2))
    (file,) = tmp_path.rglob("metrics.csv")
    header, *lines = file.read_text().splitlines()
    table = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    logged = {
        (int(row["step"]), name): float(value)
        for row in table
        for name, value in row.items()
        if name.startswith("cka/") and value
    }
    expected = {
        (record.step, f"cka/{record.reference}/{record.layer}"): record.cka
        for record in monitor.records
    }
    assert logged == pytest.approx(expected)
    assert {key[0] for key in logged if "final" in key[1]} == {0, 2, 4}
