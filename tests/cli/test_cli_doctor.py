"""``fastcka doctor``: its output describes the machine."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import version


def test_json(shell, strict_json):
    done = shell("doctor", "--json")
    assert done.returncode == 0
    report = strict_json(done.stdout)
    assert report["libraries"]["numpy"] == version("numpy")
    assert report["libraries"]["h5py"] == version("h5py")
    assert report["extras"]["torch"]["torch"] == version("torch")
    cpu = report["cpu"]
    assert cpu["implementation"] in cpu["implementations"]
    assert cpu["threads"] == len(os.sched_getaffinity(0))
    cuda = report["cuda"]
    assert cuda["built"] is (importlib.util.find_spec("fastcka._cuda") is not None)
    assert cuda["usable"] is (cuda["reason"] is None)
    assert cuda["usable"] <= cuda["built"]


def test_threads_and_the_source_of_their_number(shell, strict_json):
    report = strict_json(shell("doctor", "--json", OMP_NUM_THREADS="3").stdout)
    assert report["cpu"]["threads"] == 3
    assert "OMP_NUM_THREADS" in report["cpu"]["threads_source"]


def test_the_implementation_and_its_source(shell, strict_json):
    chosen = strict_json(shell("doctor", "--json").stdout)["cpu"]
    assert chosen["implementation"] == chosen["implementations"][0]
    last = chosen["implementations"][-1]
    forced = strict_json(shell("doctor", "--json", FASTCKA_IMPLEMENTATION=last).stdout)["cpu"]
    assert (forced["implementation"], forced["implementation_source"]) == (
        last,
        "FASTCKA_IMPLEMENTATION",
    )


def test_an_hdf5_with_open_vulnerabilities_is_a_warning(call, strict_json, monkeypatch):
    cases = (((2, 0, 0), True), ((1, 14, 6), True), ((2, 2, 0), False), ((2, 10, 0), False))
    for hdf5, warned in cases:
        monkeypatch.setattr("fastcka.store.HDF5_VERSION", hdf5)
        done = call("doctor")
        assert done.exit_code == 0
        dotted = ".".join(map(str, hdf5))
        assert (f"warning: HDF5 {dotted} has" in done.stderr) is warned
        assert len(strict_json(call("doctor", "--json").stdout)["warnings"]) == warned


def test_a_missing_library_names_the_extra(call, monkeypatch):
    def installed(distribution: str) -> str | None:
        return None if distribution == "pandas" else "1.2.3"

    monkeypatch.setattr("fastcka.cli.doctor._version", installed)
    done = call("doctor")
    assert "without pandas (the extra [report] of fastcka installs it)" in done.stdout
    assert "matplotlib 1.2.3" in done.stdout


def test_a_build_without_cuda_says_so(call, strict_json, monkeypatch, fresh_cuda):
    monkeypatch.setitem(sys.modules, "fastcka._cuda", None)
    assert "not built: this build of fastcka has no CUDA part" in call("doctor").stdout
    cuda = strict_json(call("doctor", "--json").stdout)["cuda"]
    assert (cuda["built"], cuda["usable"], cuda["devices"]) == (False, False, [])


def test_a_usable_gpu(emulated, call, strict_json):
    shown = call("doctor").stdout
    assert "usable: device='cuda'" in shown
    assert "compiled by emulated" in shown
    assert "CUDA 13.0, runtime 13.0" in shown
    assert f"99.99.99 at {emulated.path}" in shown.replace("\n", "").replace("  ", "")
    assert "emulated device 0, compute capability 9.0, 132 multiprocessors, 1.0 GiB" in shown
    cuda = strict_json(call("doctor", "--json").stdout)["cuda"]
    assert cuda["usable"]
    assert cuda["devices"][0]["total_bytes"] == 2**30


def test_a_gpu_that_cannot_be_used(emulated, call, strict_json, monkeypatch, fresh_cuda):
    monkeypatch.setenv("FASTCKA_EMULATION_DRIVER", "0")
    shown = call("doctor").stdout
    assert "not usable: there is no CUDA driver here" in shown
    assert "cuBLAS" in shown
    assert "not opened" in shown
    assert strict_json(call("doctor", "--json").stdout)["cuda"]["built"]
