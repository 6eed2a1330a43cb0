"""The findings of an import of a checkpoint tree."""

from __future__ import annotations

import math
import os
import shutil

import numpy as np
import pytest
import torch

from checkpoint_trees import (
    HIDDEN,
    TOKENS,
    checkpoint_folder,
    cities,
    values_of,
    write_checkpoint,
    write_model,
)
from fastcka.store import Key, import_tree, open_store
from store.tree_samples import reasons, rewrite


@pytest.mark.parametrize("name", ["representations.pt", "metadata.json", "both"])
def test_an_incomplete_checkpoint_is_left_out_and_reported_again(tree, target, name):
    write_model(tree, "m")
    folder = checkpoint_folder(tree, "m", 4, 100)
    for gone in ("representations.pt", "metadata.json") if name == "both" else (name,):
        (folder / gone).unlink()
    for imported in ((("m", 0), ("m", 100)), ()):
        report = import_tree(tree, target)
        assert report.imported == imported
        assert reasons(report) == [("skipped", "incomplete checkpoint", 100, "4")]
        assert str(folder) in report.findings[0].detail
        assert not report.complete
    with open_store(target) as store:
        assert [(key.step, key.layer) for key in store.keys()] == [(0, "3"), (0, "4"), (100, "3")]


def test_a_cut_off_file_is_left_out(tree, target):
    write_model(tree, "m")
    for layer, name in ((3, "representations.pt"), (4, "metadata.json")):
        path = checkpoint_folder(tree, "m", layer, 0) / name
        path.write_bytes(path.read_bytes()[:700])
    report = import_tree(tree, target)
    assert reasons(report) == [
        ("skipped", "unreadable file", 0, "3"),
        ("skipped", "unreadable file", 0, "4"),
    ]
    assert report.imported == (("m", 100),)


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


def test_a_pickle_that_would_run_code_is_left_out(tree, target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tree, "m", layers=(3,), steps=(0,))
    torch.save(
        {"representations_flat": Bomb()}, checkpoint_folder(tree, "m", 3, 0) / "representations.pt"
    )
    report = import_tree(tree, target)
    assert reasons(report) == [("skipped", "unreadable file", 0, "3")]
    assert "could run code" in report.findings[0].detail
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"layers": [5]}, "skipped", "layer contradicts the folder"),
        ({"layers": ["5"]}, "skipped", "layer contradicts the folder"),
        ({"layers": "[5]"}, "skipped", "layer contradicts the folder"),
        ({"layers": [3, 4]}, "skipped", "layer contradicts the folder"),
        ({"step": "200"}, "skipped", "step contradicts the folder"),
        ({"prompt_format": "angle_lastcity"}, "doubtful", "prompt format contradicts the folder"),
        ({"n_cities": "59"}, "skipped", "shape contradicts metadata"),
        ({"representation_flat_dim": 13}, "skipped", "shape contradicts metadata"),
        ({"hidden_dim": 7}, "skipped", "shape contradicts metadata"),
        ({"representation_shape": [60, 2, 1, 7]}, "skipped", "shape contradicts metadata"),
        ({"representation_shape": "Size([60, 2, 2, 6])"}, "skipped", "shape contradicts metadata"),
        ({"city_info": cities()[:59]}, "skipped", "row counts differ"),
        ({"city_info": [*cities()[:59], {"name": "no id"}]}, "skipped", "rows without an id"),
        ({"city_info": "none"}, "skipped", "unreadable file"),
        ({"n_tokens": "two"}, "skipped", "unreadable file"),
    ],
)  # fmt: skip
def test_contradicting_metadata_are_reported(tree, target, changes, kind, reason):
    write_model(tree, "m", layers=(3,), steps=(0, 100))
    rewrite(checkpoint_folder(tree, "m", 3, 100), **changes)
    report = import_tree(tree, target)
    assert reasons(report) == [(kind, reason, 100, "3")]
    assert report.complete == (kind == "doubtful")
    assert len(report.imported) == (2 if kind == "doubtful" else 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": "3", "step": "100"},
        {"layers": 3, "step": 100.0},
        {"layers": "[3]", "prompt_format": "firstcity_last_and_trans"},
        {"representation_shape": "torch.Size([60, 2, 1, 6])", "prompt_format": None},
        {"layers": None, "step": None, "n_cities": None, "hidden_dim": None},
    ],
)
def test_equivalent_metadata_are_not_reported(tree, target, changes):
    write_model(tree, "m", layers=(3,), steps=(100,))
    rewrite(checkpoint_folder(tree, "m", 3, 100), **changes)
    assert import_tree(tree, target).findings == ()


