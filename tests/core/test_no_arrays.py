"""Objects of other libraries that are no arrays, and lists that are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fastcka
from fastcka.errors import InputError


@pytest.fixture
def x(rng):
    return rng.standard_normal((12, 3))


@pytest.fixture
def y(rng):
    return rng.standard_normal((12, 4))


def refused(x, y, *parts):
    for call in (lambda: fastcka.cka(x, y), lambda: fastcka.compare({"x": x, "y": y})):
        with pytest.raises(InputError) as caught:
            call()
        for part in ("x", *parts):
            assert part in str(caught.value)


def test_a_sparse_matrix(x, y):
    sparse = pytest.importorskip("scipy.sparse")
    for matrix in (sparse.csr_matrix(x), sparse.coo_array(x)):
        kind = type(matrix).__name__
        refused(matrix, y, f"expected an array, got {kind} of scipy.sparse: x.toarray() is dense")
    assert fastcka.cka(sparse.csr_matrix(x).toarray(), y) == fastcka.cka(x, y)


def test_an_anndata(x, y):
    anndata = pytest.importorskip("anndata")
    data = anndata.AnnData(x, obsm={"pca": x[:, :2]})
    remedy = "got AnnData of anndata: its representations are x.X, x.layers[name] and x.obsm"
    refused(data, y, remedy)
    with pytest.raises(InputError, match="a sequence or mapping of arrays, got AnnData of"):
        fastcka.compare(data)
    assert fastcka.cka(data.X, y) == fastcka.cka(x, y)


def test_a_group_of_zarr(x, y):
    zarr = pytest.importorskip("zarr")
    group = zarr.group(zarr.storage.MemoryStore())
    group.create_array("x", data=x)
    group.create_array("y", data=y)
    refused(group, y, "got Group of zarr: its arrays are dict(x.arrays())")
    with pytest.raises(InputError, match="a sequence or mapping of arrays, got Group of zarr"):
        fastcka.compare(group)
    assert fastcka.compare(dict(group.arrays())).cka[0, 1] == fastcka.cka(x, y)


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_a_table_whose_cells_are_lists(x, y, kind):
    series = pd.Series([kind(row) for row in x.tolist()])
    name = type(series[0]).__name__
    remedy = f"got items of type {name}: if all have one length, numpy.stack(list(x))"
    for cells in (series, series.to_frame("embedding"), series.to_numpy()):
        refused(cells, y, remedy)
    assert fastcka.cka(np.stack(list(series)), y) == fastcka.cka(x, y)


def test_lists_of_different_lengths(x, y):
    rows = x.tolist()
    rows[2] = rows[2][:-1]
    d = x.shape[1]
    refused(
        rows, y, f"expected rows of one length, got the length {d} in row 0 and {d - 1} in row 2"
    )
    refused([np.array(row) for row in rows], y, f"the length {d} in row 0 and {d - 1} in row 2")
    refused([*rows[:2], 3.0], y, "inhomogeneous shape")
    refused([*rows[:2], np.array(3.0)], y, "inhomogeneous shape")
