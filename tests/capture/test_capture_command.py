"""`fastcka capture`: a configuration captures checkpoints of several kinds into a store."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from capture.capture_project import X, call, rewrite, weights
from fastcka.capture.config import load_capture
from fastcka.errors import InputError
from fastcka.store import Key, open_store


def test_checkpoints_of_three_kinds(project: Path) -> None:
    result = call("capture.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert [(row["model"], row["step"], row["outcome"]) for row in answer["checkpoints"]] == [
        ("small", 0, "captured"),
        ("small", 10, "captured"),
        ("wide", 4, "captured"),
        ("wide", 8, "captured"),
    ]
    with open_store(project / "store") as store:
        assert len(store.keys()) == 8
        assert store.factors("wide") == {"seed": 1}
        for model, step, width in (("small", 10, 3), ("wide", 4, 5), ("wide", 8, 5)):
            state = weights(step, width)
            by_hand = X @ state["0.weight"].numpy().T + state["0.bias"].numpy()
            np.testing.assert_allclose(store.read(Key(model, step, "0")), by_hand, atol=1e-6)
    again = call("capture.yaml")
    assert again.exit_code == 0
    assert "4 checkpoints" in again.stdout
    assert "reused" in again.stdout
    assert "captured" not in again.stdout


def test_the_others_are_captured_after_a_bad_checkpoint_and_the_status_is_1(project: Path) -> None:
    bad = project / "runs" / "small" / "checkpoint_step_00000.pt"
    bad.write_bytes(bad.read_bytes()[:100])
    torch.save({"state_dict": weights(8, 4)}, project / "runs" / "wide" / "epoch=1-step=8.ckpt")
    result = call("capture.yaml")
    assert result.exit_code == 1
    assert "small, step 0" in result.stderr
    assert "checkpoint_step_00000.pt" in result.stderr
    assert "wide, step 8" in result.stderr
    assert "do not fit Sequential" in result.stderr
    assert "size mismatch for 0.weight" in result.stderr
    with open_store(project / "store") as store:
        assert (store.steps("small"), store.steps("wide")) == ([10], [4])


def test_rows_of_changed_weights_are_not_reused(project: Path) -> None:
    assert call("capture.yaml").exit_code == 0
    path = project / "runs" / "small" / "checkpoint_step_00010.pt"
    torch.save({"step": 10, "model_state_dict": weights(11)}, path)
    result = call("capture.yaml")
    assert result.exit_code == 1
    assert "small, step 10" in result.stderr
    assert "with other weights" in result.stderr
    assert call("capture.yaml", "--overwrite").exit_code == 0
    state = weights(11)
    with open_store(project / "store") as store:
        by_hand = X @ state["0.weight"].numpy().T + state["0.bias"].numpy()
        np.testing.assert_allclose(store.read(Key("small", 10, "0")), by_hand, atol=1e-6)


def test_pickled_code_needs_trust(project: Path) -> None:
    path = project / "runs" / "small" / "checkpoint_step_00010.pt"
    torch.save({"step": 10, "model_state_dict": weights(10), "where": Path("x")}, path)
    result = call("capture.yaml")
    assert result.exit_code == 1
    assert "--trust-pickle" in result.stderr
    assert call("capture.yaml", "--trust-pickle").exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":build", ":biuld", r"no function 'biuld'; did you mean build\?"),
        (":build", "", "expected package.module:function"),
        ("model: ", "model: no_such_package.", "'no_such_package"),
        (":build", ":number", "expected a torch.nn.Module from .*, got int"),
        ("width: 5", "with: 5", r"build cannot be called with \['with'\]"),
        ("probe.npz", "prob.npz", r"prob\.npz: cannot be read"),
        ("runs/wide", "runs/wild", r"runs/wild: no such folder"),
        ("runs/wide,", "runs/wide, steps: [4, 5],", "no checkpoint for 5; expected some of 4, 8"),
        ("batch_size: 4", "batch_size: 0", "batch_size: .*greater than 0; got the number 0"),
        ("batch_size: 4", "bath_size: 4", r"bath_size: unknown key; did you mean batch_size\b"),
        (
            "factors: {seed: 1}",
            "factor: {seed: 1}",
            r"runs\[1\]\.factor: unknown key; did you mean",
        ),
        ("batch_size: 4", "pool: mean", "pool: expected .*'mean_tokens'.*; got the text 'mean'"),
        ("batch_size: 4", "pool: {'*': mean}", r"pool\.\*: expected .*got the text 'mean'"),
        ("batch_size: 4", "masks: {'*': 1}", r"masks\.\*: .*string; got the number 1"),
        ("batch_size: 4", "batch_axis: -1", "batch_axis: .*greater than or equal to 0"),
        ("batch_size: 4", "check_rows: 0", "check_rows: .*boolean; got the number 0"),
        ("batch_size: 4", "input_batch_axis: 2", "probe.npz: batch_axis: expected an axis of inp"),
        ("batch_size: 4", "side: in", "side: expected 'input' or 'output'"),
        ("name: wide", "name: small", "distinct names, got small more than once"),
        ("checkpoints: runs/wide, ", "", r"runs\[1\]: checkpoints is missing: .*step: 0"),
        ("runs/wide,", "runs/wide, steps: [4, 4],", "distinct steps"),
    ],
)
def test_wrong_configurations(project: Path, old: str, new: str, message: str) -> None:
    rewrite(project, old, new)
    result = call("capture.yaml")
    assert result.exit_code == 2, result.stderr
    text = " ".join(result.stderr.split())
    assert re.search(message, text), text
    assert not (project / "store").exists() or new == ":number"  # known only after the call


SEQUENCES = """
import torch
from torch import nn