@pytest.mark.parametrize(
    ("saved", "reason"),
    [
        ({"layers": [4]}, "layer contradicts the folder"),
        ({"step": torch.tensor(7)}, "step contradicts the folder"),
        ({"representations": torch.zeros(60, 2, 1, 7)}, "shape contradicts metadata"),
        ({"representations_flat": torch.full((60, 12), math.nan)}, "not a representation"),
        ({"representations_flat": torch.zeros(1).expand(60, 12)}, "unreadable file"),
        ({"representations_flat": torch.zeros(60, 12, dtype=torch.int64)}, "not a representation"),
    ],
)
def test_a_contradicting_file_is_reported_and_the_other_layer_kept(tree, target, saved, reason):
    write_model(tree, "m", layers=(3,), steps=(0,), saved=saved)
    write_model(tree, "m", layers=(4,), steps=(0,))
    report = import_tree(tree, target)
    assert reasons(report) == [("skipped", reason, 0, "3")]
    with open_store(target) as store:
        assert store.keys() == [Key("m", 0, "4")]


def test_only_one_of_the_two_copies_is_read(tree, target):
    for model, other in (("a", "representations"), ("b", "representations_flat")):
        folder = checkpoint_folder(tree, model, 3, 0)
        write_checkpoint(folder, values_of("x", 0, 3), cities(), layer=3, step=0)
        saved = torch.load(folder / "representations.pt", weights_only=True)
        del saved[other]
        torch.save(saved, folder / "representations.pt")
    import_tree(tree, target)
    with open_store(target) as store:
        for model in "ab":
            key = Key(model, 0, "3")
            np.testing.assert_array_equal(store.read(key), values_of("x", 0, 3))
            assert store.info(key).n_features == TOKENS * HIDDEN


def test_final_next_to_the_last_checkpoint(tree, target):
    write_model(tree, "m", layers=(3,))
    shutil.copytree(checkpoint_folder(tree, "m", 3, 100), checkpoint_folder(tree, "m", 3, "final"))
    write_model(tree, "later", layers=(3,))
    final = checkpoint_folder(tree, "later", 3, "final")
    shutil.copytree(checkpoint_folder(tree, "later", 3, 100), final)
    rewrite(final, step="150")
    report = import_tree(tree, target)
    assert [finding.model for finding in report.findings] == ["later", "m"]
    assert reasons(report) == [
        ("skipped", "final folder", 150, "3"),
        ("doubtful", "final folder", 100, "3"),
    ]
    assert "rename it to checkpoint-150" in report.skipped[0].detail
    assert [step for _, step in report.imported] == [0, 100, 0, 100]


def test_folders_that_cannot_be_placed_are_reported(tree, target):
    write_model(tree, "m", layers=(3,), steps=(0,))
    representations = checkpoint_folder(tree, "m", 3, 0).parent
    (representations / "checkpoint-best").mkdir()
    (representations.parent.parent / "probe/representations").mkdir(parents=True)
    (representations.parent.parent / "distance_l9").mkdir()
    report = import_tree(tree, target)
    assert sorted(reasons(report), key=str) == [
        ("skipped", "folder without a layer", None, None),
        ("skipped", "folder without a step", None, "3"),
        ("skipped", "no representations", None, "9"),
    ]


def test_two_folders_for_one_layer_need_a_choice(tree, target):
    write_model(tree, "m", layers=(3, 4), steps=(0,))
    angle = checkpoint_folder(tree, "m", 3, 0, prompt="angle")
    shutil.copytree(checkpoint_folder(tree, "m", 3, 0), angle)
    rewrite(angle, prompt_format="angle_firstcity_last_and_trans")
    report = import_tree(tree, target / "a")
    assert reasons(report) == [("skipped", "two folders for one layer", None, "3")]
    assert "--only 'angle_firstcity_last_and_trans_l*'" in report.findings[0].detail
    with open_store(target / "a") as store:
        assert store.keys() == [Key("m", 0, "4")]
    report = import_tree(tree, target / "b", only="distance_*")
    assert report.findings == ()
    with open_store(target / "b") as store:
        assert store.keys() == [Key("m", 0, "3"), Key("m", 0, "4")]
