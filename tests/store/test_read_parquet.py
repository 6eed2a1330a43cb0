"""`read_array` on Parquet files, and the ids and columns in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from fastcka.errors import CorruptFileError, InputError, MissingExtraError, UnsafeFileError
from fastcka.store import Key, import_tree, open_store, read_array, read_examples
from fastcka.store.foreign.examples import example_columns
from store.array_files import X

LISTS = {
    "list": pa.list_(pa.float32()),
    "large list": pa.large_list(pa.float32()),
    "fixed-size list": pa.list_(pa.float32(), 4),
}


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    parquet.write_table(pa.table(columns), path, **options)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.parquet"


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("row_group_size", [6, 4])
def test_a_column_of_lists(path: Path, kind: str, row_group_size: int) -> None:
    lists = pa.array(X.tolist(), LISTS[kind])
    write(path, {"n": range(6), "emb": lists}, row_group_size=row_group_size)
    for source in (path, f"{path}:emb"):
        values = read_array(source)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, X)


@pytest.mark.parametrize("dtype", [pa.float16(), pa.float64(), pa.int8(), pa.uint64(), pa.bool_()])
def test_numbers_of_other_types(path: Path, dtype: Any) -> None:
    values = (X > 0).astype(dtype.to_pandas_dtype())
    write(path, {"x": pa.array(values.tolist(), pa.list_(dtype))})
    got = read_array(path)
    assert got.dtype == values.dtype
    np.testing.assert_array_equal(got, values)


def test_lists_of_lists_and_tensors(path: Path) -> None:
    tokens = np.arange(24.0).reshape(4, 3, 2)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(tokens)
    nested = pa.array(tokens.tolist(), pa.list_(pa.list_(pa.float64())))
    write(path, {"nested": nested, "tensors": tensors})
    np.testing.assert_array_equal(read_array(f"{path}:nested"), tokens)
    np.testing.assert_array_equal(read_array(f"{path}:tensors"), tokens)


def test_columns_by_a_pattern(path: Path) -> None:
    columns = {f"pc.{i}": X[:, i] for i in (0, 2, 1)} | {"other": X[:, 3], "text": list("abcdef")}
    write(path, columns)
    np.testing.assert_array_equal(read_array(f"{path}:pc.*"), X[:, [0, 2, 1]])
    np.testing.assert_array_equal(read_array(f"{path}:other"), X[:, 3:])
    for name, message in {
        "pc_*": r"no column 'pc_\*'; it contains pc\.0, pc\.2, pc\.1, other, text",
        "*": "column 'text' contains string; give a pattern that leaves it out",
    }.items():
        with pytest.raises(InputError, match=message):
            read_array(f"{path}:{name}")
    with pytest.raises(InputError, match="contains no column of lists; add :PATTERN"):
        read_array(path)


def test_wide_integers_next_to_floats_keep_their_digits(path: Path) -> None:
    write(path, {"a": np.array([2**53 + 1, 1]), "b": [0.5, 1.5]})
    with pytest.raises(InputError, match=r"x\.parquet:\*.* float64 cannot represent"):
        read_array(f"{path}:*")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0], None], "1 missing value, the first in row 1"),
        ([[1.0, None], [1.0, 2.0]], "contains 1 missing value: fill"),
        (
            [[1.0, 2.0], [1.0]],
            "expected lists of one length, got the length 2 in row 0 and 1 in row 1",
        ),
        ([], "expected at least one row"),
    ],
)
def test_lists_that_are_no_array(path: Path, values: list[Any], message: str) -> None:
    write(path, {"x": pa.array(values, pa.list_(pa.float64()))})
    with pytest.raises(InputError, match=rf"x\.parquet:x: .*{message}"):
        read_array(path)


def test_lengths_that_differ_between_row_groups(path: Path) -> None:
    write(path, {"x": [[1.0, 2.0]] * 3 + [[1.0]] * 3}, row_group_size=3)
    with pytest.raises(InputError, match="length 2 in row 0 and 1 in row 3"):
        read_array(path)


def test_inner_lists_that_differ(path: Path) -> None:
    rows = [[[1.0], [2.0]], [[1.0], [2.0]], [[1.0], [2.0, 3.0]]]
    write(path, {"x": rows})
    with pytest.raises(InputError, match="length 1 in row 0 and 2 in row 2"):
        read_array(path)


def test_names(path: Path) -> None:
    write(path, {"a": X.tolist(), "b": X.tolist(), "words": [["x"]] * 6})
    with pytest.raises(InputError, match="contains 2 arrays; add :NAME with one of a, b"):
        read_array(path)
    with pytest.raises(InputError, match=r"column 'words' contains list<"):
        read_array(f"{path}:words")
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    parquet.write_table(table, path)
    with pytest.raises(InputError, match="two columns have the name 'a'"):
        read_array(path)


def test_damaged_files(path: Path) -> None:
    write(path, {"x": X.tolist()}, compression="none")
    content = path.read_bytes()
    for damaged in (b"", b"PAR1", content[:-9], content[:-60] + b"\xff" * 40 + content[-20:]):
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match="not a Parquet file, or damaged"):
            read_array(path)


def test_a_file_that_expands_implausibly(path: Path) -> None:
    write(path, {"x": pa.FixedSizeListArray.from_arrays(np.zeros(40_000_000, "f4"), 40)})
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UnsafeFileError, match="expands at most 100 times"):
        read_array(path)


def test_without_pyarrow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, {"x": X.tolist()})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow.*\[formats\] extra"):
        read_array(path)


@pytest.mark.parametrize(
    ("columns", "ids"),
    [
        ({"id": list("abcdef"), "image_id": list("uvwxyz")}, list("abcdef")),
        ({"image_id": list("uvwxyz"), "label": list("aabbcc")}, list("uvwxyz")),
        ({"image_id": list("uvwxyz"), "path": list("abcdef")}, None),  # which one is unknown
        ({"sample_id": [5, 4, 3, 2, 1, 0]}, list("543210")),
        ({"label": list("abcdef")}, None),  # no name for ids
    ],
)
def test_ids(path: Path, columns: dict[str, Any], ids: list[str] | None) -> None:
    write(path, columns | {"x": X.tolist()})
    examples = read_examples(f"{path}:x", 6)
    assert (None if examples is None else examples.ids.tolist()) == ids


def test_the_index_of_pandas_contains_the_ids(path: Path) -> None:
    frame = pd.DataFrame({"emb": X.tolist(), "image_id": list("aabbcc")}, index=list("uvwxyz"))
    frame.to_parquet(path)
    examples = read_examples(f"{path}:emb", 6)
    assert examples is not None
    assert examples.ids.tolist() == list("uvwxyz")
    frame.reset_index(drop=True).to_parquet(path)  # a default index is no column
    assert read_examples(f"{path}:emb", 6) is None


def test_import(tmp_path: Path) -> None:
    folder = tmp_path / "tree/m"
    folder.mkdir(parents=True)
    columns = {
        "id": list("abcdef"),
        "layer10": X.tolist(),
        "layer2": (X + 1).tolist(),
        "label": pa.array(list("xxyyzz")).dictionary_encode(),
        "size": [1, 2, None, 4, 5, 6],
        "raw": [b"x"] * 6,
    }
    write(folder / "100.parquet", columns)
    report = import_tree(tmp_path / "tree", tmp_path / "s")
    (left_out,) = report.findings
    assert (left_out.kind, left_out.reason) == ("doubtful", "column left out")
    assert "'raw': expected text, numbers, booleans or times, got binary" in left_out.detail
    assert report.id_fields == {"id": 1}
    store = open_store(tmp_path / "s")
    assert [key.layer for key in store.keys()] == ["layer10", "layer2"]  # as in the file
    np.testing.assert_array_equal(store.read(Key("m", 100, "layer2")), X + 1)
    examples = store.examples(Key("m", 100, "layer2"))
    assert examples.ids.tolist() == list("abcdef")
    assert examples.columns["label"].tolist() == list("xxyyzz")
    assert examples.columns["size"].tolist() == ["1", "2", "", "4", "5", "6"]


def test_import_refuses_a_column_in_two_places(tmp_path: Path) -> None:
    folder = tmp_path / "tree/m/100"
    folder.mkdir(parents=True)
    write(folder / "a.parquet", {"x": X.tolist(), "label": list("aabbcc")})
    rows = "".join(f"{i},{i}\n" for i in range(6))
    (folder / "examples.csv").write_text(f"id,label\n{rows}")
    report = import_tree(tmp_path / "tree", tmp_path / "s")
    (refused,) = report.skipped
    assert refused.reason == "two columns of one name"


def test_values_that_python_cannot_represent(path: Path) -> None:
    invalid = pa.Array.from_buffers(
        pa.string(),
        6,
        [None, pa.py_buffer(np.arange(7, dtype="i4").tobytes()), pa.py_buffer(b"abcde\xff")],
    )
    times = pa.array([2**60] * 6, pa.timestamp("ms"))  # after the year 9999
    write(path, {"x": X.tolist(), "note": invalid, "time": times, "id": list("uvwxyz")})
    columns, left_out = example_columns(path)
    assert columns == {}
    assert left_out.keys() == {"note", "time"}
    assert "x.parquet:note: expected texts in UTF-8" in left_out["note"]
    assert "expected values that Python can represent" in left_out["time"]
    examples = read_examples(f"{path}:x", 6)
    assert examples is not None
    assert examples.ids.tolist() == list("uvwxyz")
    write(path, {"x": X.tolist(), "image_id": invalid})
    with pytest.raises(InputError, match=r"x\.parquet:image_id: expected texts in UTF-8"):
        read_examples(f"{path}:x", 6)
