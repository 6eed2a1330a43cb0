"""Fixtures of the whole suite, and the option that runs it on another device."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

# Before NumPy is imported: the threads of its BLAS would spin between small products, which takes
# three times the processor time. fastcka has separate threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# pytest-xdist sets it in its workers, and tables would wrap at that width.
os.environ.pop("COLUMNS", None)

import h5py
import hypothesis
import numpy as np
import pytest

from fastcka.core import backend, cuda_status

IMPLEMENTATIONS = [table["name"] for table in backend._core.implementations()]


class Emulation(NamedTuple):
    """csrc/cuda compiled for the processor, and an emulated cupy on the same memory."""

    path: Path
    module: ModuleType
    cupy: ModuleType


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        default="cpu",
        choices=("cpu", "cuda", "emulated"),
        help="where tests with the `device` fixture compute; other than cpu they are marked gpu",
    )
    parser.addoption(
        "--cases", type=int, default=300, help="random cases in test_accuracy.py, and of hypothesis"
    )


def pytest_configure(config):
    hypothesis.settings.register_profile(
        "cases",
        max_examples=config.getoption("--cases"),
        deadline=None,
        database=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("cases")


def pytest_collection_modifyitems(config, items):
    device = config.getoption("--device")
    chosen = [item for item in items if "device" in item.fixturenames]
    if device == "cpu" or not chosen:
        return
    reason = cuda_status().reason if device == "cuda" else None
    for item in chosen:
        item.add_marker(pytest.mark.gpu)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"CUDA cannot be used: {reason}"))


def pytest_generate_tests(metafunc):
    if "implementation" in metafunc.fixturenames:
        # Implementations differ on the CPU; on another device one is enough.
        other_device = metafunc.config.getoption("--device") != "cpu"
        if other_device and "device" in metafunc.fixturenames:
            metafunc.parametrize("implementation", IMPLEMENTATIONS[:1], indirect=True)
        else:
            metafunc.parametrize("implementation", IMPLEMENTATIONS, indirect=True)


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


@pytest.fixture
def implementation(request, monkeypatch):
    """Every implementation that this processor can run, one after another."""
    monkeypatch.setenv(backend.IMPLEMENTATION_VARIABLE, request.param)
    return request.param


@pytest.fixture(scope="session")
def device(request) -> Iterator[str]:
    """The ``device`` to pass to fastcka: what --device names."""
    if request.config.getoption("--device") == "emulated":
        with installed(request.getfixturevalue("emulation")):
            yield "cuda"
    else:
        yield request.config.getoption("--device")


@pytest.fixture(scope="session")
def emulation_folder(tmp_path_factory) -> Path:
    """The folder of the compiled emulation, which the workers of pytest-xdist share."""
    import cuda_emulation

    if "PYTEST_XDIST_WORKER" in os.environ:
        scratch = tmp_path_factory.getbasetemp().parent / "emulation"
    else:
        scratch = tmp_path_factory.mktemp("emulation")
    return cuda_emulation.build_folder(scratch)


@pytest.fixture(scope="session")
def emulation(emulation_folder) -> Emulation:
    """The emulated device, compiled once, without fastcka computing on it."""
    import cuda_emulation

    path = cuda_emulation.build_emulation(emulation_folder)
    fake = cuda_emulation.load_fake_cupy(path)
    return Emulation(path, cuda_emulation.load_emulation(path), fake)


@pytest.fixture
def emulated(emulation) -> Iterator[Emulation]:
    """The emulated device, on which fastcka computes for device "cuda"."""
    with installed(emulation):
        yield emulation


@pytest.fixture
def fresh_cuda() -> Iterator[None]:
    """Forget the status of CUDA before and after the test."""
    backend.cuda_runtime.cache_clear()
    yield
    backend.cuda_runtime.cache_clear()


@pytest.fixture
def as_format_1_0() -> Callable[[Path], None]:
    """Turn a file into format 1.0 by removing all additions of format 1.1."""

    def remove(path: Path) -> None:
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            del file["checksums"], file.attrs["seal"]
            file.attrs.modify("format_version", np.bytes_(b"1.0"))
            columns = [file["examples"][name] for name in file["examples"]]
            for data in (*columns, *(file["layers"][name]["x"] for name in file["layers"])):
                del data.attrs["first_checksum"]

    return remove


@pytest.fixture
def strict_json() -> Callable[[str], object]:
    """Parse one JSON document as other languages do: NaN and Infinity are errors."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    return lambda text: json.loads(text, parse_constant=refuse)


@contextmanager
def installed(emulation: Emulation) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "fastcka._cuda", emulation.module)
        patch.setitem(sys.modules, "cupy", emulation.cupy)
        patch.setattr("fastcka.core.cuda.runtime.cublas_candidates", lambda: [str(emulation.path)])
        backend.cuda_runtime.cache_clear()
        yield
        backend.cuda_runtime().close()
        backend.cuda_runtime.cache_clear()


@pytest.fixture
def no_figures(monkeypatch):
    """Write a few bytes for each heatmap: drawing takes most of the time of a small run."""

    def draw(matrix, labels, *, title, **options):
        return b"\x89PNG" + title.encode()

    monkeypatch.setattr("fastcka.sweep.results.figures.draw_heatmap", draw)
    monkeypatch.setattr(
        "fastcka.sweep.results.figures.save_png", lambda drawn, file: file.write(drawn)
    )


def write_signature(_figure, file, **_options):
    """Write the signature of a PNG in place of a figure."""
    content = b"\x89PNG\r\n\x1a\n"
    file.write(content) if hasattr(file, "write") else Path(file).write_bytes(content)


@pytest.fixture
def no_drawing(monkeypatch):
    """Write the signature of a PNG for each figure: drawing takes most of a report's time."""
    figure = pytest.importorskip("matplotlib.figure")
    monkeypatch.setattr(figure.Figure, "savefig", write_signature)


@pytest.fixture(scope="module")
def no_drawing_in_module():
    """As `no_drawing`, for fixtures of a module."""
    figure = pytest.importorskip("matplotlib.figure")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure.Figure, "savefig", write_signature)
        yield


@pytest.fixture
def fast_products(monkeypatch):
    """Take products of bfloat16 for all shapes, even if this processor gains nothing by them."""
    from fastcka.core import plan, plan_cache

    monkeypatch.setattr(plan_cache, "gain_of", lambda name, products: 4.0)
    monkeypatch.setattr(plan, "TILES_FLOPS", 0.0)
    monkeypatch.setattr(plan, "TILES_EXTENT", 0)
    plan_cache._plan_of_shape.cache_clear()
    yield
    plan_cache._plan_of_shape.cache_clear()
