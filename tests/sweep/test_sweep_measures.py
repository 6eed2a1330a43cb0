"""Measures besides CKA in sweeps: columns, the ledger, resume, shards, workers and the plan."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

import fastcka
from fastcka import Comparison, Measure
from fastcka.errors import FailedGroupsError, OutOfMemoryError, SweepConfigError, SweepError
from fastcka.store import create_store
from fastcka.sweep import Shard, load_sweep, plan_sweep, run_sweep
from sweep.runs import kinds_of, rows_of

pytestmark = pytest.mark.usefixtures("no_figures")
NAMES = ["rbf_cka", "mutual_knn", "cknna", "cknna_reference", "procrustes", "svcca", "pwcca"]


def expected(trained, row, measures):
    """The measures of a row's group, by `compare`, as (value of a with b, of b with a)."""
    keys = [key for key in trained if key[2] == row["layer"] and key[1] == int(row["step_a"])]
    result = fastcka.compare([trained[key] for key in keys], measures=measures)
    a, b = (keys.index((row[f"model_{s}"], int(row[f"step_{s}"]), row["layer"])) for s in "ab")
    return {name: (matrix[a, b], matrix[b, a]) for name, matrix in result.measures.items()}


def test_the_columns_are_those_of_comparisons(trained, config_for):
    # Not in the order of the columns.
    measures = [{"name": "pwcca", "allow_wide": True}, *NAMES[-2::-1], "cka"]
    config = config_for(within=["layer", "step"], measures=measures)
    result = run_sweep(config)
    rows = rows_of(result)
    # Layer "conv" has equal canonical correlations, between which PWCCA can weight in many ways.
    for row in [row for row in rows if row["layer"] == "fc"][:4]:
        for name, (value, reversed_value) in expected(trained, row, NAMES).items():
            assert float(row[name]) == pytest.approx(value, abs=1e-12), name
            if f"{name}_b" in row:
                assert float(row[f"{name}_b"]) == pytest.approx(reversed_value, abs=1e-12)
    assert {name for name in rows[0] if name.endswith("_b")} >= {"pwcca_b", "cknna_reference_b"}
    (first, *_) = sorted((config.output / "matrices").glob("*.npz"))
    saved = Comparison.load(first)
    assert list(saved.measures) == NAMES
    assert saved.provenance["measures"]["pwcca"]["allow_wide"] is True
    with closing(sqlite3.connect(config.output / "ledger.sqlite")) as db:
        ((value,),) = db.execute(
            "SELECT value FROM measures JOIN groups ON groups.id = group_id "
            "WHERE name = ? AND measure = 'pwcca' AND position_a = 1 AND position_b = 0",
            (rows[0]["group"],),
        )
    assert value == saved.measure("pwcca")[1, 0]


def test_another_measure_or_option_is_computed(trained, config_for):
    def computed(*measures):
        result = run_sweep(config_for(within=["layer"], measures=measures or ["cka"]))
        return result.groups_computed, set(rows_of(result)[0]) & {*NAMES}

    assert computed() == (2, set())
    assert computed("procrustes") == (2, {"procrustes"})
    assert computed("cka", "procrustes") == (0, {"procrustes"})
    assert computed("procrustes", "mutual_knn") == (2, {"procrustes", "mutual_knn"})
    assert computed("mutual_knn", "procrustes") == (0, {"procrustes", "mutual_knn"})
    assert computed("procrustes", {"name": "mutual_knn", "k": 5}) == (
        2,
        {"procrustes", "mutual_knn"},
    )
    assert computed() == (0, set())


def test_a_damaged_value_is_computed_again(trained, config_for, events):
    config = config_for(within=["layer"], measures=["procrustes"])
    before = rows_of(run_sweep(config))
    with closing(sqlite3.connect(config.output / "ledger.sqlite")) as db, db:
        db.execute("UPDATE measures SET value = 0.5 WHERE group_id = 1 AND position_a = 1")
    result = run_sweep(config, on_event=events.append)
    assert kinds_of(events).count("recomputing") == result.groups_computed == 1
    after = rows_of(result)
    assert [row["procrustes"] for row in after] == [row["procrustes"] for row in before]


def test_shards(trained, config_for, but_for_seconds):
    measures = ["procrustes", "pwcca"]
    config = config_for(within=["layer", "step"], steps=[0], measures=measures)
    shards = [run_sweep(config, shard=Shard(i, 2)) for i in (1, 2)]
    assert shards[1].written
    parts = but_for_seconds(shards[1].results_path)
    again = run_sweep(config)
    assert again.groups_computed == 0
    assert but_for_seconds(again.results_path) == parts


def test_local_workers_give_the_same_bits(trained, config_for, but_for_seconds):
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    tables = []
    for name, workers in (("here", None), ("there", 1)):
        config = config_for(within=["layer"], measures=["procrustes", "mutual_knn"])
        config = config.model_copy(update={"output": config.output / name})
        tables.append(but_for_seconds(run_sweep(config, workers=workers).results_path))
    assert tables[0] == tables[1]


def test_the_plan_names_them_and_their_cost(trained, config_for):
    config = config_for(within=["layer"], measures=["cka", Measure("mutual_knn", k=5), "svcca"])
    plan = plan_sweep(config)
    text = plan.facts()["measures"]
    assert text.startswith("mutual_knn (k=5), svcca (variance=0.99, allow_wide=False): about ")
    assert plan.to_dict()["measures"][1] == {"name": "mutual_knn", "k": 5}
    assert plan.seconds > plan_sweep(config_for(within=["layer"])).seconds
    assert "measures" not in plan_sweep(config_for(within=["layer"])).facts()


