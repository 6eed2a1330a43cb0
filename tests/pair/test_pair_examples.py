"""The summaries of a sweep's pairs when the models of a group have different examples."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastcka.errors import SweepError
from fastcka.store import create_store
from fastcka.sweep import plan_sweep, run_sweep
from fastcka.sweep.question.config import SweepConfig


@pytest.fixture
def sweep(tmp_path, no_figures):
    """Return a function that writes three models of 20 examples without the ids in ``lacking``."""

    def make(lacking, steps=(0,)):
        with create_store(tmp_path / "store") as store:
            for seed, model in enumerate("abc"):
                for step in steps:
                    rng = np.random.default_rng([seed, step])
                    missing = lacking.get((model, step), ())
                    ids = [str(number) for number in range(20) if number not in missing]
                    x = rng.normal(size=(len(ids), 4))
                    store.write(model=model, step=step, layers={"3": x}, example_ids=ids)
        return SweepConfig(
            store=tmp_path / "store",
            output=tmp_path / "out",
            compare={"within": ["layer", "step"]},
            export="pairs",
        )

    return make


def read_summary(config):
    return json.loads((config.output / "pairs/a_vs_b/layer3/summary.json").read_text())


@pytest.mark.parametrize("lacking", [{}, {("c", 0): (3, 7)}], ids=["same", "one lacks two"])
def test_the_summary_notes_that_the_group_has_fewer_examples(sweep, lacking):
    config = sweep(lacking)
    plan = plan_sweep(config)
    run_sweep(config)
    summary = read_summary(config)
    assert summary["n_cities"] == (18 if lacking else 20)
    left_out = {"not in every representation of the group": 2} if lacking else {}
    assert summary["dropped"] == {"exp1": left_out, "exp2": left_out}
    noted = any("all models of the sweep's group" in note for note in summary["notes"])
    assert noted == bool(lacking)
    assert ("all models of the sweep's group" in plan.facts()["pairs"]) == bool(lacking)


def test_a_timeline_of_varying_examples_is_refused_by_the_plan(sweep):
    config = sweep({("c", 1): (3, 7)}, steps=(0, 1))
    with pytest.raises(SweepError, match="20 at step 0, 18 at step 1"):
        plan_sweep(config)


def test_dropped_examples_are_counted_for_each_model(sweep):
    """b and c each lack one example, and the filter drops another."""
    config = sweep({("b", 0): (3,), ("c", 0): (7,)})
    run_sweep(config.model_copy(update={"examples": "id:^(?!9$)"}))
    summary = read_summary(config)
    assert summary["dropped"] == {
        "exp1": {"outside the filter": 1, "not in every representation of the group": 2},
        "exp2": {"outside the filter": 1, "not in every representation of the group": 1},
    }
