"""An import reports a damaged file in the store, and replaces it with ``overwrite``."""

from __future__ import annotations

import shutil

import numpy as np

from checkpoint_trees import values_of, write_model
from fastcka.store import Key, import_tree, open_store


def _file_of(target, model, step):
    with open_store(target) as store:
        key = next(key for key in store.keys() if (key.model, key.step) == (model, step))
        return store.info(key).path


def _findings(report):
    return [
        (finding.kind, finding.reason, finding.model, finding.step) for finding in report.findings
    ]


def test_one_damaged_file_does_not_stop_an_import(tree, target):
    write_model(tree, "m1", steps=(0, 100))
    write_model(tree, "m2", steps=(0,))
    import_tree(tree, target)
    path = _file_of(target, "m1", 0)
    path.write_bytes(path.read_bytes()[:2000])
    write_model(tree, "m3", steps=(0,))

    report = import_tree(tree, target)
    assert report.imported == (("m3", 0),)
    assert set(report.already_there) == {("m1", 100), ("m2", 0)}
    assert _findings(report) == [("skipped", "damaged in the store", "m1", 0)]
    assert str(path) in report.findings[0].detail
    assert "--overwrite" in report.findings[0].detail
    assert not report.complete
    assert path.stat().st_size == 2000  # replaced only with overwrite

    mended = import_tree(tree, target, overwrite=True)
    assert mended.imported == (("m1", 0),)
    assert mended.findings == ()
    assert mended.complete
    with open_store(target) as store:
        for key in (Key("m1", 0, "3"), Key("m3", 0, "4")):
            expected = values_of(key.model, key.step, int(key.layer))
            np.testing.assert_array_equal(store.read(key), expected)
        assert [finding.kind for finding in store.verify()] == ["ok"] * 4


def test_a_damaged_file_of_a_model_outside_the_tree_is_reported(tree, target, tmp_path):
    write_model(tree, "m1", steps=(0,))
    import_tree(tree, target)
    path = _file_of(target, "m1", 0)
    path.write_bytes(b"")
    shutil.rmtree(tree)
    write_model(tree, "m2", steps=(0,))
    models = tmp_path / "models.yaml"
    models.write_text("m2: {seed: 1}\n", encoding="utf-8")

    report = import_tree(tree, target, models=models)
    assert report.imported == (("m2", 0),)
    assert _findings(report) == [("doubtful", "damaged file in the store", None, 0)]
    assert str(path) in report.findings[0].detail
    assert report.complete