def test_a_gpu_is_refused(trained, config_for):
    with pytest.raises(
        SweepError, match=r"measures: .* CPU only, and device is 'cuda'.*cpu or auto"
    ):
        plan_sweep(config_for(within=["layer"], measures=["cka", "svcca"], device="cuda"))


def test_yaml(trained, tmp_path):
    file = tmp_path / "sweep.yaml"
    text = "store: store\noutput: out\ncompare: {within: [layer]}\nmeasures: "
    file.write_text(text + "[cka, {name: rbf_cka, bandwidth: median_squared, scale: 0.5}]\n")
    assert load_sweep(file).measures == (
        Measure("cka"),
        Measure("rbf_cka", bandwidth="median_squared", scale=0.5),
    )
    for value, message in [
        ("[procruste]", "measures: expected one of cka, .*; got 'procruste'"),
        ("[{name: cknna, k: 1}]", "measures: cknna: k: expected an integer of at least 2"),
        ("[]", "measures: expected at least one"),
        ("3", "measures: expected a list of names"),
    ]:
        file.write_text(f"{text}{value}\n")
        with pytest.raises(SweepConfigError, match=rf"sweep\.yaml: {message}"):
            load_sweep(file)


def test_a_factor_cannot_have_the_name_of_a_measure(tmp_path):
    with create_store(tmp_path / "store") as store, pytest.raises(Exception, match="pwcca"):
        store.write(model="m", step=0, layers={"a": np.ones((4, 2))}, factors={"pwcca": 1})


def test_groups_without_the_measure_are_named(tmp_path, config_for):
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "store") as store:
        for model in "ab":
            layers = {"wide": rng.standard_normal((20, 30)), "narrow": rng.standard_normal((20, 3))}
            store.write(
                model=model, step=0, layers=layers, example_ids=[f"i{i}" for i in range(20)]
            )
    with pytest.raises(FailedGroupsError, match=r"layer=wide.*allow_wide=True"):
        run_sweep(config_for(within=["layer"], measures=["pwcca"]))
    with pytest.raises(OutOfMemoryError, match="memory allows"):
        run_sweep(config_for(within=["layer"], measures=["procrustes"]), memory=1000)


N = 20
CONSTANT = "zero variance: no feature varies over the examples"
ZERO = (
    "1 of its examples are zero (the first at position 4), and have no neighbours by angle: leave "
    "them out of all representations"
)
MEDIAN = "the median distance between its examples is zero"
WIDE = "its Gaussian kernel is constant: the bandwidth is too large for it"
SELF = "its similarity with itself is not positive"


def usual():
    return np.random.default_rng(0).standard_normal((N, 3))


def constant():
    return np.ones((N, 3))


def with_a_zero_example():
    return np.where(np.arange(N)[:, None] == 4, 0, usual())


def mostly_equal():
    return np.where(np.arange(N)[:, None] < 18, 1, usual())


def orthogonal():
    """Examples e_1 to e_n: the neighbours are at right angles, so their cosines are 0."""
    return np.eye(N)


@pytest.mark.parametrize(
    ("values", "measures", "why"),
    [
        (
            constant,
            [*NAMES[:-2], {"name": "svcca", "allow_wide": True}, {"name": NAMES[-1]}],
            f"b: {CONSTANT}; {', '.join(NAMES)} of b: {CONSTANT}",
        ),
        (with_a_zero_example, NAMES[1:4], f"{', '.join(NAMES[1:4])} of b: {ZERO}"),
        (mostly_equal, ["procrustes", "rbf_cka"], f"rbf_cka of b: {MEDIAN}"),
        (usual, [{"name": "rbf_cka", "bandwidth": 1e200}], f"rbf_cka of a: {WIDE}; rbf_cka of b: "),
        (orthogonal, ["mutual_knn", "cknna_reference"], f"cknna_reference of b: {SELF}"),
        (usual, NAMES, ""),
    ],
)
def test_the_table_contains_why_values_are_undefined(tmp_path, config_for, values, measures, why):
    with create_store(tmp_path / "store") as store:
        for model, layer in {"a": usual(), "b": values()}.items():
            ids = [f"i{i}" for i in range(N)]
            store.write(model=model, step=0, layers={"l": layer}, example_ids=ids)
    config = config_for(measures=["cka", *measures], estimator="biased")
    for _ in ("computed", "from the ledger"):
        result = run_sweep(config)
        (row,) = rows_of(result)
        if why.endswith(" "):
            assert row["undefined"].startswith(why)
        else:
            assert row["undefined"] == why
        for name in result_names(measures):
            assert (row[name] == "nan") == (name in why), name
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra formats is not installed")
    (text,) = parquet.read_table(config.output / "results.parquet")["undefined"].to_pylist()
    assert text == row["undefined"]


def result_names(measures):
    return [measure if isinstance(measure, str) else measure["name"] for measure in measures]


def test_undefined_measures_are_reported(tmp_path, config_for, events):
    x = np.random.default_rng(0).standard_normal((20, 3))
    with create_store(tmp_path / "store") as store:
        for model, values in (("a", x), ("b", np.where(np.arange(20)[:, None] == 4, 0, x))):
            store.write(
                model=model,
                step=0,
                layers={"l": values},
                example_ids=[f"i{i}" for i in range(20)],
            )
    result = run_sweep(config_for(measures=["mutual_knn"]), on_event=events.append)
    (message,) = [event.message for event in events if event.kind == "undefined"]
    assert "mutual_knn: 1 of its examples are zero" in message
    assert rows_of(result)[0]["mutual_knn"] == "nan"
    assert float(rows_of(result)[0]["cka"]) > 0.5
