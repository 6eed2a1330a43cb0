"""Small Parquet files that would expand to much more than they contain, and large plain ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from child_memory import MIB, output_of
from fastcka.errors import OutOfMemoryError
from fastcka.memory import FreeMemory
from fastcka.store import import_tree, read_examples
from fastcka.store.foreign.examples import example_columns

LONG = 1 << 20
READ = """
import resource
from pathlib import Path
from fastcka.errors import FastckaError
from fastcka.store import read_array, read_examples
from fastcka.store.foreign.examples import example_columns

path, name, small = sys.argv[1:]

def outcome(path):
    try:
        if name == "columns":
            return "left out", *example_columns(Path(path))[1].values()
        read_examples(f"{path}:x", 3) if name == "ids" else read_array(f"{path}:{name}")
    except FastckaError as error:
        return type(error).__name__, str(error)

outcome(small)  # what is imported does not count
allowed = memory("VmSize") + (2 << 30)
resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
reset_peak()
start = memory("VmRSS")
kind, message = outcome(path)
print(json.dumps([kind, message, memory("VmHWM") - start]))
"""


def table(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pa.table(columns), path, **options)
    return path


def dictionary(path: Path) -> None:
    """100 GB: 100,000 codes of one text of 1 MiB."""
    codes = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * LONG])
    table(path, {"image_id": codes, "x": [[1.0]] * 100_000})


def plain(path: Path) -> None:
    """1 GB: 1,000 texts of 1 MiB, compressed to almost nothing."""
    rows = pa.table({"image_id": ["x" * LONG] * 100, "x": [[1.0]] * 100})
    options = {"use_dictionary": False, "compression": "zstd"}
    with parquet.ParquetWriter(path, rows.schema, **options) as writer:
        for _ in range(10):
            writer.write_table(rows)


def prefixes(path: Path) -> None:
    """200 MB: each text shares its first MiB with the one before."""
    texts = ["x" * LONG + str(i) for i in range(200)]
    options = {"use_dictionary": False, "column_encoding": {"image_id": "DELTA_BYTE_ARRAY"}}
    table(path, {"image_id": texts}, **options)


def missing_lists(path: Path) -> None:
    """320 MB: missing lists of a fixed length of a million."""
    table(path, {"x": pa.array([None] * 80, pa.list_(pa.float32(), 1_000_000))})


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="measures memory on Linux")
@pytest.mark.parametrize(
    ("write", "name", "kind", "message"),
    [
        (dictionary, "ids", "TextError", "image_id: expected texts of at most 4096 bytes, got one"),
        (dictionary, "columns", "left out", "image_id: expected texts of at most 4096 bytes, got"),
        (plain, "ids", "UnsafeFileError", "image_id: expected data that expands at most 100 times"),
        (
            prefixes,
            "ids",
            "TextError",
            f"expected texts of at most 4096 bytes, got one of {LONG + 2}",
        ),
        (missing_lists, "x", "UnsafeFileError", "x: expected data that expands at most 100 times"),
    ],
)
def test_expansion_is_refused_before_it_happens(
    tmp_path: Path, write: Callable[[Path], None], name: str, kind: str, message: str
) -> None:
    path = tmp_path / "large.parquet"
    write(path)
    assert path.stat().st_size < 3 * MIB
    small = table(tmp_path / "small.parquet", {"x": [[1.0]] * 3, "id": ["a", "b", "c"]})
    got, text, grown = json.loads(output_of(READ, str(path), name, str(small)))
    assert got == kind
    assert f"{path}:" in text
    assert message in text
    assert grown < 150 * MIB


@pytest.mark.parametrize("encoding", ["dictionary", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_large_plain_columns_are_read(tmp_path: Path, encoding: str, kind: Any) -> None:
    count = 100_000
    columns: dict[str, list[Any]] = {
        "id": [f"image-{i:06}" for i in range(count)],
        "label": ["cat", "dog", None, ""] * (count // 4),
        "caption": ["a long caption, " * 250, "short"] * (count // 2),  # 4,000 bytes
    }
    arrays = {name: pa.array(values, kind) for name, values in columns.items()}
    options: dict[str, Any] = {"row_group_size": 60_000}
    if encoding != "dictionary":
        columns["caption"] = columns["caption"][: count // 100] + [""] * (count - count // 100)
        arrays["caption"] = pa.array(columns["caption"], kind)
        options |= {"use_dictionary": False, "column_encoding": dict.fromkeys(columns, encoding)}
    path = table(tmp_path / "x.parquet", {"x": [[1.0]] * count, **arrays}, **options)
    examples = read_examples(f"{path}:x", count)
    assert examples is not None
    assert examples.ids.tolist() == columns.pop("id")
    assert example_columns(path) == (columns, {})


def test_a_long_text_is_left_out(tmp_path: Path) -> None:
    columns = {"x": [[1.0]] * 3, "document": ["word " * 1000, "short", None], "label": list("abc")}
    path = table(tmp_path / "x.parquet", columns)
    read, left_out = example_columns(path)
    assert read == {"label": list("abc")}
    assert list(left_out) == ["document"]
    assert "expected texts of at most 4096 bytes, got one of 5000 bytes" in left_out["document"]
    assert "shorten the texts, or write the file without the column" in left_out["document"]


def test_one_long_text_makes_all_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tree/m"
    folder.mkdir(parents=True)
    ids = ["x" * 4000, *map(str, range(999))]
    columns = {"layer": [[1.0]] * 1000, "label": ["y" * 4000] + ["z"] * 999, "id": ids}
    path = table(folder / "7.parquet", columns)
    monkeypatch.setattr("fastcka.memory.UNCHECKED_BYTES", 0)
    monkeypatch.setattr("fastcka.memory.free_memory", lambda: FreeMemory(3_000_000, "free"))
    with pytest.raises(OutOfMemoryError, match=r"as 1000 texts of 4000 bytes needs 4 MB, .*shorte"):
        import_tree(tmp_path / "tree", tmp_path / "store")
    monkeypatch.setattr("fastcka.memory.free_memory", lambda: FreeMemory(10_000_000, "free"))
    with pytest.raises(OutOfMemoryError, match=r"reading 'id' in .* needs 16 MB, .*shorten the lo"):
        read_examples(f"{path}:layer", 1000)
    monkeypatch.setattr("fastcka.memory.free_memory", lambda: FreeMemory(30_000_000, "free"))
    examples = read_examples(f"{path}:layer", 1000)
    assert examples is not None
    assert examples.ids.tolist() == ids
