"""Where cuBLAS is searched, and in which order."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from fastcka.core.cuda import library as cuda_library
from fastcka.core.cuda.library import SONAMES, cublas_candidates, loaded_cublas

MAPS = """\
7f00 r--p 0 08:01 1  /usr/lib/libc.so.6
7f01 r-xp 0 08:01 2  /venv/a b/nvidia/cu13/lib/libcublas.so.13
7f02 rw-p 0 08:01 2  /venv/a b/nvidia/cu13/lib/libcublas.so.13
7f03 r-xp 0 08:01 3  /venv/a b/nvidia/cu13/lib/libcublasLt.so.13
7f04 r-xp 0 08:01 4  /opt/cuda/lib64/libcublas.so.12.8.4.1
7f05 r-xp 0 08:01 5  /opt/mine/libcublas.so.11
7f06 r-xp 0 00:00 0  [heap]
"""


@pytest.fixture
def maps(tmp_path):
    path = tmp_path / "maps"
    path.write_text(MAPS)
    return path


@pytest.fixture
def pathfinder(monkeypatch):
    """Set the answer of cuda-pathfinder."""

    def say(answer):
        def load(name):
            assert name == "cublas"
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(abs_path=answer)

        monkeypatch.setitem(
            sys.modules, "cuda.pathfinder", SimpleNamespace(load_nvidia_dynamic_lib=load)
        )

    return say


def test_copies_that_the_process_has_loaded(maps):
    assert loaded_cublas(maps) == [
        "/venv/a b/nvidia/cu13/lib/libcublas.so.13",
        "/opt/cuda/lib64/libcublas.so.12.8.4.1",
    ]
    assert loaded_cublas(maps.with_name("absent")) == []


def test_the_loaded_copy_comes_first_and_plain_names_last(monkeypatch, pathfinder):
    monkeypatch.setattr(cuda_library, "loaded_cublas", lambda: ["/loaded/libcublas.so.12"])
    pathfinder("/wheel/libcublas.so.13")
    assert cublas_candidates() == ["/loaded/libcublas.so.12", "/wheel/libcublas.so.13", *SONAMES]
    pathfinder("/loaded/libcublas.so.12")  # the same copy
    assert cublas_candidates() == ["/loaded/libcublas.so.12", *SONAMES]


@pytest.mark.parametrize("answer", [None, RuntimeError("Failure finding libcublas.so")])
def test_a_pathfinder_that_finds_nothing(monkeypatch, pathfinder, answer):
    monkeypatch.setattr(cuda_library, "loaded_cublas", list)
    pathfinder(answer)
    assert cublas_candidates() == list(SONAMES)


def test_no_pathfinder(monkeypatch):
    monkeypatch.setattr(cuda_library, "loaded_cublas", list)
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    assert cublas_candidates() == list(SONAMES)
