"""Masks, missing values and packed values in arrays and tables of any library."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch._subclasses.fake_tensor import FakeTensorMode

import fastcka
import oracle
from fastcka.errors import InputError
from fastcka.store.file.layer_array import as_layer_array


@pytest.fixture
def x(rng):
    return rng.standard_normal((20, 3)).astype(np.float32)


@pytest.fixture
def y(rng):
    return rng.standard_normal((20, 2))


def refused(value, message):
    """Check that a comparison and a store refuse the array."""
    with pytest.raises(InputError, match=message):
        fastcka.cka(value, np.random.default_rng(0).standard_normal((20, 2)))
    with pytest.raises(InputError, match=message):
        as_layer_array("a", value)


class Convertible:
    """A variable of netCDF4: the array protocol converts it to a masked array."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


def test_masked_arrays(x, y):
    masked = np.ma.masked_greater(x, 1)
    assert masked.mask.any()
    refused(masked, "is a masked array")
    refused(np.ma.masked_array(x), "is a masked array")
    refused(Convertible(masked), "is a masked array")
    for items in (list(masked), tuple(masked), [list(row) for row in masked]):
        refused(items, "contains a masked array in a list")
    similarity = fastcka.cka(Convertible(np.ma.masked_array(x)), y)
    assert similarity == pytest.approx(oracle.cka(x, y, "unbiased"), abs=2e-7)


class Delayed:
    """An array of dask: it has no mask until it is computed."""

    def __init__(self, array):
        self._array = array

    def compute(self):
        return self._array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._array)


def test_lazy_arrays(monkeypatch, x, y):
    monkeypatch.setitem(sys.modules, "dask.array", SimpleNamespace(Array=Delayed))
    refused(Delayed(np.ma.masked_greater(x, 1)), "is a masked array")
    similarity = fastcka.cka(Delayed(x), y)
    assert similarity == pytest.approx(oracle.cka(x, y, "unbiased"), abs=2e-7)


@pytest.mark.filterwarnings("ignore")
def test_tensors_without_plain_memory_are_refused(x):
    tensor = torch.from_numpy(x)
    refused(torch.masked.masked_tensor(tensor, tensor > 0), "got a MaskedTensor")
    refused(torch.nested.nested_tensor([tensor[:3], tensor[:5]]), "got a nested tensor")
    refused(FakeTensorMode().from_tensor(tensor), "got a FakeTensor")


def test_plain_subclasses_of_tensors(x, y):
    expected = oracle.cka(x, y, "unbiased")
    for tensor in (torch.nn.Parameter(torch.from_numpy(x)), Named(torch.from_numpy(x))):
        assert fastcka.cka(tensor, y) == pytest.approx(expected, abs=2e-7)


class Named(torch.Tensor):
    """A subclass, such as those of torchvision."""


def test_tables_with_missing_values(x):
    for dtype in ("Float32", "Int64", "boolean"):
        table = pd.DataFrame((x > 0) * 1).astype(dtype)
        table.iloc[[4, 7], 1] = pd.NA
        refused(table, "has 2 missing values in column 1, the first in row 4")


@pytest.mark.parametrize("dtype", ["Float32", "Int64", "boolean", "category", "Sparse[float]"])
def test_tables_of_other_dtypes(x, y, dtype):
    whole = (x > 0) * 1
    table = pd.DataFrame(whole).astype(dtype)
    assert fastcka.cka(table, y) == pytest.approx(oracle.cka(whole, y, "unbiased"), abs=2e-7)


def test_tables_of_several_dtypes(x, y):
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1] > 0, "c": (x[:, 2] > 0).astype("i4")})
    whole = np.column_stack([x[:, 0], x[:, 1] > 0, x[:, 2] > 0])
    assert fastcka.cka(table, y) == pytest.approx(oracle.cka(whole, y, "unbiased"), abs=2e-7)
    np.testing.assert_array_equal(as_layer_array("a", table).values, whole)
    for column in (pd.date_range("2020", periods=20), ["text"] * 20, [1 + 2j] * 20):
        refused(table.assign(c=column), "must contain real numbers, but column 'c' has dtype")


def test_values_that_an_attribute_marks_as_missing(x):
    x[5, 1] = x[7, 0] = -9999.9
    for name in ("_FillValue", "missing_value"):
        array = xr.DataArray(x, attrs={name: -9999.9})  # a float64; the values are float32
        refused(array, rf"2 of 60 values equal attribute '{name}' .* first is at \[5, 1\]")


def test_packed_values_are_refused(x, y):
    for attributes in ({"scale_factor": 0.1}, {"add_offset": np.array([3.0])}):
        refused(xr.DataArray(x, attrs=attributes), "the stored values are packed: attribute")
    neutral = {"scale_factor": 1.0, "add_offset": 0, "_FillValue": np.nan, "units": "V"}
    similarity = fastcka.cka(xr.DataArray(x, attrs=neutral), y)
    assert similarity == pytest.approx(oracle.cka(x, y, "unbiased"), abs=2e-7)


def test_values_outside_the_valid_range(x):
    x[2, 1] = 500
    above = r"1 of 60 values are above the largest valid value \(100.*at \[2, 1\]"
    refused(xr.DataArray(x, attrs={"valid_range": [-100, 100]}), above)
    refused(xr.DataArray(x, attrs={"valid_max": 100}), above)
    refused(xr.DataArray(-x, attrs={"valid_min": -100.0}), "1 of 60 values are below the smallest")


def test_an_open_dataset(tmp_path, x, y):
    x[0, 2] = -1
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["plain"] = x
        file["marked"] = x
        file["marked"].attrs["_FillValue"] = np.array([-1], "f4")
        file.create_dataset("unwritten", data=x, fillvalue=-1)
        similarity = fastcka.cka(file["plain"], y)
        assert similarity == pytest.approx(oracle.cka(x, y, "unbiased"), abs=2e-7)
        refused(file["marked"], "1 of 60 values equal attribute '_FillValue'")
        refused(file["unwritten"], "1 of 60 values equal the dataset's fill value")


def test_a_dataset_of_xarray(x):
    dataset = xr.Dataset({"u": (("e", "f"), x)})
    refused(dataset, r"got an xarray Dataset: pass one variable, x\[name\], of 'u'")


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        ([("a", "f4"), ("b", "f4")], "structured_to_unstructured"),
        ("M8[ns]", "astype"),
        ("m8[s]", "astype"),
        ("c16", "real and the imaginary part"),
    ],
)
def test_dtypes_that_are_not_numbers(dtype, remedy):
    for shape in ((20,), (20, 2)):
        with pytest.raises(InputError, match=f"must hold real numbers, got dtype .*{remedy}"):
            fastcka.cka(np.zeros(shape, dtype), np.eye(20))
