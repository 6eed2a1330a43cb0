"""Compiles CUDA sources for the processor, with the emulation of CUDA in tests/cuda/emulation."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shlex
import subprocess
import sysconfig
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pybind11

ROOT = Path(__file__).parents[1]
EMULATION = ROOT / "tests" / "cuda" / "emulation"
CSRC = ROOT / "csrc"
KERNELS = CSRC / "cuda"
#: Names a folder for compiled files, which later test sessions reuse.
BUILD_VARIABLE = "FASTCKA_EMULATION_BUILD"
FLAGS = [
    *["-std=c++17", "-O2", "-ftree-vectorize", "-march=native", "-fPIC", "-fvisibility=hidden"],
    *["-U_FORTIFY_SOURCE", "-Wno-unknown-pragmas", "-x", "c++"],
]


def build_folder(scratch: Path) -> Path:
    """The folder that FASTCKA_EMULATION_BUILD names, or else ``scratch``."""
    return Path(os.environ.get(BUILD_VARIABLE) or scratch)


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "g++"))


def headers_in(*folders: Path) -> list[Path]:
    return [
        path
        for folder in dict.fromkeys(folders)
        for pattern in ("*.h", "*.hpp", "*.cuh")
        for path in sorted(folder.glob(pattern))
    ]


def digest_of(command: Sequence[str], files: Sequence[Path] = ()) -> str:
    parts = [shlex.join(command).encode(), *(path.read_bytes() for path in files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def make(target: Path, command: Sequence[str]) -> Path:
    """Run the command unless the target exists; the target appears complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Another process that needs the same target waits for it.
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            part = target.with_name(f"{target.name}.{os.getpid()}.part")
            command = [*command, "-o", str(part)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
            part.replace(target)
    return target


def build_module(
    folder: Path, name: str, sources: Sequence[Path], definitions: Sequence[str] = ()
) -> Path:
    """Compile the sources and the emulation into the extension module ``name`` in ``folder``.

    Existing objects in the folder are reused: their names are digests of their sources.
    """
    includes = [EMULATION, pybind11.get_include(), sysconfig.get_paths()["include"], CSRC]
    compile_command = [*compiler(), *FLAGS, *(f"-I{place}" for place in includes)]

    def compile_one(source: Path) -> Path:
        is_emulation = source.parent == EMULATION
        command = [*compile_command, *([] if is_emulation else definitions)]
        headers = (
            headers_in(EMULATION) if is_emulation else headers_in(EMULATION, source.parent, CSRC)
        )
        digest = digest_of(command, [source, *headers])
        return make(folder / f"{source.name}.{digest}.o", [*command, "-c", str(source)])

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, [*sources, *sorted(EMULATION.glob("*.cpp"))]))
    # Symbolic: a process with a GPU may have loaded the real libraries, with the same names.
    command = [*compiler(), "-shared", "-Wl,-Bsymbolic", *map(str, objects), "-ldl"]
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return make(folder / digest_of(command) / f"{name}{suffix}", command)


def build_emulation(folder: Path) -> Path:
    """Compile csrc/cuda into the module ``_cuda`` and return its path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    facts = {
        "VERSION": project["version"],
        "CUDA_ARCHITECTURES": "emulated",
        "CUDA_COMPILER": "emulated",
    }
    definitions = [f'-DFASTCKA_{name}="{value}"' for name, value in facts.items()]
    sources = sorted([*KERNELS.glob("*.cu"), *KERNELS.glob("*.cpp")])
    return build_module(folder, "_cuda", sources, definitions)


def load_module(path: Path, name: str) -> ModuleType:
    """Import a compiled module from its path, without an entry in ``sys.modules``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_emulation(path: Path) -> ModuleType:
    """Import the module that `build_emulation` compiled.

    Not as ``fastcka._cuda``: pybind11 keeps modules by name, and would return the real one if it is
    loaded.
    """
    return load_module(path, "emulated._cuda")


def load_fake_cupy(path: Path) -> ModuleType:
    """Import the emulated cupy, on the device of the module at ``path``."""
    fake = load_module(EMULATION / "fake_cupy.py", "fake_cupy")
    fake.connect(path)
    return fake
