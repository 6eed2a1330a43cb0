"""What `import fastcka` loads and shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fastcka

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "python" / "fastcka").rglob("*.py"))


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_import_is_light() -> None:
    code = """
import json, sys
import numpy
before = set(sys.modules)
import fastcka
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    loaded = json.loads(python(code))
    libraries = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    assert libraries <= {"fastcka", "numpy"}  # NumPy imports parts of itself on first use
    packages = {name.split(".")[1] for name in loaded if name.startswith("fastcka.")}
    assert packages == {
        "_core",
        "arrays",
        "core",
        "errors",
        "memory",
        "out_of_memory",
        "processors",
    }
    modules = {name.removeprefix("fastcka.core.") for name in loaded}
    later = {"accumulator", "comparison_file", "cuda", "inference.null", "inference.pearson"}
    assert not later.intersection(modules)
    slow = {"asyncio", "email", "http", "multiprocessing", "sqlite3", "ssl", "unittest"}
    slow |= {"hashlib", "importlib.util", "json", "pathlib", "random", "secrets", "shutil"}
    slow |= {"numpy.polynomial", "threading", "zipfile"}
    assert not slow.intersection(loaded)


def test_the_top_level_shows_what_people_need() -> None:
    code = """
import sys, fastcka
names = dir(fastcka)
assert "fastcka.capture" not in sys.modules and "fastcka.stats" not in sys.modules
assert all(getattr(fastcka, name) is not None for name in names)
print(fastcka.capture.capture_activations.__name__, fastcka.stats.block_means.__name__)
print(*[n for n in names if n != "__version__" and f"fastcka.{n}" not in fastcka.__doc__])
"""
    reached, not_documented = python(code).split("\n")[:2]
    assert reached == "capture_activations block_means"
    assert set(not_documented.split()) <= {"Comparison", "CrossComparison", "memory_check"}


def test_blas_thread_counts_stay_as_they_were() -> None:
    pytest.importorskip("threadpoolctl")
    code = """
import json
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
numpy.ones((8, 8)) @ numpy.ones((8, 8))
threadpool_limits(2, user_api="blas")  # neither 1 nor necessarily the default
def counts():
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
before = counts()
import fastcka
imported = counts()
x = numpy.random.default_rng(0).normal(size=(64, 8))
fastcka.cka(x, x + 1, estimator="biased")
print(json.dumps([before, imported, counts()]))
"""
    before, imported, computed = json.loads(python(code))
    assert before
    for later in (imported, computed):
        assert {path: later[path] for path in before} == before


def test_the_version_is_written_in_one_place() -> None:

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert fastcka.__version__ == project["version"]
    number = re.compile(rf"(?<![\d.]){re.escape(project['version'])}(?![\d.])")
    sources = [
        *FILES,
        *(ROOT / "csrc").rglob("*.[ch]pp"),
        ROOT / "CMakeLists.txt",
        ROOT / "CITATION.cff",
        ROOT / "README.md",
    ]
    repeats = [
        path.relative_to(ROOT).as_posix()
        for path in sources
        if number.search(path.read_text("utf-8"))
    ]
    assert not repeats
