"""The specification of the store format agrees with the code.

Names in ``docs/store-format.md`` are compared with the constants and with a written file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastcka.files import TEMPORARY_PREFIX, is_temporary, replaced_file
from fastcka.store import Key, Store
from fastcka.store.file.checksums import FIRST, TABLE
from fastcka.store.file.format import (
    FORMAT,
    FORMAT_VERSION,
    INDEX,
    LAYER_ATTRIBUTES,
    MARKER,
    MODELS,
    POSITIONAL,
    RESERVED_FACTORS,
)

SPECIFICATION = (Path(__file__).parents[2] / "docs/store-format.md").read_text("utf-8")


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


def entry(path: str) -> str:
    """Return the description of a path of the file, in one line."""
    start = re.search(rf"^ +{re.escape(path)}\s", SPECIFICATION, re.MULTILINE)
    assert start is not None, path
    rest = SPECIFICATION[start.end() :]
    end = re.search(r"^( +/|## )", rest, re.MULTILINE)
    assert end is not None
    return " ".join(rest[: end.start()].split())


def test_the_temporary_name(tmp_path: Path) -> None:
    (prefix,) = re.findall(r'a name that begins with "([^"]+)"', " ".join(SPECIFICATION.split()))
    assert prefix == TEMPORARY_PREFIX
    with replaced_file(tmp_path / "3.h5") as temporary:
        assert temporary.name.startswith(prefix)
        assert temporary.parent == tmp_path
        temporary.touch()
    assert is_temporary(f"{prefix}anything")
    assert not is_temporary(".x.tmp")  # an earlier version of the specification


def test_the_version_and_the_files_of_the_folder(store: Store, written: Path) -> None:
    assert re.findall(r"\bversion (\d+\.\d+)", SPECIFICATION) == [FORMAT_VERSION]
    assert re.findall(r"^    (\w+\.\w+) ", SPECIFICATION, re.MULTILINE) == [MARKER, INDEX]
    (step,) = re.findall(r"^    (\S+<step>\.h5)", SPECIFICATION, re.MULTILINE)
    relative = written.relative_to(store.path).as_posix()
    pattern = re.sub(r"<[\w-]+>", "[^/]+", step)
    assert step.startswith(f"{MODELS}/")
    assert re.fullmatch(pattern, relative)


def test_the_marker(store: Store) -> None:
    (line,) = re.findall(rf"{MARKER} +(\{{.*\}})", SPECIFICATION)
    marker = json.loads((store.path / MARKER).read_text())
    assert json.loads(line) == {"format": FORMAT, "format_version": FORMAT_VERSION} == marker


def test_the_paths_of_datasets(written: Path) -> None:
    datasets = []
    with h5py.File(written) as file:
        file.visititems(
            lambda path, item: datasets.append(path) if isinstance(item, h5py.Dataset) else None
        )
    paths = re.findall(r"^ +(/\w\S*)\s", SPECIFICATION, re.MULTILINE)
    assert sorted(re.sub("<[^>]+>", "*", path) for path in paths) == sorted(
        f"/{re.sub('(?<=examples/)c$|(?<=layers/)0', '*', path)}" for path in datasets
    )


def test_the_attributes(written: Path) -> None:
    root = entry("/").partition("attributes")[2].replace("= 1", "")
    with h5py.File(written) as file:
        assert words(root) == set(file.attrs)
        assert set(file["examples/id"].attrs) == {POSITIONAL, FIRST}
        assert set(file["layers/0/x"].attrs) == {FIRST}
        assert not file[TABLE].attrs
        assert set(file["layers/0"].attrs) == {"name", "digest", *LAYER_ATTRIBUTES}
    assert re.findall(r"attribute (\w+)", entry("/examples/id")) == [POSITIONAL]
    flat = " ".join(SPECIFICATION.split())
    assert re.findall(r"MUST have the attribute (\w+),", flat) == [FIRST]
    layer = entry("/layers/<i>/x").partition("attributes")[2]
    required, _, optional = layer.partition(", and MAY have ")
    assert words(required) == {"name", "digest"}
    assert words(optional) == set(LAYER_ATTRIBUTES)
    assert re.findall(r"\(`(\w+)` in format\.py\)", SPECIFICATION) == ["RESERVED_FACTORS"]
    assert {"model", "step", "layer"} <= RESERVED_FACTORS
