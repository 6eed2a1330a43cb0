"""`fastcka capture`: the keys that say how checkpoints are read."""

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

from capture.capture_project import FACTORY, X, by_hand, call, rewrite, weights
from fastcka.capture.config import load_capture
from fastcka.store import Key, open_store


def add_run(project: Path, text: str) -> None:
    path = project / "capture.yaml"
    path.write_text(f"{path.read_text()}  - {{{text}}}\n")


def first_layer(project: Path, model: str, step: int) -> Any:
    with open_store(project / "store") as store:
        return store.read(Key(model, step, "0"))


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


def test_metadata_of_another_library_hides_no_step(project: Path) -> None:
    """The metadata of a .safetensors file are text, not necessarily JSON."""
    path = project / "runs" / "small" / "checkpoint_step_00020.safetensors"
    save_file(weights(20), path, metadata={"step": "19", "author": "Ada Lovelace"})
    result = call("capture.yaml")
    assert "expected step 20 by its name, got step 19" in " ".join(result.stderr.split())


def test_the_keys_of_checkpoints(project: Path) -> None:
    folder = project / "runs" / "ours"
    folder.mkdir()
    for epoch in (1, 2):
        teacher = {f"net.{name}": value for name, value in weights(epoch).items()}
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
    rows = json.loads(result.stdout)["checkpoints"]
    ignored = {row["step"]: row["ignored"] for row in rows if row["model"] == "ours"}
    assert ignored == {1: ["loss.weight"], 2: ["loss.weight"]}
    line = "warning: ours, 2 checkpoints from step 1: loss.weight: not in the network, ignored"
    assert line in " ".join(result.stderr.split())
    np.testing.assert_allclose(first_layer(project, "ours", 2), by_hand(weights(2)), atol=1e-6)

    teacher = {f"net.{name}": value for name, value in weights(3).items()}
    torch.save({"teacher": teacher, "epoch": 4}, folder / "ours_epoch=3.pth")
    result = call("capture.yaml")
    assert "expected step 3 by its name, got epoch 4" in " ".join(result.stderr.split())


def test_keys_of_one_run_replace_keys_of_all_runs(project: Path) -> None:
    rewrite(project, "batch_size: 4", "strip: [a]\nweights_key: x")
    rewrite(project, "checkpoints: runs/small,", "checkpoints: runs/small, strip: [],")
    config = load_capture(project / "capture.yaml")
    assert [(run.strip, run.weights_key) for run in config.runs] == [([], "x"), (["a"], "x")]


def test_a_missing_weight_is_not_that_of_the_previous_checkpoint(project: Path) -> None:
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
    (row,) = json.loads(result.stdout)["checkpoints"]
    assert (row["model"], row["step"], row["path"], row["outcome"]) == ("hub", 0, None, "captured")
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
        ('step_pattern: "((a{900}){900})"', "once its repeats are expanded"),
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
    add_run(project, f"name: other, checkpoints: runs/small, {keys}")
    result = call("capture.yaml")
    assert result.exit_code == 2, result.stderr
    assert re.search(message, " ".join(result.stderr.split())), result.stderr
    assert not (project / "store").exists()


def test_a_pattern_is_suggested_for_other_names(project: Path) -> None:
    folder = project / "runs" / "other"
    folder.mkdir()
    for step in (0, 10):
        torch.save(weights(step), folder / f"net.step-{step}.pt")
    add_run(project, "name: other, checkpoints: runs/other")
    result = call("capture.yaml")
    assert result.exit_code == 2
    suggested = r"step_pattern: 'net\.step-(\d+)'"
    assert suggested in " ".join(result.stderr.split())
    rewrite(project, "checkpoints: runs/other", f"checkpoints: runs/other, {suggested}")
    assert call("capture.yaml").exit_code == 0
    np.testing.assert_allclose(first_layer(project, "other", 10), by_hand(weights(10)), atol=1e-6)


def test_a_pattern_cannot_stall(project: Path) -> None:
    (project / "runs" / "small" / ("a" * 60 + "!")).touch()
    add_run(project, r'name: other, checkpoints: runs/small, step_pattern: "^(a|a|aa)+$"')
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
    # Also if the other step was captured by an earlier call.
    rewrite(project, "checkpoints: runs/small,", "checkpoints: runs/small, steps: [10, 20],")
    assert json.loads(call("capture.yaml", "--json").stdout)["doubtful"] == [line]
