"""A sweep on a device gives the same table as on the CPU."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from fastcka.core.backend import cuda_runtime
from fastcka.core.cuda.runtime import CudaRuntime
from fastcka.errors import DeviceError, FailedGroupsError, InputError
from fastcka.store import create_store
from fastcka.sweep import plan_sweep, run_sweep
from fastcka.sweep.planning import memory
from fastcka.sweep.question.config import SweepConfig
from samples import related
from sweep.runs import rows_of

LAYERS = ("conv1", "conv2", "fc")
#: And the folder of the output.
DEVICES = (("cuda", "one"), ("cuda:all", "both"), ("cuda:all", "again"))


@pytest.fixture
def sweep(tmp_path, rng):
    """Four models of three layers; the examples of the last model are in another order."""
    ids = [f"example {index}" for index in range(90)]
    layers = [dict(zip(LAYERS, related(rng, 90, (5, 24, 70)), strict=True)) for _ in range(4)]
    with create_store(tmp_path / "store") as store:
        for seed, model_layers in enumerate(layers):
            order = np.arange(90) if seed < 3 else rng.permutation(90)
            store.write(
                model=f"m{seed}",
                step=10,
                layers={name: x[order] for name, x in model_layers.items()},
                example_ids=[ids[index] for index in order],
                factors={"seed": seed},
            )
    return SweepConfig(
        store=tmp_path / "store", output=tmp_path / "out", compare={"within": ["layer"]}
    )


def on(sweep, device, name):
    config = sweep.model_copy(update={"output": sweep.output.with_name(name)})
    return run_sweep(config, device=device)


def test_the_same_table_as_on_the_cpu(emulated, sweep):
    cpu_rows, cuda_rows = rows_of(on(sweep, "cpu", "cpu")), rows_of(on(sweep, "cuda", "cuda"))
    assert len(cpu_rows) == len(cuda_rows) == 18
    for cpu, cuda in zip(cpu_rows, cuda_rows, strict=True):
        assert cpu["device"] == "cpu"
        assert cuda["device"].startswith("cuda:0 ")
        assert (cpu["model_a"], cpu["layer_b"]) == (cuda["model_a"], cuda["layer_b"])
        for name in ("cka_biased", "cka_unbiased"):
            assert float(cpu[name]) == pytest.approx(float(cuda[name]), abs=1e-6)


def test_all_gpus_share_a_sweep(monkeypatch, emulated, sweep):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    tables = [rows_of(on(sweep, device, name)) for device, name in DEVICES]
    for rows in tables:
        for row in rows:
            del row["seconds"]
    one, both, again = tables
    assert both == again
    assert {row.pop("device") for row in both} == {f"cuda:{i} emulated device {i}" for i in (0, 1)}
    assert {row.pop("device") for row in one} == {"cuda:0 emulated device 0"}
    assert one == both


def test_a_gpu_that_fails_is_named_and_the_rest_can_be_computed_later(monkeypatch, emulated, sweep):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    session = cuda_runtime().session(1)

    def submit(*_arguments, **_options):
        raise DeviceError(f"{session.device}: it fell off the bus")

    with monkeypatch.context() as patch:
        patch.setattr(session, "submit", submit)
        with pytest.raises(DeviceError, match=r"^cuda:1 emulated device 1: it fell off the bus$"):
            run_sweep(sweep, device="cuda:all")
    result = run_sweep(sweep, device="cuda:all")
    assert (result.groups_reused, result.groups_computed) == (1, 2)


def test_the_memory_of_a_sweep_counts_the_groups_of_all_gpus(monkeypatch, emulated, sweep):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    monkeypatch.setattr(memory, "bytes_of_heatmap", lambda extent: 0)
    one = plan_sweep(sweep.model_copy(update={"device": "cuda"}))
    both = plan_sweep(sweep.model_copy(update={"device": "cuda:all"}))
    loaded = [group.bytes_loaded for group in both.groups]
    assert both.facts()["device"] == "cuda:all"
    # All three are in memory: four may be on their way, and one is read ahead. On one GPU, the peak
    # is at the second and third, when the values of the first are in memory in place of its data.
    values = (memory.RESULT_MATRICES + memory.COMMIT_MATRICES) * 8 * 4**2
    assert both.bytes_memory - one.bytes_memory == loaded[0] - values


def test_a_device_of_torch(monkeypatch, emulated, sweep):
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    fields = sweep.model_dump() | {"device": torch.device("cuda", 1)}
    assert SweepConfig(**fields).device == "cuda:1"
    rows = rows_of(run_sweep(sweep, device=torch.device("cuda", 1)))
    assert {row["device"] for row in rows} == {"cuda:1 emulated device 1"}
    with pytest.raises(InputError, match="device must be"):
        run_sweep(sweep, device=torch.device("meta"))


def test_the_others_are_computed_after_a_group_fails_on_the_device(emulated, sweep):
    with h5py.File(next(sweep.store.rglob("m1-*/10.h5")), "r+") as file:
        file["layers/1/x"][3, 1] = np.nan  # with valid checksums
    with pytest.raises(FailedGroupsError, match="1 group could not") as raised:
        run_sweep(sweep, device="cuda")
    assert list(raised.value.result.failed) == ["layer=conv2"]
    assert {row["layer_a"] for row in rows_of(raised.value.result)} == {"conv1", "fc"}


def test_the_plan_is_for_the_device(emulated, sweep):
    plan = plan_sweep(sweep.model_copy(update={"device": "cuda"}))
    assert plan.facts()["device"] == "cuda"
    assert "cuda:0" in plan.explain()


def test_a_sweep_for_a_device_is_planned_without_one(monkeypatch, sweep):
    runtime = CudaRuntime(None, "not built")
    monkeypatch.setattr("fastcka.core.device.cuda_runtime", lambda: runtime)
    config = sweep.model_copy(update={"device": "cuda"})
    device = plan_sweep(config).facts()["device"]
    assert device.startswith("cuda (")
    assert "not built" in device
    assert "for the CPU" in device
    with pytest.raises(DeviceError, match="not built"):
        run_sweep(config)
    assert not config.output.exists()
