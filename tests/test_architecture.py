"""The code base: allowed imports, the cost of the import, lengths of files, docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "fastcka"
FILES = sorted(PACKAGE.rglob("*.py"))
# Folder -> most lines of a file in it; CONTRIBUTING.md contains the same numbers.
LONGEST_FILE = {"python": 300, "csrc": 300, "benchmarks": 300, "tests": 400}
SUFFIXES = {".py", ".pyi", ".c", ".h", ".hpp", ".cpp", ".cuh", ".cu"}

# Package -> the packages of fastcka that it may import.
BASE = {
    "arrays",
    "config_problems",
    "dendrogram",
    "digests",
    "errors",
    "figures",
    "files",
    "heatmap",
    "line_plot",
    "memory",
    "near_misses",
    "out_of_memory",
    "paths",
    "point_map",
    "processors",
    "yaml_file",
}
BELOW = {
    "errors": set(),
    "arrays": {"errors"},
    "config_problems": {"near_misses"},
    "dendrogram": {"errors", "figures"},
    "digests": set(),
    "figures": {"errors", "files"},
    "files": {"errors"},
    "heatmap": {"errors", "figures"},
    "line_plot": {"figures"},
    "near_misses": set(),
    "memory": {"errors"},
    "out_of_memory": {"errors", "memory"},
    "paths": {"errors"},
    "point_map": {"errors", "figures"},
    "processors": set(),
    "yaml_file": {"errors"},
    "core": BASE,
    "store": BASE,
    "registries": {*BASE, "core"},
    "capture": {*BASE, "core", "store"},
    "sweep": {*BASE, "core", "store"},
    "pair": {*BASE, "core", "store", "sweep"},
    "demo": {*BASE, "core", "store", "capture", "sweep", "report"},
    "stats": {*BASE, "core", "store", "sweep"},
    "evolution": {*BASE, "core", "store", "capture"},
    "report": {*BASE, "core", "store", "sweep", "stats", "evolution"},
    "cli": {
        *BASE,
        *("core", "store", "capture", "pair", "sweep", "demo", "stats", "evolution", "report"),
    },
    "__main__": {"cli"},
    "__init__": {*BASE, "core", "store", "sweep", "capture", "stats"},
}
# Package -> room (a folder of it, or else "" for its top modules) -> the rooms that it may import.
ROOMS = {
    "sweep": {
        "question": set(),
        "planning": {"question"},
        "ledger": {"question", "planning"},
        "results": {"question", "planning", "ledger"},
        "running": {"question", "planning", "ledger", "results"},
        "": {"question", "planning", "ledger", "results", "running"},
    },
    "store": {
        "hdf5": set(),
        "file": {"hdf5"},
        "foreign": {"hdf5", "file"},
        "": {"hdf5", "file", "foreign", "importing"},
        "importing": {"hdf5", "file", "foreign", ""},
    },
}
# Library -> places that may import it.
HOME = {
    "_core": {"core/backend.py", "store/file/checksums.py", "store/file/chunks.py"},
    "cupy": {"core/cuda/session.py"},
    "datasets": {"capture/texts.py"},
    "distributed": {"sweep/running/"},
    "h5py": {"store/"},
    "huggingface_hub": {"capture/pretrained.py"},
    "jinja2": {"report/page/"},
    "matplotlib": {
        "figures.py",
        "heatmap.py",
        "point_map.py",
        "demo/",
        "evolution/",
        "pair/",
        "report/",
    },
    "plotly": {"report/page/"},
    "pyarrow": {"store/foreign/parquet/", "sweep/results/parquet.py"},
    "pydantic": {"capture/", "pair/", "sweep/"},
    "regex": {"store/patterns.py"},
    "rich": {"cli/", "demo/"},
    "rsatoolbox": {"core/tables.py", "core/pictures.py"},
    "torch": {
        "capture/",
        "demo/",
        "evolution/",
        "registries/resi.py",
        "store/foreign/torch_files.py",
    },
    "transformers": {"capture/pretrained.py"},
    "typer": {"cli/"},
    "yaml": {"yaml_file.py"},
    "zarr": {"store/foreign/zarr_arrays.py", "store/foreign/zarr_folders.py"},
}
# Optional libraries: imported only when a function that needs them is called.
INSIDE_FUNCTIONS = {
    *(
        "cupy",
        "datasets",
        "distributed",
        "huggingface_hub",
        "jinja2",
        "matplotlib",
        "pandas",
        "plotly",
        "pyarrow",
        "rsatoolbox",
        "safetensors",
        "scipy",
        "sklearn",
        "transformers",
        "xarray",
        "zarr",
    ),
}
# File -> the modules of other packages that it loads by their names when they are needed.
LOADED_BY_NAME = {
    "__init__.py": {
        *("fastcka.capture", "fastcka.core", "fastcka.core.curve", "fastcka.stats"),
        *("fastcka.store", "fastcka.sweep"),
    },
    "sweep/planning/exporter.py": {"fastcka.pair.export"},
}
NEVER = {"matplotlib.pyplot"}  # keeps global state and picks a window system


class Import(NamedTuple):
    """One imported module, as a dotted name."""

    file: str  # relative to the package
    line: int
    module: str
    inside_function: bool
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports_of(path: Path) -> list[Import]:
    imports: list[Import] = []
    file = path.relative_to(PACKAGE).as_posix()

    def visit(node: ast.AST, inside_function: bool, typing_only: bool) -> None:
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            assert node.module is not None
            # `from fastcka import store` and `from fastcka.core import _core` name modules too.
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        imports.extend(
            Import(file, node.lineno, module, inside_function, typing_only) for module in modules
        )
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, inside_function, True)
            for child in node.orelse:
                visit(child, inside_function, typing_only)
            return
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside_function or function, typing_only)

    visit(ast.parse(path.read_text("utf-8")), False, False)
    return imports


IMPORTS = [imported for path in FILES for imported in imports_of(path)]


def package_of(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def library_of(module: str) -> str:
    return "_core" if module.startswith("fastcka._core") else module.split(".")[0]


def test_imports_run_one_way() -> None:
    wrong = []
    for imported in IMPORTS:
        parts = imported.module.split(".")
        if parts[0] != "fastcka" or parts[1:2] in (["_core"], ["__version__"]):
            continue
        if parts[1:2] == ["_cuda"] and imported.typing_only:  # core/backend.py loads it by name
            continue
        # `import fastcka` and `from fastcka import compare` import the whole package.
        here = package_of(imported.file)
        if len(parts) == 1 or (parts[1] != here and parts[1] not in BELOW[here]):
            wrong.append(str(imported))
    assert not wrong


def room_of(path: str, package: str) -> str:
    """Return the room of a file, or of a module with slashes for its dots."""
    parts = path.split("/")[1:]
    return parts[0] if parts and (PACKAGE / package / parts[0]).is_dir() else ""


@pytest.mark.parametrize("package", ROOMS)
def test_imports_run_one_way_inside_a_package(package: str) -> None:
    rooms = {path.name for path in (PACKAGE / package).iterdir() if (path / "__init__.py").exists()}
    assert rooms | {""} == set(ROOMS[package])
    wrong = []
    for imported in IMPORTS:
        if not imported.file.startswith(f"{package}/") or imported.file == f"{package}/__init__.py":
            continue
        if imported.typing_only:  # a protocol may name a type of a later room
            continue
        if imported.module.startswith(f"fastcka.{package}."):
            importing = room_of(imported.file, package)
            room = room_of(imported.module.removeprefix("fastcka.").replace(".", "/"), package)
            if room not in (importing, *ROOMS[package][importing]):
                wrong.append(str(imported))
    assert not wrong


def test_modules_that_are_loaded_by_name_are_known() -> None:
    loaded: dict[str, set[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            file = path.relative_to(PACKAGE).as_posix()
            name = re.fullmatch(r"fastcka\.(\w+)(\.\w+)*", node.value)
            if name and name[1] in BELOW and name[1] != package_of(file):
                loaded.setdefault(file, set()).add(node.value)
    assert loaded == LOADED_BY_NAME


def test_every_package_has_a_place_in_the_table() -> None:
    packages = {package_of(path.relative_to(PACKAGE).as_posix()) for path in FILES}
    assert packages == set(BELOW)


@pytest.mark.parametrize("library", sorted(HOME))
def test_a_library_is_imported_only_at_home(library: str) -> None:
    users = [imported for imported in IMPORTS if library_of(imported.module) == library]
    assert users, f"nothing imports {library}: remove it from the list"
    strangers = [
        str(imported)
        for imported in users
        if not any(imported.file.startswith(home) for home in HOME[library])
    ]
    assert not strangers


def test_optional_libraries_are_imported_inside_functions() -> None:
    early = [
        str(imported)
        for imported in IMPORTS
        if not (imported.inside_function or imported.typing_only)
        and (
            library_of(imported.module) in INSIDE_FUNCTIONS
            or (library_of(imported.module) == "torch" and imported.file.startswith("store/"))
        )
    ]
    assert not early
    assert not [
        str(imported) for imported in IMPORTS for name in NEVER if imported.module.startswith(name)
    ]


@pytest.mark.parametrize(("folder", "most"), LONGEST_FILE.items())
def test_files_are_short(folder: str, most: int) -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in SUFFIXES and "third_party" not in path.parts
    }
    assert lengths
    assert not {path: lines for path, lines in lengths.items() if lines > most}


def test_contributing_names_the_longest_files() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    (numbers,) = re.findall(r"at most (\d+) lines \((\d+) in `tests`\)", text)
    assert list(map(int, numbers)) == [LONGEST_FILE["python"], LONGEST_FILE["tests"]]


def declared_names(path: Path) -> list[str]:
    """Return what `__all__` lists in the file."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


PUBLIC = [
    (".".join(["fastcka", *path.relative_to(PACKAGE).with_suffix("").parts]), name)
    for path in FILES
    for name in declared_names(path)
]


@pytest.mark.parametrize("package", ["", *sorted(set(BELOW) - BASE - {"__init__", "__main__"})])
def test_packages_declare_their_public_names(package: str) -> None:
    assert declared_names(PACKAGE / package / "__init__.py")


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_public_names_have_docstrings(module: str, name: str) -> None:
    value = getattr(importlib.import_module(module.removesuffix(".__init__")), name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return  # a constant or a type alias
    # From the source: a dataclass or a NamedTuple without a docstring is given one at run time.
    definitions = {
        node.name: node
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[value.__module__])))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert ast.get_docstring(definitions[value.__name__]), f"{module}.{name} has no docstring"
