"""``fastcka pair``: its output as text and as JSON, and the exit status."""

from __future__ import annotations

import json

import pytest
import yaml

from checkpoint_trees import checkpoint_folder, write_model


@pytest.fixture
def config(tmp_path):
    for model in ("[pt2]-1", "pt2-2_seed1"):  # rich would parse the first as markup
        write_model(tmp_path / "tree", model, layers=(5,))

    def write(**keys):
        sides = {
            f"exp{number}": {
                "name": model,
                "repr_dir": str(checkpoint_folder(tmp_path / "tree", model, 5, 0).parent),
                "task": "distance",
            }
            for number, model in ((1, "[pt2]-1"), (2, "pt2-2_seed1"))
        }
        document = {**sides, "layer": 5, "use_final_only": True, "output_dir": "out/layer5"}
        path = tmp_path / "pair.yaml"
        path.write_text(yaml.safe_dump(document | keys))
        return path

    return write


def test_text_json_and_overwrite(call, strict_json, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # relative paths are relative to the working directory
    path = config(city_filter="region:^(?!Atlantis).*")
    done = call("pair", path)
    assert done.exit_code == 0
    for text in ("[pt2]-1 and pt2-2_seed1, layer 5", "20 outside the filter", "CKA at step 100"):
        assert text in done.stdout
    assert done.stderr == ""
    again = call("pair", path)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    answer = strict_json(call("pair", path, "--overwrite", "--json").stdout)
    summary = strict_json((tmp_path / "out" / "layer5" / "summary.json").read_text())
    assert answer.pop("output") == str(tmp_path / "out" / "layer5")
    assert answer.pop("seconds") > 0
    assert answer == summary


def test_warnings_and_undefined(call, strict_json, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch = pytest.importorskip("torch")
    folder = checkpoint_folder(tmp_path / "tree", "[pt2]-1", 5, 100)
    saved = torch.load(folder / "representations.pt")
    saved = {name: torch.zeros_like(x) if "rep" in name else x for name, x in saved.items()}
    torch.save(saved, folder / "representations.pt")
    done = call("pair", config(use_gpu=True))
    assert done.exit_code == 0
    assert "warning: use_gpu: true, but" in done.stderr
    assert "undefined at step 100" in done.stdout
    assert "exp1: zero variance" in done.stdout
    assert json.loads((tmp_path / "out/layer5/summary.json").read_text())["final_cka"] is None


def test_wrong_calls(call, config, tmp_path):
    done = call("pair", config(kernel_type="poly"))
    assert done.exit_code == 2
    assert "kernel_type: expected 'linear' or 'rbf'" in done.stderr
    done = call("pair", tmp_path / "none.yaml")
    assert done.exit_code == 2
    assert "none.yaml: cannot be read" in done.stderr


def test_the_keys_are_in_the_help(shell):
    text = " ".join(shell("pair", "--help", COLUMNS="120").stdout.split())
    for key in ("exp1", "checkpoint_steps", "use_final_only", "city_filter", "kernel_type"):
        assert key in text
