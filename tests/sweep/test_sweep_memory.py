"""The memory that a plan predicts, compared with the peak of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fastcka
from child_memory import MIB, output_of
from fastcka.errors import OutOfMemoryError
from fastcka.memory import FreeMemory
from fastcka.store import create_store
from fastcka.sweep import plan_sweep, run_sweep
from fastcka.sweep.planning.memory import LIBRARY_BYTES, memory_of

MEASURE = """
    from fastcka.sweep import SweepConfig, run_sweep
    from fastcka.sweep.planning.memory import SweepMemory

    measured = {}
    require = SweepMemory.require

    def begin(self, *allowed):
        require(self, *allowed)
        reset_peak()
        measured.update(before=memory("VmRSS"), predicted=self.bytes)

    SweepMemory.require = begin
    options = json.loads(sys.argv[1])
    threads = options.pop("threads")
    run_sweep(SweepConfig.model_validate(options), threads=threads)
    print(json.dumps([measured["predicted"], memory("VmHWM") - measured["before"]]))
"""


@pytest.fixture
def sweep(tmp_path):
    """Return a function that writes a store of random numbers and gives the fields of a sweep."""

    def make(models, n, d, layers, dtype="float32", **fields):
        rng = np.random.default_rng(0)
        with create_store(tmp_path / "store") as store:
            for model in range(models):
                arrays = {
                    f"l{layer}": rng.standard_normal((n, d)).astype(dtype)
                    for layer in range(layers)
                }
                store.write(model=f"m{model}", step=0, layers=arrays)
        return {
            "store": str(tmp_path / "store"),
            "output": str(tmp_path / "out"),
            "compare": {"within": ["layer"]},
            "device": "cpu",
            **fields,
        }

    return make


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        # Groups that are computed alone: arrays of 78 MiB, centred in place, and one read ahead.
        ((20, 2000, 512, 3), {}),
        # The same in float64, with a centred copy.
        ((10, 2000, 512, 3, "float64"), {"precision": "float64"}),
        # Small groups, in flights.
        ((6, 500, 100, 60), {"threads": 4}),
        # Padded widths: 5 features take the space of 16.
        ((20, 60000, 5, 2), {}),
        # Many representations: matrices, rows and a figure.
        ((500, 50, 4, 1), {}),
    ],
    ids=["alone", "float64", "flights", "padded", "many"],
)
def test_the_prediction_is_no_less_than_the_peak(sweep, capsys, shape, options):
    fields = sweep(*shape) | {"threads": 2} | options
    predicted, peak = json.loads(output_of(MEASURE, json.dumps(fields)))
    with capsys.disabled():
        print(f"\n  predicted {predicted / MIB:.0f} MiB, peak {peak / MIB:.0f} MiB", end="")
    assert peak <= predicted <= 1.6 * peak + LIBRARY_BYTES


def test_the_prediction_adds_up(sweep, config_for):
    """Two groups of 3 x (2000, 700) float32, by hand."""
    fields = sweep(3, 2000, 700, 2)
    plan = plan_sweep(
        config_for(within=["layer"], device="cpu", output=fields["output"]), threads=2
    )
    first, second = plan.groups
    arrays = (
        3 * (2000 * 704 + 16) * 4
    )  # rows are padded to whole cache lines; 2000 is a multiple of 16
    assert first.bytes_loaded == second.bytes_loaded == arrays
    results = 2 * 3 * 2000 * 8 + 2 * 9 * 8 + 14 * 9 * 8
    computing = 2 * arrays + first.pass_plan.bytes_workspace + results
    assert plan.bytes_memory == LIBRARY_BYTES + computing
    alone = memory_of([second], 2)
    assert alone.bytes == LIBRARY_BYTES + computing - arrays
    assert alone.group is second
    assert memory_of([], 2) is None


def test_a_plan_predicts_for_the_requested_threads(sweep, config_for, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    sweep(6, 500, 100, 60)
    config = config_for(within=["layer"], device="cpu")
    few, many = plan_sweep(config), plan_sweep(config, threads=8)
    assert (few.threads, many.threads) == (1, 8)
    assert many.bytes_memory > few.bytes_memory
    assert plan_sweep(config, threads=1).bytes_memory == few.bytes_memory
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert plan_sweep(config).bytes_memory == many.bytes_memory


@pytest.fixture
def little(monkeypatch):
    """Let 0.1 GB be free."""
    monkeypatch.setattr("fastcka.memory.free_memory", lambda: FreeMemory(10**8, "on this machine"))
    monkeypatch.setattr(
        "fastcka.sweep.planning.memory.free_memory", lambda: FreeMemory(10**8, "on this machine")
    )


def test_a_run_that_does_not_fit_is_refused(sweep, config_for, no_figures, little):
    sweep(3, 2000, 700, 1)
    config = config_for(within=["layer"], device="cpu")
    with pytest.raises(OutOfMemoryError) as raised:
        run_sweep(config)
    message = str(raised.value)
    plan = plan_sweep(config)
    assert plan.bytes_memory > LIBRARY_BYTES + 3 * 2000 * 700 * 4  # the arrays
    needed = f"needs {plan.bytes_memory / 1e6:.0f} MB, "
    assert f"group 'layer=l0' (3 representations of 2,000 examples), {needed}" in message
    assert "100 MB are free (on this machine)" in message
    assert "compare.within" in message
    assert "--no-memory-check" in message
    assert not (config.output / "results.csv").exists()
    with fastcka.memory_check(False):
        assert run_sweep(config).comparisons == 3
    # Nothing is left to compute, so nothing is refused.
    assert run_sweep(config).groups_reused == 1


def test_the_suggested_precision_needs_less_memory(sweep, config_for, little):
    sweep(3, 2000, 700, 1, "float64")
    config = config_for(within=["layer"], device="cpu", precision="float64")
    with pytest.raises(OutOfMemoryError, match="precision: high"):
        run_sweep(config)
    high = config.model_copy(update={"precision": "high"})
    assert plan_sweep(high).bytes_memory < plan_sweep(config).bytes_memory
