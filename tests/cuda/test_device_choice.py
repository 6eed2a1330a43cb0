"""The device of a comparison, and what the result reports about it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastcka
from fastcka.core import CudaPlan, PassPlan, cost, device, plan_pass
from fastcka.core.backend import IMPLEMENTATION_VARIABLE, cuda_runtime
from fastcka.errors import DeviceError, InputError
from samples import related


@pytest.fixture
def xs(rng):
    return related(rng, 100, (20, 30))


@pytest.fixture
def slow_cpu(monkeypatch):
    """Predict hours for the CPU."""
    monkeypatch.setattr(cost, "CALL_SECONDS", 1e4)


def ran_on(xs, **options):
    provenance = fastcka.compare(xs, **options).provenance
    return provenance["device"], provenance["device_reason"]


def test_a_requested_device(emulated, xs):
    assert ran_on(xs, device="cpu") == ("cpu", "it was asked for")
    for name in ("cuda", "cuda:0"):
        assert ran_on(xs, device=name) == ("cuda:0 emulated device 0", "it was asked for")


def test_auto_takes_the_cpu_for_small_problems(emulated, xs):
    where, why = ran_on(xs)
    assert where == "cpu"
    assert why == "the pass is too small for a GPU"
    assert not cuda_runtime().started


def test_auto_takes_the_gpu_where_it_is_predicted_to_be_faster(emulated, xs, slow_cpu):
    where, why = ran_on(xs)
    assert where == "cuda:0 emulated device 0"
    assert "s are predicted for the CPU, 1 s for cuda:0 emulated" in why
    assert "0.005 s for cuda:0" in ran_on(xs)[1]  # CUDA is started


def test_auto_counts_the_start_of_cuda(emulated, xs, monkeypatch):
    monkeypatch.setattr(cost, "CALL_SECONDS", 0.5)
    assert plan_pass(100, [20, 30]).seconds == pytest.approx(0.5, rel=0.01)
    assert ran_on(xs)[0] == "cpu"
    cuda_runtime().session(0)
    assert ran_on(xs)[0] == "cuda:0 emulated device 0"


def test_auto_reports_why_no_gpu_was_used(emulated, xs, slow_cpu, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "0")
    where, why = ran_on(xs)
    assert where == "cpu"
    assert why.startswith("no GPU can be used: CUDA finds no device: cudaErrorNoDevice")


def test_provenance_of_a_pass_on_a_device(emulated, xs, monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    provenance = fastcka.compare(xs, device="cuda", precision="fast").provenance
    made = plan_pass(100, [20, 30], precision="fast", device="cuda")
    assert isinstance(made, CudaPlan)
    for name in ("route", "tile", "chunk", "rank_chunk", "precision", "products", "flops"):
        assert provenance[name] == getattr(made, name)
    assert provenance["implementation"] == "cuBLAS 99.99.99"
    assert provenance["overrides"] == {"NVIDIA_TF32_OVERRIDE": "1"}
    assert provenance["plan"] == made.explain()
    assert provenance["seconds"] > 0


def test_the_result_can_be_saved(emulated, xs, tmp_path):
    result = fastcka.compare(xs, device="cuda")
    result.save(tmp_path / "r.npz")
    assert fastcka.Comparison.load(tmp_path / "r.npz").provenance == result.provenance


def test_fast_where_nothing_is_faster_is_high_and_reported(rng, monkeypatch):
    xs = related(rng, 300, (200, 300))  # smaller passes take float64 products anyway
    monkeypatch.setenv(IMPLEMENTATION_VARIABLE, "portable")
    fast, high = (fastcka.compare(xs, device="cpu", precision=p) for p in ("fast", "high"))
    np.testing.assert_array_equal(fast.unbiased, high.unbiased)
    assert fast.provenance["precision"] == "fast"
    assert "precision fast is high here: portable has nothing faster" in fast.provenance["plan"]
    assert "fast" not in high.provenance["plan"]


def test_plans_by_shape(emulated, slow_cpu):
    assert isinstance(plan_pass(100, [20, 30]), PassPlan)
    assert isinstance(plan_pass(100, [20, 30], device="auto"), CudaPlan)
    made = plan_pass(100, [20, 30], device="cuda", dtype=["float64", "bfloat16"])
    assert made.bytes_inputs == 100 * (20 * 8 + 30 * 2)
    assert min(made.bytes_centered, made.bytes_workspace, made.bytes_results) > 0
    with pytest.raises(DeviceError, match="no such device"):
        plan_pass(100, [20, 30], device="cuda:7")
    with pytest.raises(InputError, match="got 'gpu'"):
        plan_pass(100, [20, 30], device="gpu")


def test_nothing_of_cuda_is_imported_for_small_problems():
    code = """
        import sys, numpy as np, fastcka
        x = np.random.default_rng(0).standard_normal((300, 20))
        for device in ("auto", "cpu"):
            fastcka.cka(x, x**3, device=device)
        assert not {"cupy", "fastcka._cuda"} & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


def test_overheads_are_small_compared_with_the_passes_they_decide():
    assert 0 < device.OVERHEAD_SECONDS < device.START_SECONDS
