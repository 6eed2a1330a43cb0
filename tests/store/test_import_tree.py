"""Checkpoint trees: values, ids and factors are imported; quirks are undone or reported."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

from checkpoint_trees import (
    N_CITIES,
    as_text,
    checkpoint_folder,
    cities,
    values_of,
    write_checkpoint,
    write_model,
)
from fastcka.errors import InputError
from fastcka.store import ExampleFilter, Key, import_tree, open_store
from store.tree_samples import reasons

IDS = [str(995 + row) for row in range(N_CITIES)]


def test_a_tree_is_imported_completely(tree, target):
    write_model(tree / "runs/pt2", "pt2-1", steps=(0, 8204))
    write_model(tree / "runs/pt2", "pt2-2_seed1", layers=(3, 4, 10), steps=(0,))
    calls = []
    report = import_tree(tree, target, progress=lambda *done: calls.append(done))
    assert report.complete
    assert report.findings == ()
    assert report.imported == (("pt2-1", 0), ("pt2-1", 8204), ("pt2-2_seed1", 0))
    assert report.id_fields == {"row_id": 3}
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with open_store(target) as store:
        assert [key.layer for key in store.keys() if key.model == "pt2-2_seed1"] == ["3", "4", "10"]
        for key in store.keys():
            values = values_of(key.model, key.step, int(key.layer))
            np.testing.assert_array_equal(store.read(key), values)
            assert store.info(key).dtype == "float32"
            examples = store.examples(key)
            assert examples.ids.tolist() == IDS
            assert examples.columns["region"].tolist() == [row["region"] for row in cities()]
            assert examples.columns["x"].tolist() == [row["x"] for row in cities()]
            assert examples.columns["row_id"].dtype == np.int64
        assert [finding.kind for finding in store.verify()] == ["ok"] * 3


def test_a_filter_of_two_fields_works_on_an_imported_store(tree, target):
    write_model(tree, "pt2-1", layers=(3,), steps=(0,))
    import_tree(tree, target)
    with open_store(target) as store:
        examples = store.examples(Key("pt2-1", 0, "3"))
    chosen = ExampleFilter.parse("region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$")
    expected = [
        row["region"] != "Atlantis" and row["row_id"] >= 1000 for row in cities()
    ]  # ids run from 995
    assert chosen.mask(examples).tolist() == expected
    assert 0 < sum(expected) < N_CITIES - 20


def test_numbers_as_text_and_nan_tokens_are_read(tree, target):
    write_model(tree, "plain", layers=(3,), steps=(100,))
    write_model(tree, "texts", layers=(3,), steps=(100,), text_numbers=True)
    rows = cities()
    rows[5]["x"] = float("nan")
    rows[6]["country"] = None
    rows[7]["country"] = float("nan")
    write_checkpoint(
        checkpoint_folder(tree, "holes", 3, 100),
        values_of("holes", 100, 3),
        rows,
        layer=3,
        step=100,
    )
    folder = checkpoint_folder(tree, "texts", 3, 100)
    assert '"n_cities": "60"' in (folder / "metadata.json").read_text()
    assert "NaN" in (checkpoint_folder(tree, "holes", 3, 100) / "metadata.json").read_text()
    assert import_tree(tree, target).findings == ()
    with open_store(target) as store:
        plain, texts, holes = (
            store.examples(Key(model, 100, "3")) for model in ("plain", "texts", "holes")
        )
    assert texts.ids.tolist() == plain.ids.tolist() == holes.ids.tolist() == IDS
    for name, column in plain.columns.items():
        assert texts.columns[name].dtype == column.dtype
        assert texts.columns[name].tolist() == column.tolist()
    assert math.isnan(holes.columns["x"][5])
    assert holes.columns["country"][5:8].tolist() == ["land 5", "", ""]


def test_city_id_is_preferred_to_row_id_and_positions_are_doubtful(tree, target):
    with_both = [row | {"city_id": f"c{5 * row['row_id']}"} for row in cities()]
    with_none = [{"name": row["name"]} for row in cities()]
    for model, rows in (("both", with_both), ("none", with_none), ("nothing", None)):
        folder = checkpoint_folder(tree, model, 3, 0)
        write_checkpoint(folder, values_of(model, 0, 3), rows, layer=3, step=0)
    report = import_tree(tree, target)
    assert report.complete
    assert report.id_fields == {"city_id": 1, "position": 2}
    assert [finding.model for finding in report.doubtful] == ["none", "nothing"]
    assert report.counts == {("doubtful", "rows named by position"): 2}
    with open_store(target) as store:
        both = store.examples(Key("both", 0, "3"))
        assert both.ids[:2].tolist() == ["c4975", "c4980"]
        assert both.columns["row_id"][0] == 995
        assert store.examples(Key("none", 0, "3")).ids[:2].tolist() == ["0", "1"]


def test_rows_in_another_order_are_aligned_by_id(tree, target):
    write_model(tree, "m", layers=(3,), steps=(0,))
    order = np.random.default_rng(5).permutation(N_CITIES)
    rows = [cities()[row] for row in order]
    values = values_of("m", 0, 4)
    write_checkpoint(checkpoint_folder(tree, "m", 4, 0), values[order], rows, layer=4, step=0)
    report = import_tree(tree, target)
    assert report.findings == ()
    assert report.layers_reordered == 1
    with open_store(target) as store:
        assert store.examples(Key("m", 0, "4")).ids.tolist() == IDS
        np.testing.assert_array_equal(store.read(Key("m", 0, "4")), values)


def test_layers_of_other_examples_refuse_the_step(tree, target):
    write_model(tree, "ids", layers=(3,), steps=(0, 100))
    write_model(tree, "rows", layers=(3,), steps=(0,))
    rows = cities()
    rows[9]["row_id"] = 5
    folder = checkpoint_folder(tree, "ids", 4, 0)
    write_checkpoint(folder, values_of("ids", 0, 4), rows, layer=4, step=0)
    folder = checkpoint_folder(tree, "rows", 4, 0)
    write_checkpoint(folder, values_of("rows", 0, 4)[:50], cities()[:50], layer=4, step=0)
    report = import_tree(tree, target)
    assert not report.complete
    assert report.imported == (("ids", 100),)
    assert reasons(report) == [
        ("doubtful", "layer without a step", 100, "4"),
        ("skipped", "ids differ between layers", 0, None),
        ("skipped", "row counts differ", 0, None),
    ]
    assert (
        "1 of 60 ids of layer 3 are not in layer 4, for example '1004'" in report.skipped[0].detail
    )
    assert "60 rows, layer 4 has 50" in report.skipped[1].detail


def test_contradicting_columns_are_doubtful(tree, target):
    write_model(tree, "m", layers=(3,), steps=(0,))
    rows = cities()
    rows[4]["region"] = "Lemuria"
    folder = checkpoint_folder(tree, "m", 4, 0)
    write_checkpoint(folder, values_of("m", 0, 4), rows, layer=4, step=0)
    report = import_tree(tree, target)
    assert reasons(report) == [("doubtful", "columns differ between layers", 0, "4")]
    assert report.imported == (("m", 0),)


def test_a_layer_with_duplicate_ids_is_left_out(tree, target):
    write_model(tree, "m", layers=(3,), steps=(0,))
    rows = cities()
    rows[9]["row_id"] = rows[4]["row_id"]
    folder = checkpoint_folder(tree, "m", 4, 0)
    write_checkpoint(folder, values_of("m", 0, 4), rows, layer=4, step=0)
    report = import_tree(tree, target)
    assert reasons(report) == [("skipped", "duplicate ids", 0, "4")]
    assert "got '999' at 4 and at 9" in report.findings[0].detail
    with open_store(target) as store:
        assert [key.layer for key in store.keys()] == ["3"]


def test_names_are_the_shortest_unique_paths(tree, target):
    for folder in ("a/x", "b/x", "c/y"):
        write_model(tree / folder, "m", layers=(3,), steps=(0,), values_like=folder)
    write_model(tree / "c", "k", layers=(3,), steps=(0,))
    report = import_tree(tree, target)
    assert [model for model, _ in report.imported] == ["a/x/m", "b/x/m", "k", "y/m"]


def test_the_same_model_under_two_names_is_doubtful(tree, target):
    write_model(tree, "pt2-1")
    write_model(tree, "pt2-1_seed1", values_like="pt2-1")
    write_model(tree, "other", steps=(0,), values_like="pt2-1")  # lacks a step, so not a twin
    report = import_tree(tree, target)
    assert [(finding.kind, finding.reason) for finding in report.findings] == [
        ("doubtful", "same model under two names")
    ]
    assert "pt2-1, pt2-1_seed1" in report.findings[0].detail
    assert report.complete


def test_a_link_to_a_folder_is_followed_once(tree, target):
    write_model(tree / "real", "m", layers=(3,), steps=(0,))
    (tree / "again").symlink_to(tree / "real")
    (tree / "real" / "loop").symlink_to(tree)
    elsewhere = tree.parent / "elsewhere"
    write_model(elsewhere, "far", layers=(3,), steps=(0,))
    (tree / "far").symlink_to(elsewhere / "far")
    report = import_tree(tree, target)
    assert report.imported == (("far", 0), ("m", 0))
    assert report.counts == {("doubtful", "folder reached twice"): 2}


def test_a_folder_without_a_tree_is_refused(tree, target):
    with pytest.raises(InputError, match="no such folder"):
        import_tree(tree, target)
    tree.mkdir()
    (tree / "notes.txt").touch()
    with pytest.raises(InputError, match="expected folders <model>/analysis_higher"):
        import_tree(tree, target)
    assert not target.exists()


def test_a_second_import_reads_nothing_and_reports_a_changed_file(tree, target):
    write_model(tree, "m")
    import_tree(tree, target)
    written = {path: path.stat().st_mtime_ns for path in target.rglob("*.h5")}
    again = import_tree(tree, target)
    assert (again.imported, again.findings) == ((), ())
    assert again.already_there == (("m", 0), ("m", 100))
    assert again.complete

    changed = checkpoint_folder(tree, "m", 4, 100)
    shutil.rmtree(changed)
    new = values_of("another", 100, 4)
    write_checkpoint(changed, new, cities(), layer=4, step=100)
    report = import_tree(tree, target)
    assert reasons(report) == [("skipped", "changed files", 100, None)]
    assert "--overwrite" in report.findings[0].detail
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*.h5")} == written

    report = import_tree(tree, target, overwrite=True)
    assert report.imported == (("m", 100),)
    assert report.already_there == (("m", 0),)
    with open_store(target) as store:
        np.testing.assert_array_equal(store.read(Key("m", 100, "4")), new)
        np.testing.assert_array_equal(store.read(Key("m", 100, "3")), values_of("m", 100, 3))


def test_a_step_that_no_import_wrote_is_kept(tree, target):
    from fastcka.store import create_store

    write_model(tree, "m", layers=(3,), steps=(0,))
    with create_store(target) as store:
        store.write(model="m", step=0, layers={"3": np.ones((4, 2))})
    report = import_tree(tree, target)
    assert reasons(report) == [("skipped", "changed files", 0, None)]
    assert "was not written by an import" in report.findings[0].detail


def test_columns_that_a_store_cannot_contain_are_doubtful(tree, target):
    rows = [row | {"id": 1, "far/away": 2, "tags": ["a", 1], "flag": True} for row in cities()]
    folder = checkpoint_folder(tree, "m", 3, 0)
    write_checkpoint(folder, values_of("m", 0, 3), as_text(rows[:1]) + rows[1:], layer=3, step=0)
    report = import_tree(tree, target)
    assert report.counts == {("doubtful", "column left out"): 2}
    with open_store(target) as store:
        columns = store.examples(Key("m", 0, "3")).columns
    assert columns["tags"][1] == '["a", 1]'
    assert columns["flag"].tolist() == ["True"] * N_CITIES  # one was a text
    assert columns["row_id"].dtype == np.int64  # one was the text of a number
    assert columns["y"].dtype == np.float64
