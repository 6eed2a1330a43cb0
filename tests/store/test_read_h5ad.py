"""`read_array` on files of AnnData, which are HDF5, and the observations in them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from child_memory import MIB, output_of
from fastcka.errors import (
    CorruptFileError,
    FastckaError,
    InputError,
    MissingExtraError,
    OutOfMemoryError,
    UnsafeFileError,
)
from fastcka.store import Key, import_tree, open_array, open_store, read_array, read_examples
from fastcka.store.foreign.examples import example_columns
from fastcka.store.foreign.h5ad import h5ad_id_fields
from store.array_files import X

SPARSE = np.where(X > 0.5, X, 0)
CELLS = [f"cell{i}" for i in range(6)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(["b", "b", None, "a", "a", "a"]),
            "count": np.arange(6),
            "batch_id": list("uuvvww"),
            "good": [True, False] * 3,
            "score": np.linspace(0, 1, 6),
            "known": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
        },
        index=pd.Index(CELLS, name="CellID"),
    )
    data = anndata.AnnData(sparse.csr_matrix(SPARSE), obs=obs)
    data.layers["counts"] = sparse.csc_matrix(SPARSE + 1)
    data.layers["scaled"] = X.astype(np.float64)
    data.obsm["X_pca"] = X[:, :3]
    data.obsm["table"] = pd.DataFrame({"q": X[:, 0]}, index=obs.index)
    data.raw = data.copy()
    data.write_h5ad(tmp_path / "x.h5ad")
    return tmp_path / "x.h5ad"


def edited(path: Path, edit: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("X", SPARSE),
        ("raw/X", SPARSE),
        ("layers/counts", SPARSE + 1),
        ("layers/scaled", X.astype(np.float64)),
        ("obsm/X_pca", X[:, :3]),
        ("/obsm/X_pca", X[:, :3]),
    ],
)
def test_representations(path: Path, name: str, expected: np.ndarray) -> None:
    values = read_array(f"{path}:{name}")
    assert values.dtype == expected.dtype
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(open_array(f"{path}:{name}"), expected)


def test_rows_of_dense_arrays_are_read_later(path: Path) -> None:
    rows = open_array(f"{path}:obsm/X_pca")
    assert type(rows).__name__ == "Hdf5Rows"
    np.testing.assert_array_equal(rows.read(2, 5), X[2:5, :3])


def test_names(path: Path) -> None:
    with pytest.raises(
        InputError, match="of X, layers/counts, layers/scaled, obsm/X_pca, obsm/tab"
    ):
        read_array(path)
    with pytest.raises(InputError, match="contains no array 'obs/count'"):
        read_array(f"{path}:obs/count")
    with pytest.raises(
        InputError, match="obsm/table: expected an array or a sparse matrix, got an"
    ):
        read_array(f"{path}:obsm/table")


def test_observations(path: Path) -> None:
    examples = read_examples(f"{path}:obsm/X_pca", 6)
    assert examples is not None
    assert examples.ids.tolist() == CELLS
    columns, left_out = example_columns(path)
    assert left_out == {}
    assert columns == {
        "cell_type": ["b", "b", None, "a", "a", "a"],
        "count": [0, 1, 2, 3, 4, 5],
        "batch_id": list("uuvvww"),
        "good": [True, False] * 3,
        "score": np.linspace(0, 1, 6).tolist(),
        "known": [1, None, 3, 4, 5, 6],
    }


def test_the_usual_index_has_no_name(tmp_path: Path) -> None:
    anndata.AnnData(X, obs=pd.DataFrame(index=CELLS)).write_h5ad(tmp_path / "y.h5ad")
    examples = read_examples(tmp_path / "y.h5ad", 6)  # X is the only array
    assert examples is not None
    assert examples.ids.tolist() == CELLS


def test_import(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tree/m"
    folder.mkdir(parents=True)
    path.rename(folder / "3.h5ad")
    report = import_tree(tmp_path / "tree", tmp_path / "s")
    (skipped,) = report.findings
    assert (skipped.kind, skipped.layer) == ("skipped", "obsm/table")
    assert report.id_fields == {"CellID": 1}
    with open_store(tmp_path / "s") as store:
        names = ["X", "layers/counts", "layers/scaled", "obsm/X_pca", "raw/X"]
        assert [key.layer for key in store.keys()] == names
        np.testing.assert_array_equal(store.read(Key("m", 3, "X")), SPARSE)
        examples = store.examples(Key("m", 3, "X"))
    assert examples.ids.tolist() == CELLS
    assert examples.columns["cell_type"].tolist() == ["b", "b", "", "a", "a", "a"]


def set_value(name: str, position: int, value: int) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[name][position] = value

    return edit


def set_shape(*shape: int) -> Callable[[h5py.File], None]:
    return lambda file: file["X"].attrs.create("shape", np.array(shape))


def link(file: h5py.File) -> None:
    file["obsm/X_pca2"] = h5py.ExternalLink("other.h5", "/x")


@pytest.mark.parametrize(
    ("edit", "name", "error", "message"),
    [
        (set_value("X/indices", 0, 99), "X", CorruptFileError, "not a sparse matrix, or damaged"),
        (set_value("X/indices", 0, -7), "X", CorruptFileError, "not a sparse matrix, or damaged"),
        (set_value("X/indptr", 1, 10**6), "X", CorruptFileError, "not a sparse matrix, or damag"),
        (set_shape(6, 3), "X", CorruptFileError, "not a sparse matrix, or damaged"),
        (set_shape(6), "X", CorruptFileError, "damaged: attribute 'shape' is not two integers"),
        (set_shape(-6, 4), "X", CorruptFileError, r"damaged: the declared shape is \[-6, 4\]"),
        (set_shape(6, 6), "X", InputError, "a square sparse matrix could be CSR or CSC"),
        (set_shape(6, 10**14), "X", OutOfMemoryError, "needs .* smaller arrays"),
        (link, "obsm/X_pca2", UnsafeFileError, "is an external link; links are not followed"),
    ],
)
def test_files_that_are_refused(
    path: Path,
    edit: Callable[[h5py.File], None],
    name: str,
    error: type[FastckaError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        read_array(f"{edited(path, edit)}:{name}")


def test_codes_outside_the_categories_are_damage(path: Path) -> None:
    edited(path, set_value("obs/cell_type/codes", 0, 2))
    with pytest.raises(CorruptFileError, match="a code is outside its 2 categories"):
        example_columns(path)


def test_categories_of_old_files_are_left_out(path: Path) -> None:
    def old(file: h5py.File) -> None:
        codes, categories = file["obs/cell_type/codes"][:], file["obs/cell_type/categories"][:]
        del file["obs/cell_type"]
        file["obs/cell_type"] = codes
        file["obs/__categories/cell_type"] = categories

    columns, left_out = example_columns(edited(path, old))
    assert "cell_type" not in columns
    assert list(left_out) == ["cell_type"]


def test_a_sparse_matrix_needs_scipy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"the sparse matrix X needs scipy.*\[formats\]"):
        read_array(f"{path}:X")


def test_an_index_that_cannot_be_told_from_other_text(path: Path) -> None:
    edited(path, lambda file: file.create_dataset("obs/other", data=[f"b{i}" for i in range(6)]))
    assert read_examples(f"{path}:obsm/X_pca", 6) is None
    assert {"CellID", "other"} <= example_columns(path)[0].keys()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("damaged", [False, True])
def test_texts_in_compressed_chunks(path: Path, shuffle: bool, damaged: bool) -> None:
    def compressed(file: h5py.File) -> None:
        texts = file["obs/CellID"][:]
        del file["obs/CellID"]
        file.create_dataset(
            "obs/CellID", data=texts, chunks=(4,), compression="gzip", shuffle=shuffle
        )

    edited(path, compressed)
    if damaged:
        path.write_bytes(path.read_bytes().replace(b"GCOL", b"GCOX"))
        with pytest.raises(CorruptFileError, match=r"the text heap at byte .* is not valid"):
            example_columns(path)
    else:
        examples = read_examples(f"{path}:obsm/X_pca", 6)
        assert examples is not None
        assert examples.ids.tolist() == CELLS


def repeated(path: Path, text: str, count: int, **options: object) -> None:
    """Add a column of texts that all refer to the one text in the file."""
    with h5py.File(path, "r+") as file:
        data = file.create_dataset("obs/note", (count,), h5py.string_dtype(), **options)
        data[0] = text
        offset = data.id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 16 * count] = content[offset : offset + 16] * count
    path.write_bytes(content)


READ = """
from pathlib import Path
from fastcka.errors import FastckaError
from fastcka.store.foreign.examples import example_columns

