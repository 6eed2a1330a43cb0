"""``fastcka store import``: its output as text and as JSON, and the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoint_trees import checkpoint_folder, write_model


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_model(tmp_path / "tree", "[pt2]-1")  # rich would parse this name as markup
    return tmp_path / "tree"


def test_import_and_again(call, strict_json, tree, tmp_path):
    store = tmp_path / "store"
    done = call("store", "import", tree, "--store", store)
    assert done.exit_code == 0
    assert "2 steps into" in done.stdout
    assert "rows named by row_id" in done.stdout
    listed = strict_json(call("store", "ls", store, "--json").stdout)
    assert [model["model"] for model in listed["models"]] == ["[pt2]-1"]
    again = call("store", "import", tree, "--store", store, "--json")
    assert again.exit_code == 0
    answer = strict_json(again.stdout)
    assert (answer["complete"], answer["imported"], answer["findings"]) == (True, [], [])
    assert answer["already_there"] == [
        {"model": "[pt2]-1", "step": 0},
        {"model": "[pt2]-1", "step": 100},
    ]


def test_what_was_skipped_is_listed_and_fails(call, strict_json, tree, tmp_path):
    (checkpoint_folder(tree, "[pt2]-1", 4, 100) / "metadata.json").unlink()
    done = call("store", "import", tree, "--store", tmp_path / "store")
    assert done.exit_code == 1
    for text in ("incomplete checkpoint", "[pt2]-1", "metadata.json is missing"):
        assert text in done.stdout
    done = call("store", "import", tree, "--store", tmp_path / "store", "--json")
    assert done.exit_code == 1
    answer = strict_json(done.stdout)
    assert answer["counts"] == [{"kind": "skipped", "reason": "incomplete checkpoint", "count": 1}]
    (finding,) = answer["findings"]
    assert (finding["model"], finding["step"], finding["layer"]) == ("[pt2]-1", 100, "4")


def test_models_yaml(call, strict_json, tree, tmp_path):
    models = tmp_path / "models.yaml"
    models.write_text("pt2-1: {seed: 0}\n")
    command = ("store", "import", tree, "--store", tmp_path / "store", "--models", models)
    done = call(*command)
    assert done.exit_code == 2
    assert "[pt2]-1" in done.stderr
    assert "did you mean pt2-1?" in done.stderr
    models.write_text("'[pt2]-1': {seed: 0}\n'[pt2]-2': {status: failed}\n")
    done = call(*command, "--json")
    assert done.exit_code == 0
    assert [finding["kind"] for finding in strict_json(done.stdout)["findings"]] == ["missing"]


def test_the_exit_status_is_in_the_help(shell):
    text = " ".join(shell("store", "import", "--help", COLUMNS="120").stdout.split())
    assert "Exit status: 0" in text
    assert "1 if anything was skipped" in text
