"""Inference in sweeps: columns of the table, q-values over all comparisons, resume."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import fastcka
from fastcka import Comparison, Inference
from fastcka.errors import DeviceError, SweepError
from fastcka.store import create_store
from fastcka.sweep import load_sweep, plan_sweep, run_sweep

pytestmark = pytest.mark.usefixtures("no_figures")
INFERRED = ["null_mean", "null_sd", "z", "p_value", "calibrated", "stderr", "ci_low", "ci_high"]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def adjusted(p):
    """Benjamini and Hochberg 1995, by their definition."""
    return [
        min(other * len(p) / sum(q <= other for q in p) for other in p if other >= each)
        for each in p
    ]


def test_the_columns_are_those_of_comparisons(trained, config_for):
    config = config_for(within=["layer", "step"], inference={"alternative": "greater"})
    assert config.inference == Inference(alternative="greater")
    result = run_sweep(config)
    rows = rows_of(result.results_path)
    for row in rows[:3]:
        assert 0 <= float(row["p_value"]) <= 1
        n = int(row["n_examples"])
        assert float(row["null_sd"]) == pytest.approx(np.sqrt(2 / (n * (n - 3))), rel=1e-12)
        z = (float(row["cka"]) - float(row["null_mean"])) / float(row["null_sd"])
        assert float(row["z"]) == pytest.approx(z, rel=1e-9)
    p = [float(row["p_value"]) for row in rows]
    q = [float(row["q_value"]) for row in rows]
    np.testing.assert_allclose(q, adjusted(p), rtol=1e-12)  # over all groups together
    (first, *_) = sorted((config.output / "matrices").glob("*.npz"))
    saved = Comparison.load(first)
    assert saved.inference == config.inference
    assert saved.p_value[tuple(saved.pairs[0])] == p[0]
    for name in INFERRED:
        assert name in saved.to_xarray()


def test_without_inference_the_chance_level_is_there(trained, config_for):
    rows = rows_of(run_sweep(config_for(within=["layer"])).results_path)
    assert {"feature_corrected", "null_mean", "null_sd", "z"} <= rows[0].keys()
    assert not {"p_value", "q_value", "calibrated"} & rows[0].keys()


def test_a_run_continues_with_the_same_table(trained, config_for):
    config = config_for(within=["layer"], inference=True)
    whole = run_sweep(config)
    table = whole.results_path.read_bytes()
    assert run_sweep(config).groups_reused == 2
    assert whole.results_path.read_bytes() == table
    # A group without third moments is another entry of the ledger; both are kept.
    plain = run_sweep(config_for(within=["layer"]))
    assert (plain.groups_computed, plain.groups_reused) == (2, 0)
    assert not [note for note in plain.notes if "computed again" in note]
    again = run_sweep(config)
    assert (again.groups_computed, again.groups_reused) == (0, 2)
    assert again.results_path.read_bytes() == table
    # Other folds are computed.
    assert run_sweep(config_for(within=["layer"], inference={"folds": 5})).groups_computed == 2
    assert run_sweep(config).groups_reused == 2
    # Options and estimators need nothing that the ledger lacks.
    options = {"alternative": "greater", "level": 0.99}
    for estimator in ("biased", "unbiased"):
        other = run_sweep(config_for(within=["layer"], inference=options, estimator=estimator))
        assert (other.groups_computed, other.groups_reused) == (0, 2)
        saved = Comparison.load(next((config.output / "matrices").glob("*.npz")))
        assert (saved.inference, saved.estimator) == (Inference(**options), estimator)


def test_intervals_leave_out_whole_blocks(tmp_path, config_for, rng):
    ids = [f"token {k}" for k in range(60)]
    texts = [k // 4 for k in range(60)]
    xs = {layer: rng.standard_normal((60, 5)) for layer in ("a", "b")}
    xs["b"][:, :3] += xs["a"][:, :3]
    with create_store(tmp_path / "store") as store:
        columns = {"text": texts}
        store.write(model="m", step=0, layers=xs, example_ids=ids, example_columns=columns)
    inference = {"blocks": "text", "folds": 6, "level": 0.8}
    (row,) = rows_of(run_sweep(config_for(inference=inference)).results_path)
    options = Inference(blocks=np.array(texts), folds=6, level=0.8)
    expected = fastcka.compare([xs["a"], xs["b"]], inference=options)
    for name in ("stderr", "ci_low", "ci_high", "p_value"):
        assert float(row[name]) == pytest.approx(getattr(expected, name)[0, 1], rel=1e-6)
    independent = run_sweep(config_for(inference={**inference, "blocks": None}))
    assert (independent.groups_computed, independent.groups_reused) == (1, 0)
    (other,) = rows_of(independent.results_path)
    assert float(other["stderr"]) != pytest.approx(float(row["stderr"]), rel=1e-3)


def test_blocks_that_do_not_exist_or_disagree(tmp_path, config_for, rng):
    ids = [f"token {k}" for k in range(12)]
    with create_store(tmp_path / "store") as store:
        for model, texts in (("m", ["x"] * 6 + ["y"] * 6), ("n", ["x"] * 5 + ["y"] * 7)):
            layers = {layer: rng.standard_normal((12, 3)) for layer in ("a", "b")}
            columns = {"text": texts}
            store.write(
                model=model, step=0, layers=layers, example_ids=ids, example_columns=columns
            )
    with pytest.raises(SweepError, match=r"inference\.blocks: expected an example col.*: text"):
        plan_sweep(config_for(inference={"blocks": "film"}))
    with pytest.raises(SweepError, match=r"example 5 of the group is in block 'x' in .* and in"):
        plan_sweep(config_for(inference={"blocks": "text"}))
    config = config_for(inference={"blocks": "text"}, examples="text:x", select={"model": "m"})
    with pytest.raises(SweepError, match="blocks: expected at least 5 different labels"):
        plan_sweep(config)


def test_missing_labels_of_blocks_are_refused(tmp_path, config_for, rng):
    texts = [float("nan")] * 3 + [float(k // 4) for k in range(57)]
    with create_store(tmp_path / "store") as store:
        layers = {layer: rng.standard_normal((60, 5)) for layer in ("a", "b")}
        ids = [f"token {k}" for k in range(60)]
        columns = {"text": texts}
        store.write(model="m", step=0, layers=layers, example_ids=ids, example_columns=columns)
    with pytest.raises(SweepError, match=r"'text' of .* has no label for 3 of 60 examples"):
        plan_sweep(config_for(inference={"blocks": "text"}))


def test_the_file_and_the_plan(trained, config_for, tmp_path):
    path = tmp_path / "sweep.yaml"
    text = "store: store\noutput: out\ncompare: {within: [layer]}\ninference: "
    path.write_text(f"{text}{{level: 0.9}}\n")
    config = load_sweep(path)
    assert config.inference == Inference(level=0.9)
    assert (
        "p-values (two-sided) and calibrated similarities at level 0.9, intervals (20 folds)"
        in str(plan_sweep(config).facts())
    )
    path.write_text(f"{text}true\n")
    assert load_sweep(path).inference == Inference()
    path.write_text(f"{text}false\n")
    assert load_sweep(path).inference is None


def test_feature_corrected_is_an_estimator_of_sweeps(trained, config_for):
    rows = rows_of(
        run_sweep(config_for(within=["layer"], estimator="feature_corrected")).results_path
    )
    assert all(row["cka"] == row["feature_corrected"] for row in rows)


def test_a_gpu_is_refused_with_the_remedy(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(DeviceError, match="inference=True is computed on the CPU only, and device"):
        fastcka.compare([x, x + 1], inference=True, device="cuda")
    with pytest.raises(DeviceError, match="estimator 'feature_corrected' is computed on the CPU"):
        fastcka.cka(x, x, estimator="feature_corrected", device="cuda:0")
