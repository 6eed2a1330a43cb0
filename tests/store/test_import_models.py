"""models.yaml: factors, failed or replaced models, and unlisted models."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoint_trees import write_model
from fastcka.errors import FastckaError, InputError, ModelsFileError
from fastcka.store import import_tree, open_store
from fastcka.store.importing import read_models

TABLE = """
pt2-1: {family: pt2, variant: 1, seed: orig, tasks: [distance, trianglearea]}
pt2-1_seed1: {family: pt2, variant: 1, seed: 1, tasks: [distance, trianglearea], note: "12"}
pt2-1_seed2: {family: pt2, variant: 1, seed: 2, status: failed, note: loss went to NaN}
pt2-3_seed2: {family: pt2, variant: 3, seed: 2, replaced_by: pt2-3_seed3}
pt2-3_seed3: {family: pt2, variant: 3, seed: 2}
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    path = tmp_path / "models.yaml"
    path.write_text(TABLE)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for model in ("pt2-1", "pt2-1_seed1", "pt2-3_seed3"):
        write_model(tmp_path / "tree", model, layers=(3,), steps=(0,))
    return tmp_path / "tree"


def test_factors_are_stored_and_absent_models_are_listed(tree, models, tmp_path):
    report = import_tree(tree, tmp_path / "store", models=models)
    assert [(finding.reason, finding.model) for finding in report.findings] == [
        ("missing, as listed", "pt2-1_seed2"),
        ("missing, as listed", "pt2-3_seed2"),
    ]
    assert report.missing == report.findings
    assert "status: failed; note: loss went to NaN" in report.findings[0].detail
    assert "replaced_by: pt2-3_seed3" in report.findings[1].detail
    assert report.complete
    with open_store(tmp_path / "store") as store:
        assert store.factors("pt2-1") == {
            "family": "pt2",
            "variant": 1,
            "seed": "orig",
            "tasks": ["distance", "trianglearea"],
        }
        assert store.factors("pt2-1_seed1")["note"] == "12"


def test_a_missing_model_that_is_listed_fails_the_import(tree, models, tmp_path):
    models.write_text(TABLE + "pt2-9: {note: still training}\n")
    report = import_tree(tree, tmp_path / "store", models=models)
    assert report.counts == {("missing", "missing, as listed"): 2, ("missing", "missing model"): 1}
    assert "pt2-9: not in the tree; note: still training" in report.missing[-1].detail
    assert not report.complete
    write_model(tmp_path / "other", "pt2-9", layers=(3,), steps=(0,))
    report = import_tree(tmp_path / "other", tmp_path / "store", models=models)
    assert report.counts[("missing", "in the store already")] == 3
    assert report.complete


def test_a_failed_model_with_files_is_doubtful(tree, models, tmp_path):
    write_model(tree, "pt2-1_seed2", layers=(3,), steps=(0,))
    report = import_tree(tree, tmp_path / "store", models=models)
    assert [(finding.reason, finding.model) for finding in report.doubtful] == [
        ("listed as missing", "pt2-1_seed2")
    ]
    assert ("pt2-1_seed2", 0) in report.imported


def test_a_model_that_is_not_listed_is_refused_before_anything_is_written(tree, models, tmp_path):
    write_model(tree, "pt2-l", layers=(3,), steps=(0,))
    with pytest.raises(InputError, match=r"pt2-l .*did you mean pt2-1") as caught:
        import_tree(tree, tmp_path / "store", models=models)
    assert "--allow-unlisted" in str(caught.value)
    assert not (tmp_path / "store").exists()
    report = import_tree(tree, tmp_path / "store", models=models, allow_unlisted=True)
    assert [(finding.reason, finding.model) for finding in report.doubtful] == [
        ("not in models.yaml", "pt2-l")
    ]
    with open_store(tmp_path / "store") as store:
        assert store.factors("pt2-l") == {}


def test_changed_factors_are_reported_and_not_mixed(tree, models, tmp_path):
    import_tree(tree, tmp_path / "store", models=models)
    models.write_text(TABLE.replace("seed: orig", "seed: 0"))
    for overwrite in (False, True):
        report = import_tree(tree, tmp_path / "store", models=models, overwrite=overwrite)
        assert [(finding.reason, finding.model) for finding in report.skipped] == [
            ("changed factors", "pt2-1")
        ]
        assert (
            "factor 'seed' is 0 in models.yaml and \"orig\" in the store"
            in report.skipped[0].detail
        )
        assert len(report.already_there) == 2
    folder = Path(report.skipped[0].detail.split("remove ")[1].split(" and import")[0])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    report = import_tree(tree, tmp_path / "store", models=models)
    assert report.imported == (("pt2-1", 0),)
    assert report.complete


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "expected a mapping"),
        ("m: 3\n", "m: expected a mapping of factors"),
        ("m:\n", "m: expected a mapping of factors"),
        ("m: {a: 1}\nm: {a: 2}\n", "'m' appears twice"),
        ("m: &x {a: 1}\nn: *x\n", "anchors and aliases"),
        ("m: {model: x}\n", "m.model: every representation already has a field"),
        ("m: {a: {b: 1}}\n", r"factors\['a'\]"),
        ("m: {a: [[1]]}\n", r"factors\['a'\]"),
        ("m: {a: .nan}\n", "m.a: expected an unambiguous value, got"),
        ("m: {a: .inf}\n", "m.a: expected an unambiguous value, got"),
        ("m: {variant: no}\n", "`no`, which YAML reads as the boolean false"),
        (
            "m: {seed: 0123}\n",
            "m.seed: expected an unambiguous value, got `0123`, which YAML reads as the number 83",
        ),
        ("m: {lr: 1e-3}\n", "`1e-3`, which YAML reads as text"),
        (
            "m: {seed: [1:30]}\n",
            r"m.seed\[0\]: expected .* got `1:30`, which YAML reads as the number 90",
        ),
        ("m: {a: 2024-01-01}\n", "`2024-01-01`, which YAML reads as a date"),
        ("m: {replaced_by: mm}\nm1: {}\n", r"m.replaced_by: expected another model .* 'mm'"),
        ("m: {replaced_by: m}\n", "m.replaced_by"),
    ],
)
def test_wrong_or_ambiguous_values_are_refused(tmp_path, text, message):
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(ModelsFileError, match=message) as caught:
        read_models(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, FastckaError)


def test_plain_values_keep_their_types(tmp_path):
    path = tmp_path / "models.yaml"
    path.write_text("m: {a: 1, b: 0.5, c: true, d: orig, e: '1e-3', f: null, g: [1, '2'], h: }\n")
    assert read_models(path) == {
        "m": {"a": 1, "b": 0.5, "c": True, "d": "orig", "e": "1e-3", "f": None, "g": [1, "2"],
              "h": None}
    }  # fmt: skip
