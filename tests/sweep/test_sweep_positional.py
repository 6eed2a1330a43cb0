"""Rows without ids are matched only with equally many rows without ids."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

import fastcka
import oracle
from fastcka.capture import Probe, capture_representations
from fastcka.errors import InputError, SweepError
from fastcka.pair import PairConfig, run_pair
from fastcka.store import Key, create_store, import_tree, open_store
from fastcka.sweep import plan_sweep, run_sweep
from sweep.runs import rows_of

N = 20
FULL = np.random.default_rng(0).standard_normal((N, 4))
SHORT = np.delete(FULL, 0, axis=0)  # a model that could not read the first image
NAMES = [f"img{row}" for row in range(N)]


def write(folder, **models):
    """Write models of one layer: name -> arguments of `Store.write`."""
    with create_store(folder / "store", exist_ok=True) as store:
        for name, (rows, given) in models.items():
            store.write(model=name, step=1, layers={"l": rows}, **given)


def pair_of(folder, one="a", other="b", **fields):
    sides = {
        f"exp{number}": {"name": name, "repr_dir": folder / "store"}
        for number, name in ((1, one), (2, other))
    }
    document = {
        **sides,
        "layer": "l",
        "checkpoint_steps": None,
        "use_final_only": True,
        "city_filter": None,
        "kernel_type": "linear",
        "center_kernels": True,
        "use_gpu": False,
        "save_timeline_plot": False,
        "output_dir": folder / "pair",
    }
    return PairConfig.model_validate(document | fields)


DIGITS = {"digit": list(range(N))}
SAME_TEXT = [str(row) for row in range(N)]
REFUSED = {
    "another n": (
        (FULL, {}),
        (SHORT, {}),
        {},
        ("20 rows are named by position", "19 rows, also named by position"),
    ),
    "ids of another text": (
        (FULL, {}),
        (FULL, {"example_ids": NAMES}),
        {},
        ("20 rows are named by position", "20 rows, named by ids"),
    ),
    "ids of the same text": (
        (FULL, {}),
        (FULL, {"example_ids": range(N)}),
        {},
        ("20 rows are named by position", "20 rows, named by ids"),
    ),
    "ids that are shuffled": (
        (FULL, {"example_ids": np.random.default_rng(1).permutation(N)}),
        (FULL, {}),
        {},
        ("20 rows are named by position", "20 rows, named by ids"),
    ),
    "another n under a filter": (
        (FULL, {"example_columns": DIGITS}),
        (SHORT, {"example_columns": {"digit": list(range(1, N))}}),
        {"examples": "digit:^1[0-9]$"},
        ("20 rows are named by position", "19 rows, also named by position"),
    ),
    "ids under a filter": (
        (FULL, {"example_columns": DIGITS}),
        (FULL, {"example_columns": DIGITS, "example_ids": range(N)}),
        {"examples": "id:^1[0-9]$"},
        ("20 rows are named by position", "20 rows, named by ids"),
    ),
    "another order, as the filter's column shows": (
        (FULL, {"example_columns": DIGITS}),
        (FULL[::-1], {"example_columns": {"digit": list(range(N))[::-1]}}),
        {"examples": "digit:^1[0-7]$"},
        ("matched by position", "keeps row"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unmatched_positions_are_refused_by_plan_run_and_pair(tmp_path, config_for, name):
    one, other, fields, parts = REFUSED[name]
    write(tmp_path, a=one, b=other)
    config = config_for(within=["layer"], **fields)
    pair = pair_of(tmp_path, city_filter=fields.get("examples"))
    for error, run in (
        (SweepError, lambda: plan_sweep(config)),
        (SweepError, lambda: run_sweep(config)),
        (InputError, lambda: run_pair(pair)),
    ):
        with pytest.raises(error) as raised:
            run()
        message = str(raised.value)
        for part in (*parts, "example_ids in Store.write", "ids in Probe", "ids.txt"):
            assert part in message
        if "named by position" in message:
            assert all(model in message for model in ("model 'a'", "model 'b'"))
    assert not (tmp_path / "out" / "results.csv").exists()
    assert not (tmp_path / "pair").exists()


def test_positions_of_equally_many_rows_are_matched_and_reported(tmp_path, config_for):
    other = np.random.default_rng(2).standard_normal((N, 3))
    write(tmp_path, a=(FULL, {}), b=(other, {}))
    config = config_for(within=["layer"])
    plan = plan_sweep(config)
    assert "no ids in 1 of 1 groups: rows matched by position" in plan.facts()["examples"]
    assert [group["positional_ids"] for group in plan.to_dict()["group_plans"]] == [True]
    (row,) = rows_of(run_sweep(config))
    expected = oracle.cka(FULL, other, "unbiased")
    assert float(row["cka_unbiased"]) == pytest.approx(expected, abs=1e-6)
    run = run_pair(pair_of(tmp_path))
    assert run.summary["notes"] == ["the examples have no ids: rows are matched by position"]


def test_ids_that_look_like_positions_are_matched(tmp_path, config_for):
    write(
        tmp_path,
        a=(FULL, {"example_ids": range(N)}),
        b=(SHORT, {"example_ids": np.arange(1, N)}),
    )
    config = config_for(within=["layer"])
    assert "position" not in plan_sweep(config).facts()["examples"]
    (row,) = rows_of(run_sweep(config))
    assert float(row["cka_unbiased"]) == pytest.approx(1, abs=1e-6)
    assert (row["n_examples"], row["n_dropped"]) == ("19", "1")


def test_a_mixed_group_is_refused_until_the_model_is_excluded(tmp_path, config_for):
    write(tmp_path, a=(FULL, {}), b=(FULL, {}), c=(SHORT, {}))
    with pytest.raises(SweepError, match=r"'c'.*19 rows.*exclude"):
        plan_sweep(config_for(within=["layer"]))
    plan_sweep(config_for(within=["layer"], exclude={"model": "c"}))


def unmarked(path, model):
    """Remove the mark, which older versions of fastcka and other programs do not write."""
    with open_store(path / "store") as store:
        file = store.info(Key(model, 1, "l")).path
    with h5py.File(file, "r+") as opened:
        del opened["examples/id"].attrs["positional"]


def test_a_file_without_the_mark(tmp_path, config_for, as_format_1_0):
    """Without the mark, "0" to "n-1" in order count as positions, other texts as ids."""
    write(
        tmp_path,
        range=(FULL, {"example_ids": range(N)}),
        turned=(FULL, {"example_ids": list(range(N))[::-1]}),
        names=(FULL, {"example_ids": NAMES}),
        none=(FULL, {}),
    )
    for path in (tmp_path / "store" / "models").rglob("*.h5"):
        as_format_1_0(path)
    for model in ("range", "turned", "names", "none"):
        unmarked(tmp_path, model)
    with open_store(tmp_path / "store") as store:
        marks = {key.model: store.info(key).positional_ids for key in store.keys()}
        assert marks == {"names": False, "none": True, "range": True, "turned": False}
        assert store.examples(Key("range", 1, "l")).positional_ids
        assert all(finding.ok for finding in store.verify())
    plan_sweep(config_for(within=["layer"], select={"model": ["range", "none"]}))
    with pytest.raises(SweepError, match="named by position"):
        plan_sweep(config_for(within=["layer"], select={"model": ["range", "turned"]}))


def test_the_index_remembers_the_mark(tmp_path):
    with create_store(tmp_path / "store") as store:
        for step in range(20):  # enough files for an index
            given = {} if step % 2 else {"example_ids": NAMES}
            store.write(model="m", step=step, layers={"l": FULL}, **given)
        store.keys()
    assert (tmp_path / "store" / "index.sqlite").exists()
    with open_store(tmp_path / "store") as store:
        marks = [store.info(key).positional_ids for key in store.keys()]
    assert marks == [bool(step % 2) for step in range(20)]


def test_a_probe_without_ids_marks_what_it_writes(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    x = FULL.astype(np.float32)
    probes = {"array": x, "none": Probe(x), "range": Probe(x, range(N)), "names": Probe(x, NAMES)}
    with create_store(tmp_path / "store") as store:
        for name, probe in probes.items():
            capture_representations(
                model, probe, layers=["0"], store=store, model_name=name, step=0
            )
        marks = {key.model: store.info(key).positional_ids for key in store.keys()}
        assert marks == {"array": True, "names": False, "none": True, "range": False}
        # Given ids are not positions, even with equal texts: the rows must be written again.
        with pytest.raises(fastcka.errors.KeyExistsError, match="other probe"):
            capture_representations(
                model, probes["range"], layers=["0"], store=store, model_name="none", step=0
            )


def test_an_import_without_ids_marks_what_it_writes(tmp_path, config_for):
    for model, rows in (("a", FULL), ("b", SHORT)):
        (tmp_path / "tree" / model / "1").mkdir(parents=True)
        np.save(tmp_path / "tree" / model / "1" / "l.npy", rows)
    import_tree(tmp_path / "tree", tmp_path / "store")
    with pytest.raises(SweepError, match="20 rows are named by position"):
        plan_sweep(config_for(within=["layer"]))
    # Lists of ids next to the arrays match the same images.
    (tmp_path / "tree/a/ids.txt").write_text("\n".join(NAMES))
    (tmp_path / "tree/b/ids.txt").write_text("\n".join(NAMES[1:]) + "\n")
    import_tree(tmp_path / "tree", tmp_path / "store", overwrite=True)
    (row,) = rows_of(run_sweep(config_for(within=["layer"])))
    assert float(row["cka_unbiased"]) == pytest.approx(1, abs=1e-6)
    assert (row["n_examples"], row["n_dropped"]) == ("19", "1")
