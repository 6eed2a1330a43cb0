"""The portable inner loops, without Python, compiled for this machine and for aarch64."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cuda_emulation import CSRC, compiler, digest_of, headers_in, make

CPU = CSRC / "cpu"
HARNESS = Path(__file__).parent / "harness.cpp"
SOURCES = [
    HARNESS,
    *sorted(CPU.glob("*.cpp")),
    *sorted((CPU / "threads").glob("*.cpp")),
    *(CPU / "loops" / f"implementation{name}.cpp" for name in ("", "_portable")),
]
# Warnings as in CMakeLists.txt.
FLAGS = [
    *["-std=c++17", "-O2", "-Wno-psabi", f"-I{CSRC}"],
    *["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"],
]
# Compiler, the options that link, and what runs the result.
TARGETS = {
    "this machine": (compiler(), [], []),
    "clang": (["clang++"], [], []),
    # Static: qemu needs no libraries of the other architecture.
    "aarch64": (["aarch64-linux-gnu-g++"], ["-static"], ["qemu-aarch64"]),
}


@pytest.mark.parametrize("target", TARGETS)
def test_agrees_with_definition(emulation_folder, target):
    compile_, link, runner = TARGETS[target]
    for tool in (compile_[0], *runner):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed; CONTRIBUTING.md says which packages have it")
    headers = headers_in(CSRC, CPU, CPU / "loops", CPU / "threads")

    def compile_one(source: Path) -> Path:
        command = [*compile_, *FLAGS, "-c", str(source)]
        digest = digest_of(command, [source, *headers])
        return make(emulation_folder / f"{source.stem}.{digest}.o", command)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, SOURCES))
    command = [*compile_, "-pthread", *link, *map(str, objects)]
    program = make(emulation_folder / digest_of(command) / "harness", command)
    done = subprocess.run([*runner, str(program)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all groups agree\n")
