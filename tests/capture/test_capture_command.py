"""`fastcka capture`: checkpoints of several kinds into a store, by a configuration."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from fastcka.capture.config import load_capture
from fastcka.cli.app import app
from fastcka.errors import InputError
from fastcka.store import Key, open_store

FACTORY = """
import torch
from torch import nn

def build(width=3):
    return nn.Sequential(nn.Linear(2, width), nn.ReLU())

def number(**options):
    return 7

def picky():
    class Picky(nn.Sequential):
        def forward(self, x):
            raise ArithmeticError("too hard")
    return Picky(nn.Linear(2, 3), nn.ReLU())
"""

CONFIG = """
model: {module}:build
probe: probe.npz
store: store
layers: ["**"]
batch_size: 4
runs:
  - {{name: small, checkpoints: runs/small, factors: {{seed: 0}}}}
  - {{name: wide, checkpoints: runs/wide, factors: {{seed: 1}}, options: {{width: 5}}}}
"""

X = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)


def weights(step: int, width: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 * width + step)
    return {
        "0.weight": torch.randn(width, 2, generator=generator),
        "0.bias": torch.randn(width, generator=generator),
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a factory, a probe set, two runs and a configuration; we are in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    module = f"networks_{abs(hash(tmp_path))}"  # imported once a process: a name a test
    (tmp_path / f"{module}.py").write_text(FACTORY)
    ids = [f"x{row}" for row in range(9)]
    np.savez(tmp_path / "probe.npz", inputs=X, ids=ids, column_label=np.arange(9))
    small, wide = tmp_path / "runs" / "small", tmp_path / "runs" / "wide"
    small.mkdir(parents=True)
    for step in (0, 10):
        content = {"step": step, "model_state_dict": weights(step)}
        torch.save(content, small / f"checkpoint_step_{step:05d}.pt")
    (wide / "checkpoint-4").mkdir(parents=True)
    save_file(weights(4, 5), wide / "checkpoint-4" / "model.safetensors")
    torch.save({"state_dict": weights(8, 5)}, wide / "epoch=1-step=8.ckpt")
    (tmp_path / "capture.yaml").write_text(CONFIG.format(module=module))
    return tmp_path


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["capture", *map(str, arguments)])


def test_checkpoints_of_three_kinds(project: Path) -> None:
    result = call("capture.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert [(own["model"], own["step"], own["outcome"]) for own in answer["checkpoints"]] == [
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


def test_one_bad_checkpoint_stops_no_other_and_the_status_is_1(project: Path) -> None:
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


def test_changed_weights_are_not_taken_for_the_old(project: Path) -> None:
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


def rewrite(project: Path, old: str, new: str) -> None:
    path = project / "capture.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


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
        ("batch_size: 4", "pool: mean", "pool: expected .*'mean_tokens'.*, got the text 'mean'"),
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
    assert not (project / "store").exists() or new == ":number"  # known when it has been called


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


def test_masks_axes_and_members_by_the_configuration(project: Path) -> None:
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
    by_hand = [own[mask].mean(axis=0) for own, mask in zip(rows, real, strict=True)]
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


def test_rows_that_depend_on_their_batch_by_the_configuration(project: Path) -> None:
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


def test_a_device_that_is_not_there(project: Path) -> None:
    rewrite(project, "batch_size: 4", "device: cuda:77")
    result = call("capture.yaml")
    assert result.exit_code == 1
    assert "device: 'cuda:77' cannot be used" in result.stderr


def test_what_a_network_raises_is_told_for_each_checkpoint(project: Path) -> None:
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


def add_run(project: Path, text: str) -> None:
    path = project / "capture.yaml"
    path.write_text(f"{path.read_text()}  - {{{text}}}\n")


def first_layer(project: Path, model: str, step: int) -> Any:
    with open_store(project / "store") as store:
        return store.read(Key(model, step, "0"))


def by_hand(state: dict[str, torch.Tensor]) -> Any:
    return X @ state["0.weight"].numpy().T + state["0.bias"].numpy()


def test_a_step_that_contradicts_the_name_is_refused(project: Path) -> None:
    small = project / "runs" / "small" / "checkpoint_step_00010.pt"
    torch.save({"step": 9, "model_state_dict": weights(10)}, small)
    folder = project / "runs" / "wide" / "checkpoint-4"
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 3}))
    lightning = project / "runs" / "wide" / "epoch=1-step=8.ckpt"
    torch.save({"state_dict": weights(8, 5), "global_step": torch.tensor(7)}, lightning)
    result = call("capture.yaml")
    assert result.exit_code == 1
    text = " ".join(result.stderr.split())
    for file, inside, named in (
        (small, "step 9", 10),
        (folder, "step 3", 4),
        (lightning, "global_step 7", 8),
    ):
        assert f"{file.name}: expected step {named} by its name, got {inside}; " in text
    with open_store(project / "store") as store:
        assert {(key.model, key.step) for key in store.keys()} == {("small", 0)}
    rewrite(project, "batch_size: 4", "check_step: false")
    assert call("capture.yaml").exit_code == 0
    np.testing.assert_allclose(first_layer(project, "wide", 8), by_hand(weights(8, 5)), atol=1e-6)


def test_the_note_of_another_library_hides_no_step(project: Path) -> None:
    """In a .safetensors file, where notes are text that need not be JSON."""
    path = project / "runs" / "small" / "checkpoint_step_00020.safetensors"
    save_file(weights(20), path, metadata={"step": "19", "author": "Ada Lovelace"})
    result = call("capture.yaml")
    assert "expected step 20 by its name, got step 19" in " ".join(result.stderr.split())


def test_the_keys_of_checkpoints(project: Path) -> None:
    folder = project / "runs" / "ours"
    folder.mkdir()
    for epoch in (1, 2):
        teacher = {f"net.{name}": own for name, own in weights(epoch).items()}
        content = {
            "student": weights(99),
            "teacher": {**teacher, "net.loss.weight": torch.ones(2)},
            "epoch": epoch,
            "global_step": 100 * epoch,
        }
        torch.save(content, folder / f"ours_epoch={epoch}.pth")
    (folder / "log.txt").touch()
    keys = r'weights_key: teacher, strip: [net.], strict: false, step_pattern: "epoch=(\\d+)"'
    add_run(project, f"name: ours, checkpoints: runs/ours, {keys}")
    result = call("capture.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    ours = [own for own in json.loads(result.stdout)["checkpoints"] if own["model"] == "ours"]
    assert [(own["step"], own["ignored"]) for own in ours] == [
        (1, ["loss.weight"]),
        (2, ["loss.weight"]),
    ]
    line = "warning: ours, 2 checkpoints from step 1: loss.weight: not in the network, ignored"
    assert line in " ".join(result.stderr.split())
    np.testing.assert_allclose(first_layer(project, "ours", 2), by_hand(weights(2)), atol=1e-6)

    teacher = {f"net.{name}": own for name, own in weights(3).items()}
    torch.save({"teacher": teacher, "epoch": 4}, folder / "ours_epoch=3.pth")
    result = call("capture.yaml")
    assert "expected step 3 by its name, got epoch 4" in " ".join(result.stderr.split())


def test_keys_of_all_runs_and_of_one(project: Path) -> None:
    rewrite(project, "batch_size: 4", "strip: [a]\nweights_key: x")
    rewrite(project, "checkpoints: runs/small,", "checkpoints: runs/small, strip: [],")
    config = load_capture(project / "capture.yaml")
    assert [(run.strip, run.weights_key) for run in config.runs] == [([], "x"), (["a"], "x")]


def test_a_weight_that_one_checkpoint_lacks_is_not_that_of_the_one_before(project: Path) -> None:
    path = project / "runs" / "small" / "checkpoint_step_00010.pt"
    torch.save({"step": 10, "model_state_dict": {"0.weight": weights(10)["0.weight"]}}, path)
    assert "lacks 0.bias" in call("capture.yaml").stderr
    rewrite(
        project, "checkpoints: runs/small,", 'checkpoints: runs/small, allow_missing: ["*bi*"],'
    )
    result = call("capture.yaml")
    assert result.exit_code == 0, result.stderr
    assert "0.bias: not in the checkpoint" in " ".join(result.stderr.split())
    bias = first_layer(project, "small", 10) - X @ weights(10)["0.weight"].numpy().T
    assert np.abs(bias - weights(0)["0.bias"].numpy()).max() > 1e-3


def test_a_network_without_checkpoints(project: Path) -> None:
    (module,) = project.glob("networks_*.py")
    torch.save(weights(5), project / "hub.pt")
    module.write_text(
        FACTORY + "\ndef build_pretrained(width=3, offline=False):\n"
        "    if offline:\n        raise ConnectionError('no route to the hub')\n"
        "    net = build(width)\n    net.load_state_dict(torch.load('hub.pt'))\n    return net\n"
    )
    sys.modules.pop(module.stem, None)
    path = project / "capture.yaml"
    text = path.read_text()
    path.write_text(
        text.replace(":build", ":build_pretrained").partition("runs:")[0]
        + "runs:\n  - {name: hub, step: 0}\n"
    )
    result = call("capture.yaml", "--json")
    assert result.exit_code == 0, result.stderr
    (own,) = json.loads(result.stdout)["checkpoints"]
    assert (own["model"], own["step"], own["path"], own["outcome"]) == ("hub", 0, None, "captured")
    np.testing.assert_allclose(first_layer(project, "hub", 0), by_hand(weights(5)), atol=1e-6)
    assert "reused" in call("capture.yaml").stdout
    rewrite(project, "step: 0", "step: 0, options: {offline: true}")
    result = call("capture.yaml")
    assert result.exit_code == 2
    assert "build_pretrained raised ConnectionError: no route to the hub" in result.stderr


def test_a_single_checkpoint(project: Path) -> None:
    torch.save(weights(5), project / "final.pth")
    add_run(project, "name: final, checkpoints: final.pth")
    result = call("capture.yaml")
    assert result.exit_code == 2
    assert "final.pth: the name contains no step; give it, as in step: 0" in result.stderr
    rewrite(project, "final.pth", "final.pth, step: 300")
    assert call("capture.yaml").exit_code == 0
    np.testing.assert_allclose(first_layer(project, "final", 300), by_hand(weights(5)), atol=1e-6)
    folder = project / "runs" / "wide" / "checkpoint-4"
    add_run(project, f"name: folder, checkpoints: {folder}, step: 4, options: {{width: 5}}")
    assert call("capture.yaml").exit_code == 0
    torch.save({"model": weights(6), "global_step": 200}, project / "final.pth")
    result = call("capture.yaml", "--overwrite")
    assert "expected step 300 by the key step, got global_step 200" in " ".join(
        result.stderr.split()
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (r'step_pattern: "epoch=\\d+"', r"expected one group.*\(\?P<step>.*got 0 groups"),
        (r'step_pattern: "(epoch)=(\\d+)"', "got 2 groups"),
        ('step_pattern: "epoch=("', "not a regular expression"),
        ('step_pattern: "((a{900}){900})"', "repeats within repeats come to"),
        (
            'step_pattern: "(.*)"',
            r"a group that matches only digits.*got '\w+.*'",
        ),
        (
            r'step_pattern: "nothing(\\d+)"',
            "step_pattern .* matches, got checkpoint_step_00000",
        ),
        ("strip: net", r"strip: .*list"),
        ("weights_key: ''", "weights_key: "),
        ("step: 3", "step is for a single checkpoint; .*steps: .3."),
        ("step: -1", "step: .*greater than or equal to 0"),
        ("steps: [0], step: 0", "give only step"),
        ("step_patern: x", r"unknown key; did you mean step_pattern\?"),
    ],
)
def test_wrong_keys_of_checkpoints(project: Path, keys: str, message: str) -> None:
    add_run(project, f"name: own, checkpoints: runs/small, {keys}")
    result = call("capture.yaml")
    assert result.exit_code == 2, result.stderr
    assert re.search(message, " ".join(result.stderr.split())), result.stderr
    assert not (project / "store").exists()


def test_a_pattern_is_suggested_for_other_names(project: Path) -> None:
    folder = project / "runs" / "own"
    folder.mkdir()
    for step in (0, 10):
        torch.save(weights(step), folder / f"net.step-{step}.pt")
    add_run(project, "name: own, checkpoints: runs/own")
    result = call("capture.yaml")
    assert result.exit_code == 2
    suggested = r"step_pattern: 'net\.step-(\d+)'"
    assert suggested in " ".join(result.stderr.split())
    rewrite(project, "checkpoints: runs/own", f"checkpoints: runs/own, {suggested}")
    assert call("capture.yaml").exit_code == 0
    np.testing.assert_allclose(first_layer(project, "own", 10), by_hand(weights(10)), atol=1e-6)


def test_a_pattern_cannot_stall(project: Path) -> None:
    (project / "runs" / "small" / ("a" * 60 + "!")).touch()
    add_run(project, r'name: own, checkpoints: runs/small, step_pattern: "^(a|a|aa)+$"')
    result = call("capture.yaml")
    assert result.exit_code == 2
    assert "takes longer than 1.0 s for the name" in " ".join(result.stderr.split())


def test_the_same_weights_at_two_steps_are_reported(project: Path) -> None:
    small = project / "runs" / "small"
    for step in (20, 30):
        content = {"step": step, "model_state_dict": weights(0)}
        torch.save(content, small / f"checkpoint_step_{step:05d}.pt")
    result = call("capture.yaml", "--json")
    assert result.exit_code == 0
    line = "small: steps 0, 20 and 30 have the same weights"
    assert json.loads(result.stdout)["doubtful"] == [line]
    assert f"warning: {line}" in " ".join(result.stderr.split())
    # Also where the other step was captured before.
    rewrite(project, "checkpoints: runs/small,", "checkpoints: runs/small, steps: [10, 20],")
    assert json.loads(call("capture.yaml", "--json").stdout)["doubtful"] == [line]
