"""Compiles the CPU pass with its AMX implementation alone, on the tiles of tests/emulated_tiles."""

from __future__ import annotations

import shutil
import sysconfig
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11

from cuda_emulation import CSRC, ROOT, compiler, digest_of, headers_in, make

CPU = CSRC / "cpu"
LOOPS = CPU / "loops"
TILES = ROOT / "tests" / "emulated_tiles" / "tiles.hpp"
SOURCES = [
    CSRC / "estimate.cpp",
    CSRC / "estimate_binding.cpp",
    CSRC / "permuted_binding.cpp",
    CSRC / "plain_pass.cpp",
    CSRC / "sums_binding.cpp",
    *sorted(CPU.glob("*.cpp")),
    *sorted((CPU / "threads").glob("*.cpp")),
]
FLAGS = ["-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-Wno-psabi"]
#: The flags of CMakeLists.txt, except those for tiles.
AVX512 = [
    *["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
    "-mprefer-vector-width=512",
]


def runs_here() -> bool:
    """Whether the processor has AVX-512, which the implementation also uses."""
    flags = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    return {"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"} <= flags


def build_tiles(folder: Path) -> Path:
    """Compile a ``_core`` whose only implementation is "amx", or use the one in the folder."""
    # The copied source includes the emulation in its folder, not csrc/cpu/loops/tiles.hpp.
    copies = folder / digest_of([], [LOOPS / "implementation_amx.cpp", TILES])
    copies.mkdir(parents=True, exist_ok=True)
    for source in (LOOPS / "implementation_amx.cpp", TILES):
        shutil.copy(source, copies)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    # Without those of x86-64, the list of implementations has one entry: replace it by this one.
    units = [
        (copies / "implementation_amx.cpp", AVX512),
        (LOOPS / "implementation.cpp", ["-Dportable_implementation=amx_implementation"]),
        (
            CSRC / "bindings.cpp",
            [f'-DFASTCKA_VERSION="{version}"', '-DFASTCKA_COMPILER="emulated tiles"'],
        ),
        *((source, []) for source in SOURCES),
        *((source, []) for source in sorted((CSRC / "store").glob("*.cpp"))),
    ]
    includes = [LOOPS, CPU, CSRC, pybind11.get_include(), sysconfig.get_paths()["include"]]
    common = [*compiler(), *FLAGS, *(f"-I{place}" for place in includes)]
    headers = headers_in(CPU, LOOPS, CPU / "threads", CSRC, CSRC / "store", copies)

    def compile_one(unit: tuple[Path, list[str]]) -> Path:
        source, flags = unit
        command = [*common, *flags]
        digest = digest_of(command, [source, *headers])
        return make(folder / f"{source.name}.{digest}.o", [*command, "-c", str(source)])

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, units))
    command = [*compiler(), "-shared", "-pthread", *map(str, objects)]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return make(folder / digest_of(command) / f"_core{suffix}", command)
