"""plan, run, cka and pair refuse what does not fit into memory, unless the check is off."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.memory import FreeMemory
from fastcka.store import create_store
from fastcka.sweep.planning.memory import LIBRARY_BYTES

LITTLE = FreeMemory(10**8, "on this machine")
#: Beyond the libraries, less than the group of `sweep` takes.
MEMORY = f"{LIBRARY_BYTES // 10**6 + 14}MB"


@pytest.fixture
def little(monkeypatch):
    """Report 0.1 GB of free memory."""
    for module in ("memory", "sweep.planning.memory", "sweep.planning.plan"):
        monkeypatch.setattr(f"fastcka.{module}.free_memory", lambda: LITTLE)


@pytest.fixture
def sweep(tmp_path):
    """A sweep over a store; its only group takes 17 MB."""
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "store") as store:
        for model in "abc":
            store.write(
                model=model, step=0, layers={"fc": rng.standard_normal((2000, 700), np.float32)}
            )
    path = tmp_path / "sweep.yaml"
    path.write_text("store: store\noutput: out\ncompare: {within: [layer]}\ndevice: cpu\n")
    return path


def test_plan_shows_the_plan_and_refuses(call, sweep, little, strict_json):
    done = call("plan", sweep)
    assert done.exit_code == 1
    assert "memory" in done.stdout
    assert "MB, 100 MB are free (on this machine)" in done.stdout
    assert done.stderr.startswith("error: the sweep, at group 'layer=fc' (3 representations of")
    answer = call("plan", sweep, "--json")
    assert answer.exit_code == 1
    plan = strict_json(answer.stdout)
    assert plan["bytes_memory"] > plan["bytes_free"] > 0
    done = call("plan", sweep, "--no-memory-check")
    assert (done.exit_code, done.stderr) == (0, "")


def test_plan_takes_threads(call, sweep, strict_json):
    one, many = (
        strict_json(call("plan", sweep, "--json", "--threads", threads).stdout)["bytes_memory"]
        for threads in (1, 16)
    )
    assert one < many


def test_run_refuses_unless_the_check_is_off(call, sweep, little):
    done = call("run", sweep)
    assert done.exit_code == 1
    assert "100 MB are free" in done.stderr
    assert call("run", sweep, "--no-memory-check").exit_code == 0
    # Groups in the ledger need no memory.
    assert call("run", sweep).exit_code == 0
    done = call("plan", sweep)
    assert done.exit_code == 0
    assert "nothing to compute" in done.stdout


@pytest.mark.parametrize("suffix", ["npy", "h5", "npz"])
def test_cka_reads_in_blocks_what_does_not_fit(call, tmp_path, little, suffix):
    path = tmp_path / f"x.{suffix}"
    x = np.zeros((1 << 16, 256), np.float64)  # 134 MB
    x[:, 0] = np.arange(len(x))
    if suffix == "npy":
        np.save(path, x)
    elif suffix == "npz":
        np.savez(path, x=x)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file["x"] = x
    done = call("cka", path, path)
    if suffix == "npz":  # read at once
        assert done.exit_code == 1
        assert f"reading {path}" in done.stderr
        assert "needs 134 MB, 100 MB are free" in done.stderr
        done = call("cka", path, path, "--no-memory-check")
    else:
        assert "in blocks of rows, once" in done.stdout
    assert done.exit_code == 0
    assert "1.000000" in done.stdout


def test_pair_refuses_a_gaussian_kernel_that_does_not_fit(call, tmp_path, little):
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "store") as store:
        for model in "ab":
            store.write(model=model, step=0, layers={"fc": rng.standard_normal((4500, 3))})
    config = tmp_path / "pair.yaml"
    side = f"repr_dir: {tmp_path}/store"
    config.write_text(
        f"exp1: {{name: a, {side}}}\nexp2: {{name: b, {side}}}\nlayer: fc\nkernel_type: rbf\n"
        f"output_dir: {tmp_path}/out\n"
    )
    done = call("pair", config)
    assert done.exit_code == 1
    # 4500 * 4499 / 2 distances, and two panels of 512 x 4500, all in float64.
    assert "comparing 4,500 examples by Gaussian kernels needs 118 MB" in done.stderr
    assert "100 MB are free" in done.stderr
    assert call("pair", config, "--no-memory-check").exit_code == 0


def test_a_budget_is_kept_by_blocks_of_rows(call, tmp_path, strict_json):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((20_000, 3)) @ rng.standard_normal((3, 30))
    paths = tmp_path / "x.npy", tmp_path / "y.npy"
    for path, factor in zip(paths, (1, 2), strict=True):
        np.save(path, x + factor * rng.standard_normal(x.shape))
    plain = strict_json(call("cka", *paths, "--json", "--precision", "float64").stdout)
    assert plain["reads"] is None
    assert plain["p_value"] is not None
    done = call("cka", *paths, "--json", "--memory", "1MB")
    assert (done.exit_code, done.stderr) == (0, "")
    answer = strict_json(done.stdout)
    assert (answer["reads"], answer["route"], answer["p_value"]) == (1, "F", None)
    for name in ("cka", "cka_biased", "z", "feature_corrected"):
        assert answer[name] == pytest.approx(plain[name], rel=1e-11)
    shown = call("cka", *paths, "--memory", "1MB").stdout
    assert "in blocks of rows, once" in shown
    assert "float64 products" in shown
    assert "p-value not computed" in shown
    refused = call("cka", *paths, "--memory", "1MB", "--p-value")
    assert refused.exit_code == 1
    assert "error: comparing 2 representations of 20,000 examples with p-values" in refused.stderr
    for command in (["cka", *paths], ["plan", tmp_path / "none.yaml"]):
        assert call(*command, "--memory", "lots").exit_code == 2


def test_plan_says_which_groups_are_read_in_blocks(call, sweep, strict_json):
    shown = call("plan", sweep, "--memory", MEMORY)
    assert shown.exit_code == 0
    assert "in blocks" in shown.stdout
    (group,) = strict_json(call("plan", sweep, "--memory", MEMORY, "--json").stdout)["group_plans"]
    assert group["in_blocks"]
    assert group["route"] == "G"
    assert group["reads"] > 1
    assert call("run", sweep, "--memory", MEMORY).exit_code == 0
