"""A request for a device that cannot be used reports the reason."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastcka
from fastcka.core import cuda_status
from fastcka.core.backend import cuda_runtime, version
from fastcka.core.cuda.library import SONAMES
from fastcka.core.cuda.status import NO_CUPY, cublas_version_text, cuda_version_text
from fastcka.errors import DeviceError, InputError

X = np.eye(6)


def refused(device="cuda"):
    """The status of a device that is refused for its reason; "auto" still computes."""
    status = cuda_status()
    with pytest.raises(DeviceError, match=f"device 'cuda:{device[5:] or 0}' cannot be used: ") as e:
        fastcka.cka(X, X, device=device)
    assert not status.usable
    assert status.reason in str(e.value)
    assert np.isfinite(fastcka.cka(X, X**2 + np.arange(6), estimator="biased"))  # "auto"
    return status


class Missing:
    """An import finder that hides the given modules."""

    def __init__(self, error, *names):
        self._error = error
        self._names = names

    def find_spec(self, name, path=None, target=None):
        if name in self._names:
            raise self._error


def test_not_built(fresh_cuda, monkeypatch):
    monkeypatch.delitem(sys.modules, "fastcka._cuda", raising=False)
    error = ModuleNotFoundError("No module named 'fastcka._cuda'", name="fastcka._cuda")
    monkeypatch.setattr(sys, "meta_path", [Missing(error, "fastcka._cuda"), *sys.meta_path])
    status = refused()
    assert not status.built
    assert status.reason == "this build of fastcka has no CUDA part: no nvcc was found for it"


def test_built_for_another_machine(fresh_cuda, monkeypatch):
    monkeypatch.delitem(sys.modules, "fastcka._cuda", raising=False)
    error = ImportError("libstdc++.so.6: version `GLIBCXX_3.4.99' not found")
    monkeypatch.setattr(sys, "meta_path", [Missing(error, "fastcka._cuda"), *sys.meta_path])
    assert "cannot be imported: libstdc++.so.6: version `GLIBCXX" in refused().reason


def test_of_another_version(fresh_cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastcka._cuda", SimpleNamespace(version="0.0.1"))
    assert refused().reason == f"fastcka's CUDA part is of version 0.0.1, the rest of {version}"


def test_no_driver(emulated, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DRIVER", "0")
    status = refused()
    assert (status.built, status.driver, status.runtime) == (True, 0, 13000)
    assert "no CUDA driver here (cudaErrorInsufficientDriver" in status.reason


def test_no_device(emulated, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "0")
    assert "CUDA finds no device: cudaErrorNoDevice" in refused().reason


def test_no_cupy(emulated, monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy")
    error = ModuleNotFoundError("No module named 'cupy'", name="cupy")
    monkeypatch.setattr(sys, "meta_path", [Missing(error, "cupy"), *sys.meta_path])
    monkeypatch.setattr("fastcka.core.cuda.runtime.cupy_is_there", lambda: False)
    status = refused()
    assert status.reason == (
        "cupy is not installed: pip install 'fastcka[cuda13]' installs it "
        "('fastcka[cuda12]' for a driver of CUDA 12)"
    )
    assert status.devices


def test_a_cupy_that_cannot_be_imported(emulated, monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy")
    error = ImportError("libnvrtc.so.13: cannot open shared object file")
    monkeypatch.setattr(sys, "meta_path", [Missing(error, "cupy"), *sys.meta_path])
    monkeypatch.setattr("fastcka.core.cuda.runtime.cupy_is_there", lambda: True)
    assert "cupy cannot be imported: libnvrtc.so.13" in refused().reason


def test_no_cublas(emulated, monkeypatch):
    absent = ["/absent/libcublas.so.13", "libabsent.so"]
    monkeypatch.setattr("fastcka.core.cuda.runtime.cublas_candidates", lambda: absent)
    status = refused()
    for candidate in absent:
        assert f"{candidate}: cannot open shared object file" in status.reason
    # "auto" chose the GPU, and reports why it used the CPU.
    monkeypatch.setattr("fastcka.core.device.START_SECONDS", 0)
    monkeypatch.setattr("fastcka.core.device.OVERHEAD_SECONDS", 0)
    monkeypatch.setattr("fastcka.core.cost.CALL_SECONDS", 1e4)
    x = np.random.default_rng(0).standard_normal((100, 3))
    provenance = fastcka.compare([x, x**2]).provenance
    assert provenance["device"] == "cpu"
    assert "cuBLAS cannot be opened" in provenance["device_reason"]


def test_another_index(emulated):
    with pytest.raises(DeviceError, match=r"'cuda:3' .* no such device; there is cuda:0 emulated"):
        fastcka.cka(X, X, device="cuda:3")
    with pytest.raises(InputError, match="device must be"):
        fastcka.cka(X, X, device="cuda:zero")


def test_usable(emulated):
    status = cuda_status()
    assert (status.built, status.usable, status.reason) == (True, True, None)
    assert status.cublas_path == str(emulated.path)
    assert status.to_dict()["devices"][0]["name"] == "emulated device 0"
    assert not cuda_runtime().started  # asking opens no session


def test_versions():
    assert cuda_version_text(13000) == "13.0"
    assert cuda_version_text(12090) == "12.9"
    assert cublas_version_text(130101) == "13.1.1"
    assert cublas_version_text(120804) == "12.8.4"


@pytest.mark.parametrize("cuda", [12, 13])
def test_each_release_of_cuda_has_an_extra(cuda):
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    extra = tomllib.loads(text)["project"]["optional-dependencies"][f"cuda{cuda}"]
    assert any(library.startswith(f"cupy-cuda{cuda}x>=") for library in extra)
    (cublas,) = (library for library in extra if "cublas" in library)
    assert cublas.endswith(f">={cuda},<{cuda + 1}")
    assert f"libcublas.so.{cuda}" in SONAMES
    assert f"[cuda{cuda}]" in NO_CUPY