class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.both = nn.Identity()
        self.pair = Pair()

    def forward(self, tokens, padding, other_mask):
        return self.pair(self.both(self.first(tokens)))[1]

class Pair(nn.Module):
    def forward(self, x):
        return x, 2 * x

class Centers(nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y - y.mean(dim=0)

def sequences():
    return Sequences()

def centers():
    return nn.Sequential(Centers(2, 3), nn.ReLU())
"""


def test_masks_axes_and_members_in_the_configuration(project: Path) -> None:
    module = next(project.glob("networks_*.py"))
    module.write_text(SEQUENCES)
    x = np.random.default_rng(1).normal(size=(9, 5, 2)).astype(np.float32)
    real = np.arange(5) < np.array([1, 2, 3, 4, 5, 1, 2, 3, 4])[:, None]
    np.savez(project / "probe.npz", tokens=x, padding_mask=~real, other_mask=np.ones((9, 4), bool))
    text = module.read_text().replace("tokens, padding,", "tokens, padding_mask,")
    module.write_text(text)
    state = {f"first.{name[2:]}": value for name, value in weights(10).items()}
    for path in (project / "runs" / "small").iterdir():
        path.unlink()
    torch.save(state, project / "runs" / "small" / "checkpoint_step_00010.pt")
    (project / "capture.yaml").write_text(f"""
model: {module.stem}:sequences
probe: probe.npz
store: store
layers: [both, "pair.output[1]"]
pool: mean_tokens
input_batch_axis: {{tokens: 1}}
batch_axis: {{"both": 1, "pair*": 1}}
masks: {{both: "!padding_mask", "pair**": null}}
runs:
  - {{name: small, checkpoints: runs/small}}
""")
    result = call("capture.yaml")
    assert result.exit_code == 0, result.stderr
    rows = x @ state["first.weight"].numpy().T + state["first.bias"].numpy()
    by_hand = [row[mask].mean(axis=0) for row, mask in zip(rows, real, strict=True)]
    with open_store(project / "store") as store:
        both, pair = store.keys()
        np.testing.assert_allclose(store.read(both), by_hand, atol=1e-6)
        np.testing.assert_allclose(store.read(pair), 2 * rows.mean(axis=1), atol=1e-6)
        key = store.provenance("small", 10)["capture"]
    assert key["masks"] == [["both", "!padding_mask"], ["pair**", None]]
    assert key["check_rows"] is True
    rewrite(project, 'masks: {both: "!padding_mask", "pair**": null}', "masks: {pair: null}")
    result = call("capture.yaml", "--overwrite")
    assert result.exit_code == 1
    text = " ".join(result.stderr.split())
    assert "step 10: layer 'both': it is unclear which mask belongs to this layer" in text
    assert "padding_mask (5 tokens), other_mask (4 tokens)" in text


def test_rows_that_depend_on_their_batch_are_refused_unless_unchecked(project: Path) -> None:
    module = next(project.glob("networks_*.py"))
    module.write_text(SEQUENCES)
    rewrite(project, ":build", ":centers")
    rewrite(project, ", options: {width: 5}", "")
    rewrite(project, "  - {name: wide, checkpoints: runs/wide, factors: {seed: 1}}\n", "")
    result = call("capture.yaml")
    assert result.exit_code == 1
    text = " ".join(result.stderr.split())
    assert re.search(r"layer '0': the row of example 'x\d' depends on other examples", text)
    rewrite(project, "batch_size: 4", "batch_size: 4\ncheck_rows: false")
    assert call("capture.yaml").exit_code == 0
    with open_store(project / "store") as store:
        assert store.provenance("small", 0)["capture"]["check_rows"] is False


def test_a_device_that_does_not_exist(project: Path) -> None:
    rewrite(project, "batch_size: 4", "device: cuda:77")
    result = call("capture.yaml")
    assert result.exit_code == 1
    assert "device: 'cuda:77' cannot be used" in result.stderr


def test_an_error_of_the_network_is_reported_for_each_checkpoint(project: Path) -> None:
    rewrite(project, ":build", ":picky")
    rewrite(project, ", options: {width: 5}", "")
    result = call("capture.yaml")
    assert result.exit_code == 1
    assert "small, step 0: Picky raised ArithmeticError: too hard" in result.stderr
    assert "small, step 10: Picky raised ArithmeticError: too hard" in result.stderr


def test_paths_are_relative_to_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    config = load_capture(project / "capture.yaml")
    assert config.probe == project / "probe.npz"
    assert config.runs[1].checkpoints == project / "runs" / "wide"
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read"):
        load_capture(project / "absent.yaml")
