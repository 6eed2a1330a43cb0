"""``fastcka store``: it lists what was written, and reports damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastcka.store import create_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two models at two steps; rich would parse [cnn] as markup."""
    path = tmp_path / "store"
    rng = np.random.default_rng(3)
    with create_store(path) as created:
        for model, seed in (("mlp", 0), ("[cnn] a/b", 1)):
            for step in (0, 500):
                created.write(
                    model=model,
                    step=step,
                    layers={
                        "fc1": rng.normal(size=(30, 8)).astype(np.float32),
                        "fc2": rng.normal(size=(30, 4)),
                    },
                    example_ids=[f"e{i}" for i in range(30)],
                    factors={"seed": seed, "tasks": ["angle", "distance"]},
                )
    return path


def test_ls(call, strict_json, store):
    done = call("store", "ls", store, "--json")
    assert done.exit_code == 0
    listed = strict_json(done.stdout)
    assert listed["representations"] == 8
    assert {model["model"] for model in listed["models"]} == {"mlp", "[cnn] a/b"}
    mlp = next(model for model in listed["models"] if model["model"] == "mlp")
    assert mlp["factors"] == {"seed": 0, "tasks": ["angle", "distance"]}
    both = ["fc1", "fc2"]
    assert mlp["steps"] == [
        {"step": step, "layers": both, "positional_ids": False} for step in (0, 500)
    ]
    shown = call("store", "ls", store).stdout
    for text in ("mlp", "[cnn] a/b", "2: 0, 500", "2: fc1, fc2", "tasks=angle+distance"):
        assert text in shown
    assert "2 models, 8 representations" in shown


def test_positional_ids_are_marked(call, strict_json, store):
    x = np.zeros((5, 2), np.float32)
    with create_store(store, exist_ok=True) as opened:
        opened.write(model="none", step=0, layers={"l": x})
        opened.write(model="some", step=0, layers={"l": x})
        opened.write(model="some", step=1, layers={"l": x}, example_ids=range(5))
    shown = {
        line.split()[0]: f"{line} "
        for line in call("store", "ls", store).stdout.splitlines()
        if line
    }
    assert " positional " in shown["none"]
    assert " positional at 1 step " in shown["some"]
    assert " given " in shown["mlp"]
    listed = strict_json(call("store", "ls", store, "--json").stdout)["models"]
    marks = {m["model"]: [step["positional_ids"] for step in m["steps"]] for m in listed}
    assert (marks["none"], marks["some"], marks["mlp"]) == ([True], [True, False], [False] * 2)
    assert "positional" in call("store", "info", store, "none").stdout
    (row,) = strict_json(call("store", "info", store, "none", "--json").stdout)["representations"]
    assert row["positional_ids"] is True


def test_info(call, strict_json, store):
    done = call("store", "info", store, "mlp", "--json")
    assert done.exit_code == 0
    rows = strict_json(done.stdout)["representations"]
    assert [(row["step"], row["layer"]) for row in rows] == [
        (0, "fc1"),
        (0, "fc2"),
        (500, "fc1"),
        (500, "fc2"),
    ]
    assert {row["n_examples"] for row in rows} == {30}
    assert [row["n_features"] for row in rows] == [8, 4, 8, 4]
    assert [row["dtype"] for row in rows] == ["float32", "float64"] * 2
    assert len({row["digest"] for row in rows}) == 4
    one = strict_json(call("store", "info", store, "mlp", 500, "--json").stdout)
    assert one["representations"] == rows[2:]
    assert "float32" in call("store", "info", store, "[cnn] a/b", 500).stdout


def test_the_error_of_an_unknown_model_or_step_lists_the_known_ones(call, store):
    done = call("store", "info", store, "resnet")
    assert done.exit_code == 2
    assert "'resnet'" in done.stderr
    assert "mlp" in done.stderr
    assert "[cnn] a/b" in done.stderr
    done = call("store", "info", store, "mlp", 7)
    assert done.exit_code == 2
    assert "0, 500" in done.stderr


def test_a_folder_that_is_not_a_store(call, tmp_path):
    for path, status in ((tmp_path, 1), (tmp_path / "absent", 2)):
        for command in (["ls"], ["verify"]):
            done = call("store", *command, path)
            assert done.exit_code == status
            assert str(path) in done.stderr
            assert done.stdout == ""
    done = call("store", "ls", tmp_path / "absent")
    assert "no such store; check the path" in done.stderr
    (tmp_path / "file").touch()
    assert (
        "file: expected the folder of a store, got a file"
        in call("store", "ls", tmp_path / "file").stderr
    )


def test_a_damaged_file_is_named_and_the_others_are_listed(call, strict_json, store):
    (path,) = store.rglob("mlp-*/500.h5")
    path.write_bytes(path.read_bytes()[:1000])
    done = call("store", "ls", store)
    assert done.exit_code == 1
    assert "2 models, 6 representations" in done.stdout
    assert f"{path}: damaged: the file is cut off after 1,000 of its" in done.stderr
    done = call("store", "ls", store, "--json")
    assert done.exit_code == 1
    listed = strict_json(done.stdout)
    assert listed["representations"] == 6
    assert [file["path"] for file in listed["unreadable"]] == [str(path)]

    done = call("store", "info", store, "mlp", "--json")
    assert done.exit_code == 1
    answer = strict_json(done.stdout)
    assert [row["step"] for row in answer["representations"]] == [0, 0]
    assert answer["factors"] == {"seed": 0, "tasks": ["angle", "distance"]}
    assert [file["path"] for file in answer["unreadable"]] == [str(path)]
    assert call("store", "info", store, "mlp", 500).exit_code == 1
    for arguments in (["mlp", 0], ["[cnn] a/b"]):  # not concerned
        done = call("store", "info", store, *arguments)
        assert (done.exit_code, done.stderr) == (0, "")
    assert call("store", "info", store, "resnet").exit_code == 2


def test_verify_a_sound_store(call, strict_json, store):
    done = call("store", "verify", store, "--json")
    assert done.exit_code == 0
    answer = strict_json(done.stdout)
    assert (answer["files"], answer["findings"]) == (4, [])
    assert "4 files read, no damage found" in call("store", "verify", store).stdout


def test_verify_finds_a_changed_value(call, strict_json, store):
    path = sorted(store.rglob("500.h5"))[0]
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(byte ^ 0xFF for byte in data[middle : middle + 64])
    path.write_bytes(data)
    done = call("store", "verify", store, "--json")
    assert done.exit_code == 1
    findings = strict_json(done.stdout)["findings"]
    assert findings
    assert str(path.relative_to(store)) in str(findings)
    shown = call("store", "verify", store)
    assert shown.exit_code == 1
    assert path.name in shown.stdout
