"""The specification of the format names what the code writes: others write files by it.

Names are taken from the text of the two specifications, and compared with the constants and with a
file that was written.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import fastcka.store
from fastcka.files import TEMPORARY_PREFIX, is_temporary, replaced_file
from fastcka.store import Key, Store
from fastcka.store.checksums import FIRST, TABLE
from fastcka.store.format import (
    FORMAT,
    FORMAT_VERSION,
    INDEX,
    LAYER_ATTRIBUTES,
    MARKER,
    MODELS,
    POSITIONAL,
    RESERVED_FACTORS,
)

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECTION = README[README.index("A store is a directory") : README.index("`fastcka store import")]
TEXTS = {"store/__init__.py": str(fastcka.store.__doc__), "README.md": SECTION}


@pytest.fixture
def written(store: Store, values: np.ndarray) -> Path:
    store.write(
        model="m",
        step=3,
        layers={"a": values},
        example_columns={"c": ["x"] * 7},
        layer_attributes={"a": {"pooling": "mean", "io": "output"}},
    )
    return store.info(Key("m", 3, "a")).path


def words(text: str) -> set[str]:
    """Return the names in a list such as ``a, b (why), c and d``."""
    return set(re.findall(r"[a-z_]+", re.sub(r"\([^)]*\)", "", text))) - {"and"}


def entry(text: str, path: str) -> str:
    """Return what is said of a path of the file, in one line."""
    start = re.search(rf"^ +{re.escape(path)}\s", text, re.MULTILINE)
    assert start is not None, path
    end = re.search(r"^( +/|    index| *$|- )", text[start.end() :], re.MULTILINE)
    assert end is not None
    return " ".join(text[start.end() : start.end() + end.start()].split())


@pytest.mark.parametrize("name", TEXTS)
def test_the_temporary_name(name: str, tmp_path: Path) -> None:
    (prefix,) = re.findall(r'a name that begins with "([^"]+)"', " ".join(TEXTS[name].split()))
    assert prefix == TEMPORARY_PREFIX
    with replaced_file(tmp_path / "3.h5") as beside:
        assert beside.name.startswith(prefix)
        assert beside.parent == tmp_path
        beside.touch()
    assert is_temporary(f"{prefix}anything")
    assert not is_temporary(".x.tmp")  # what the specification once said


@pytest.mark.parametrize("name", TEXTS)
def test_the_version_and_the_files_of_the_folder(name: str, store: Store, written: Path) -> None:
    text = TEXTS[name]
    assert re.findall(r"\bversion (\d+\.\d+)", text) == [FORMAT_VERSION]
    assert re.findall(r"^    (\w+\.\w+) ", text, re.MULTILINE) == [MARKER, INDEX]
    (step,) = re.findall(r"^    (\S+<step>\.h5)", text, re.MULTILINE)
    relative = written.relative_to(store.path).as_posix()
    pattern = re.sub(r"<[\w-]+>", "[^/]+", step)
    assert step.startswith(f"{MODELS}/")
    assert re.fullmatch(pattern, relative)


def test_the_marker(store: Store) -> None:
    (line,) = re.findall(rf"{MARKER} +(\{{.*\}})", TEXTS["store/__init__.py"])
    marker = json.loads((store.path / MARKER).read_text())
    assert json.loads(line) == {"format": FORMAT, "format_version": FORMAT_VERSION} == marker


@pytest.mark.parametrize("name", TEXTS)
def test_the_paths_of_datasets(name: str, written: Path) -> None:
    found = []
    with h5py.File(written) as file:
        file.visititems(
            lambda path, item: found.append(path) if isinstance(item, h5py.Dataset) else None
        )
    paths = re.findall(r"^ +(/\w\S*)\s", TEXTS[name], re.MULTILINE)
    assert sorted(re.sub("<[^>]+>", "*", path) for path in paths) == sorted(
        f"/{re.sub('(?<=examples/)c$|(?<=layers/)0', '*', path)}" for path in found
    )


@pytest.mark.parametrize("name", TEXTS)
def test_the_attributes(name: str, written: Path) -> None:
    text = TEXTS[name]
    said = entry(text, "/").partition("attributes")[2].replace("= 1", "")
    ids = entry(text, "/examples/id")
    layer = entry(text, "/layers/<i>/x" if "<i>" in text else "/layers/<index>/x")
    with h5py.File(written) as file:
        assert words(said) == set(file.attrs)
        assert set(file["examples/id"].attrs) == {POSITIONAL, FIRST}
        assert set(file["layers/0/x"].attrs) == {FIRST}
        assert not file[TABLE].attrs
        of_layer = set(file["layers/0"].attrs)
        assert of_layer == {"name", "digest", *LAYER_ATTRIBUTES}
    assert re.findall(r"attribute:? (\w+)", ids) == [POSITIONAL]
    flat = " ".join(text.split())
    assert re.findall(r"(?:has|have) the attribute (\w+), (?:its|the) p", flat) == [FIRST]
    required, _, optional = layer.partition("attributes")[2].partition(", and MAY have ")
    assert words(required) == {"name", "digest"}
    if name == "store/__init__.py":
        assert words(optional) == set(LAYER_ATTRIBUTES)
        assert re.findall(r"\(`(\w+)` in format\.py\)", text) == ["RESERVED_FACTORS"]
        assert {"model", "step", "layer"} <= RESERVED_FACTORS