path, small = map(Path, sys.argv[1:])
example_columns(small)
reset_peak()
start = memory("VmRSS")
try:
    message = example_columns(path)[1]["note"]
except FastckaError as error:
    message = f"{type(error).__name__}: {error}"
print(json.dumps([message, memory("VmHWM") - start]))
"""


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ("x" * MIB, 1000, "/obs/note: expected texts of at most 4096 bytes, got one of 1048576"),
        ("x" * 4000, 200_000, "UnsafeFileError: .*/obs/note: expected data that expands at most"),
    ],
)
def test_references_to_one_long_text(path: Path, text: str, count: int, message: str) -> None:
    small = path.with_name("small.h5ad")
    shutil.copy(path, small)
    repeated(path, text, count)
    got, grown = json.loads(output_of(READ, str(path), str(small)))
    assert re.search(message, got)
    assert grown < 100 * MIB


def test_a_giant_category_is_left_out(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["obs/cell_type/categories"]
        file["obs/cell_type/categories"] = ["a", "b" * 10 * MIB]
    columns, left_out = example_columns(path)
    assert "cell_type" not in columns
    assert columns["count"] == [0, 1, 2, 3, 4, 5]
    message = (
        f"/obs/cell_type/categories: expected texts of at most 4096 bytes, got one of {10 * MIB}"
    )
    assert message in left_out["cell_type"]
    examples = read_examples(f"{path}:obsm/X_pca", 6)
    assert examples is not None
    assert examples.ids.tolist() == CELLS


@pytest.mark.parametrize("name", ["CellID", None])
def test_other_text_does_not_hide_the_ids(tmp_path: Path, name: str | None) -> None:
    obs = pd.DataFrame({"note": ["word " * 1000] * 6}, index=pd.Index(CELLS, name=name))
    anndata.AnnData(X, obs=obs).write_h5ad(tmp_path / "y.h5ad")
    examples = read_examples(tmp_path / "y.h5ad", 6)
    assert examples is not None
    assert examples.ids.tolist() == CELLS
    columns, left_out = example_columns(tmp_path / "y.h5ad")
    assert columns == {}
    assert list(left_out) == ["note"]


def test_only_text_with_a_name_for_ids_is_asked_for(path: Path) -> None:
    edited(path, lambda file: file.create_dataset("obs/other", data=[f"b{i}" for i in range(6)]))
    assert h5ad_id_fields(path).keys() == {"CellID", "other"}
    assert h5ad_id_fields(path, known=True) == {}
    edited(path, lambda file: file.move("obs/other", "obs/image_id"))
    assert h5ad_id_fields(path, known=True).keys() == {"image_id"}
