"""Sweeps whose groups are read in blocks of rows, because a memory budget asks for it."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from fastcka.errors import CorruptFileError, FailedGroupsError, InputError, OutOfMemoryError
from fastcka.memory import memory_check
from fastcka.store import create_store
from fastcka.sweep import plan_sweep, run_sweep
from fastcka.sweep.planning.memory import LIBRARY_BYTES

N = 6000
#: Beyond the libraries, 10 MB are for figures.
MEMORY = LIBRARY_BYTES + 12_000_000
COLUMNS = ("cka", "cka_biased", "hsic_unbiased", "z", "feature_corrected")


@pytest.fixture
def store(tmp_path, rng):
    """Four models with two layers; one has its examples in another order, and others."""
    signal = rng.standard_normal((N + 10, 5))
    with create_store(tmp_path / "store") as store:
        for model in range(4):
            rows = np.arange(N) if model != 2 else np.arange(10, N + 10)[::-1]
            layers = {
                name: signal[rows] @ rng.standard_normal((5, d)) + rng.standard_normal((N, d))
                for name, d in (("a", 96), ("b", 40))
            }
            store.write(
                model=f"m{model}",
                step=0,
                layers={name: x.astype("f4") for name, x in layers.items()},
                example_ids=[f"e{row}" for row in rows],
            )
        yield store


def table(result):
    with result.results_path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_results_are_those_of_a_run_in_memory(store, config_for, tmp_path, no_figures):
    fields = {"within": ["layer"], "device": "cpu", "precision": "float64"}
    expected = table(run_sweep(config_for(**fields)))
    config = config_for(**fields, output=tmp_path / "blocks")
    plan = plan_sweep(config, memory=MEMORY)
    assert [plan.to_dict()["group_plans"][0][name] for name in ("in_blocks", "reads")] == [True, 1]
    assert plan.facts()["in blocks"].startswith("2 of 2 groups, which would not fit into memory")
    assert "in blocks of" in plan.explain()
    rows = table(run_sweep(config, memory=MEMORY))
    assert len(rows) == 12
    for row, wanted in zip(rows, expected, strict=True):
        assert row["n_examples"] == wanted["n_examples"] == str(N - 10)
        for name in COLUMNS:
            assert float(row[name]) == pytest.approx(float(wanted[name]), rel=1e-9)
    # The ledger has the values, whatever the memory of a later run.
    assert run_sweep(config).groups_reused == 2


def test_a_budget_that_suffices(store, config_for):
    config = config_for(within=["layer"], device="cpu")
    assert "in blocks" not in plan_sweep(config, memory="1GB").facts()
    assert "in blocks" not in plan_sweep(config).facts()


def test_a_budget_that_is_too_small(store, config_for, no_figures):
    config = config_for(within=["layer"], device="cpu")
    with pytest.raises(OutOfMemoryError, match=r"and memory allows 50 MB: .*; a larger memory"):
        run_sweep(config, memory="50MB")
    with memory_check(False), pytest.raises(OutOfMemoryError, match="memory allows"):
        run_sweep(config, memory="50MB")
    with pytest.raises(InputError, match="memory: expected a number of bytes"):
        run_sweep(config, memory="much")


def test_a_group_that_cannot_be_read_does_not_stop_the_others(
    store, config_for, no_figures, monkeypatch
):
    from fastcka.store.rows import StoredRows

    read = StoredRows.read

    def failing(self, start, stop):
        if self.key.model == "m1" and self.key.layer == "a" and start > 0:
            raise CorruptFileError("m1/0.h5: the checksum does not match")
        return read(self, start, stop)

    monkeypatch.setattr(StoredRows, "read", failing)
    with pytest.raises(FailedGroupsError) as raised:
        run_sweep(config_for(within=["layer"], device="cpu"), memory=MEMORY)
    failed = dict(raised.value.result.failed)
    assert failed == {"layer=a": "m1/0.h5: the checksum does not match"}
    assert raised.value.result.groups_computed == 1
