"""Checkpoints of every trainer are found and read; damaged and unsafe files are named."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from capture.recordings import Wrapping, plan_of
from fastcka.capture import (
    CheckpointRecorder,
    find_checkpoints,
    load_state,
    read_checkpoint,
    weights_digest,
)
from fastcka.errors import CorruptFileError, InputError, UnsafeFileError

STATE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.bias": torch.tensor([1.0, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(3),
}


def assert_same(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(state) == list(expected)
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)


def recorded(directory: Path, contents: Any = "full") -> Path:
    recorder = CheckpointRecorder(plan_of(3), "run", directory, contents=contents)
    path = recorder.after_update(nn.Linear(30, 20), step=3, loss=0.5)
    assert path is not None
    return path


def test_checkpoints_are_found_by_the_names_of_every_trainer(tmp_path: Path) -> None:
    files = {
        "checkpoint_step_00100.pt": (100, "step file"),
        "checkpoint_step_1200000.pt": (1200000, "step file"),
        "checkpoint_step_00101.safetensors": (101, "step file"),
        "checkpoint-7": (7, "huggingface"),
        "epoch=0-step=9.ckpt": (9, "lightning"),
        "digits-epoch=01-step=20-val_loss=0.25.ckpt": (20, "lightning"),
        "epoch=2-step=30-v1.ckpt": (30, "lightning"),
        "step=40.ckpt": (40, "lightning"),
    }
    for name in files:
        (tmp_path / name).touch()
    for name in ("last.ckpt", "final", "checkpoint-best", "checkpoint_step_00100.pt.bak"):
        (tmp_path / name).touch()
    (tmp_path / ".tmp-1f-checkpoint_step_00500.pt").touch()
    checkpoints = find_checkpoints(tmp_path)
    expected = sorted((step, name, kind) for name, (step, kind) in files.items())
    assert [(f.step, f.path.name, f.kind) for f in checkpoints] == expected
    (tmp_path / "checkpoint_step_00007.pt").touch()
    with pytest.raises(InputError, match=r"checkpoint-7 and checkpoint_step_00007\.pt are both"):
        find_checkpoints(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_checkpoints(tmp_path / "absent")


def test_weights_in_files_of_torch_save(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_step_00004.pt"
    for content in (
        {"step": 4, "model_state_dict": STATE, "loss": 0.1},
        {"state_dict": STATE, "global_step": 4, "epoch": 1},
        STATE,
    ):
        torch.save(content, path)
        assert_same(load_state(path), STATE)
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    assert_same(load_state(path), STATE)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_of_the_hugging_face_trainer(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    with pytest.raises(
        InputError, match=r"checkpoint-500: no weights; expected one of model\.safe"
    ):
        load_state(folder)
    if name.endswith("bin"):
        torch.save(STATE, folder / name)
    else:
        save_file(STATE, folder / name, metadata={"format": "pt"})
    state = load_state(folder)
    assert_same({key: state[key] for key in STATE}, STATE)
    assert read_checkpoint(folder).step == 500
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 500, "epoch": 1.5}))
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.step, checkpoint.epoch, checkpoint.run_id) == (500, 1.5, None)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 400}))
    with pytest.raises(InputError, match="expected step 500 by its name, got step 400"):
        read_checkpoint(folder)
    (folder / "trainer_state.json").write_text("[]")
    with pytest.raises(CorruptFileError, match="not a trainer's state"):
        read_checkpoint(folder)


def test_shards(tmp_path: Path) -> None:
    shards = {
        "a.weight": "one.safetensors",
        "a.bias": "two.safetensors",
        "count": "two.safetensors",
    }
    index = tmp_path / "model.safetensors.index.json"
    for shard in set(shards.values()):
        part = {name: STATE[name] for name in STATE if shards[name] == shard}
        save_file(part, tmp_path / shard)
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    assert_same(load_state(tmp_path), STATE)
    index.write_text(json.dumps({"weight_map": {**shards, "b": "one.safetensors"}}))
    with pytest.raises(CorruptFileError, match="the shards lack 'b'"):
        load_state(tmp_path)
    index.write_text(json.dumps({"weight_map": {"b": "../one.safetensors"}}))
    with pytest.raises(UnsafeFileError, match="expected shards in the same folder"):
        load_state(tmp_path)
    index.write_text("{}")
    with pytest.raises(CorruptFileError, match="not an index"):
        load_state(tmp_path)


def test_lightnings_files(tmp_path: Path) -> None:
    path = tmp_path / "epoch=1-step=20.ckpt"
    torch.save({"state_dict": STATE, "global_step": 20, "epoch": 1, "loops": {}}, path)
    checkpoint = read_checkpoint(path)
    assert (checkpoint.step, checkpoint.epoch) == (20, 1)
    assert_same(checkpoint.model_state_dict, STATE)


def test_prefixes_of_all_names_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"

    def names(*given: str) -> list[str]:
        torch.save({"model_state_dict": dict.fromkeys(given, torch.ones(1))}, path)
        return list(load_state(path))

    assert names("module.a", "module.b.c") == ["a", "b.c"]
    assert names("_orig_mod.module.a", "_orig_mod.module.b") == ["a", "b"]
    assert names("module.a", "head.b") == ["module.a", "head.b"]
    assert names("module", "module.a") == ["module", "module.a"]
    assert names("modules.a") == ["modules.a"]

    # A recorder removes prefixes itself: the "module" in its files is part of a name.
    for contents in ("full", "safetensors"):
        recorder = CheckpointRecorder(plan_of(1), "run", tmp_path / contents, contents=contents)
        path = recorder.after_update(Wrapping())
        assert path is not None
        assert sorted(load_state(path)) == ["module.bias", "module.weight"]


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (Path(os.environ["FASTCKA_TEST_TOUCH"]),)


def test_pickled_code_runs_only_if_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "executed"
    monkeypatch.setenv("FASTCKA_TEST_TOUCH", str(trace))
    path = tmp_path / "checkpoint_step_00003.pt"
    torch.save({"step": 3, "model_state_dict": STATE, "seeds": {"x": _Malicious()}}, path)
    for read in (load_state, read_checkpoint):
        with pytest.raises(UnsafeFileError, match=r"could run code.*--trust-pickle"):
            read(path)
    assert not trace.exists()
    assert_same(load_state(path, trust_pickle=True), STATE)
    assert trace.exists()
    trace.unlink()
    path.write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(CorruptFileError, match="cannot be read"):
        load_state(path)
    assert not trace.exists()


@pytest.mark.parametrize("contents", ["full", "safetensors"])
def test_a_cut_off_file_at_any_length_is_named(tmp_path: Path, contents: str) -> None:
    path = recorded(tmp_path, contents)
    whole = path.read_bytes()
    for size in (0, 1, 3, 10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        for read in (load_state, read_checkpoint):
            with pytest.raises(CorruptFileError, match="cannot be read"):
                read(path)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("full", "the checksum of record archive/data/0 does not match"),
        ("safetensors", "do not match the digest"),
    ],
)
def test_one_changed_weight_is_found(tmp_path: Path, contents: str, message: str) -> None:
    path = recorded(tmp_path, contents)
    weight = load_state(path)["weight"].numpy().tobytes()
    whole = bytearray(path.read_bytes())
    whole[whole.index(weight) + 1000] ^= 1
    path.write_bytes(whole)
    for read in (load_state, read_checkpoint):
        with pytest.raises(CorruptFileError, match=message):
            read(path)


def test_files_with_other_contents_are_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_step_00003.pt"
    with pytest.raises(InputError, match=r"checkpoint_step_00003\.pt: no such file"):
        read_checkpoint(path)
    good = {"step": 3, "model_state_dict": STATE}
    torch.save(good, path)
    assert read_checkpoint(path).loss is None
    for wrong, message in (
        ([1], "a state dict, or a network, got list"),
        ({**good, "step": 4}, "expected step 3 by its name, got step 4"),
        ({**good, "step": "three"}, "'step': expected an integer, got str"),
        ({**good, "loss": "low"}, "'loss': expected .* got str"),
        ({"step": 3, "loss": 0.5}, "no weights: expected .*'loss', 'step'"),
        ({**good, "model_state_dict": {}}, "under 'model_state_dict', got an empty dict"),
        (
            {**good, "model_state_dict": {"a": 3}},
            r"model_state_dict\['a'\]: expected a tensor, got int",
        ),
        (
            {**good, "model_state_dict": {1: torch.ones(1)}},
            "names of tensors under 'model_state_dict', got 1",
        ),
    ):
        torch.save(wrong, path)
        with pytest.raises(InputError, match=message):
            read_checkpoint(path)


def test_the_digest_depends_on_names_types_shapes_and_values_but_not_on_order() -> None:
    digest = weights_digest(STATE)
    assert digest == weights_digest(dict(reversed(STATE.items())))
    assert digest == weights_digest({**STATE, "a.weight": STATE["a.weight"].T.clone().T})
    flat = STATE["a.weight"]
    for other in (flat.reshape(3, 2), flat.double(), flat.view(torch.int32), -flat):
        assert weights_digest({**STATE, "a.weight": other}) != digest
    renamed = {("b" if name == "count" else name): value for name, value in STATE.items()}
    assert weights_digest(renamed) != digest
