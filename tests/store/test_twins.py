"""Steps with equal values in all layers are reported; a single frozen layer is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastcka.store import create_store, import_tree, open_store
from fastcka.store.twins import steps_text, twin_steps
from fastcka.sweep import load_sweep, plan_sweep, run_sweep

LINE = "m: steps 0 and 100 are equal in all 2 layers"


def values(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(12, 3))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Steps 0 and 100 of "m" are equal, step 200 has an equal layer "a"; "other" differs at 100."""
    with create_store(tmp_path / "store") as store:
        for model, step, seeds in (
            ("m", 0, (1, 2)),
            ("m", 100, (1, 2)),
            ("m", 200, (1, 3)),
            ("other", 0, (1, 2)),
            ("other", 100, (4, 5)),
        ):
            layers = {name: values(seed) for name, seed in zip("ab", seeds, strict=True)}
            store.write(model=model, step=step, layers=layers)
    path = tmp_path / "sweep.yaml"
    path.write_text("store: store\noutput: out\ncompare: {within: [layer], differ: [step]}\n")
    return path


def test_a_sweep_reports_steps_that_are_equal(sweep: Path) -> None:
    planned = plan_sweep(load_sweep(sweep))
    assert planned.doubtful == (LINE,)
    assert planned.to_dict()["doubtful"] == [LINE]
    assert planned.facts()["doubtful"] == LINE
    result = run_sweep(sweep)
    assert result.notes == (LINE,)
    assert result.written


def test_a_sweep_reports_models_that_are_equal(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store:
        for model, seeds in (("a", (1, 2)), ("b", (1, 2)), ("c", (1, 3))):
            for step, seed in zip((0, 100), seeds, strict=True):
                store.write(model=model, step=step, layers={"x": values(seed)})
    path = tmp_path / "sweep.yaml"
    path.write_text("store: store\noutput: out\ncompare: {within: [layer, step]}\n")
    line = "a, b: equal in all 2 representations"  # c equals a only at step 0
    assert plan_sweep(load_sweep(path)).doubtful == (line,)
    assert run_sweep(path).notes == (line,)


def test_a_step_that_is_left_out_is_not_reported(sweep: Path) -> None:
    sweep.write_text(sweep.read_text() + "select: {step: [0, 200]}\n")
    assert plan_sweep(load_sweep(sweep)).doubtful == ()
    # Only layer a is compared, but layer b differs.
    sweep.write_text(sweep.read_text().replace("[0, 200]", "[0, 200], layer: a"))
    assert plan_sweep(load_sweep(sweep)).doubtful == ()


def test_no_values_are_read(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(sweep.parent / "store") as store:
        monkeypatch.setattr(store, "read", None)
        steps = [(key.model, key.step) for key in store.keys()]
        assert [str(twin) for twin in twin_steps(store, steps)] == [LINE]


def test_an_import_reports_equal_steps(tmp_path: Path) -> None:
    for step, seed in ((0, 1), (50, 1), (70, 1), (90, 2)):
        folder = tmp_path / "tree" / "m" / str(step)
        folder.mkdir(parents=True)
        np.save(folder / "a.npy", values(seed))
    report = import_tree(tmp_path / "tree", tmp_path / "store")
    (finding,) = [
        finding for finding in report.findings if finding.reason == "same values at two steps"
    ]
    assert (finding.kind, finding.model) == ("doubtful", "m")
    assert finding.detail == "m: steps 0, 50 and 70 are equal in the only layer"
    assert report.complete


def test_steps_as_text() -> None:
    assert steps_text([100, 0]) == "steps 0 and 100"
