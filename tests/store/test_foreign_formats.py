"""HDF5 after a user block, variables of MATLAB, and missing values of netCDF."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import fastcka
import oracle
from fastcka.errors import CorruptFileError, FastckaError, InputError
from fastcka.store import has_matlab_axes, import_tree, open_store, read_array
from fastcka.store.file.key import Key

X = np.arange(24, dtype=np.float32).reshape(6, 4)
HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema"


def write_matlab(path: Path, write: Callable[[h5py.File], None]) -> Path:
    """Write a file of MATLAB: HDF5 after 512 bytes that begin with its name."""
    with h5py.File(path, "w", userblock_size=512) as file:
        write(file)
    with path.open("r+b") as raw:
        raw.write(HEADER.ljust(124) + b"\x00\x02IM")
    return path


def put(
    file: h5py.File, name: str, stored: Any, kind: str = "double", **attributes: Any
) -> h5py.Dataset:
    """Write a variable of MATLAB; ``stored`` has the axes of the file, which are reversed."""
    data = file.create_dataset(name, data=stored)
    data.attrs["MATLAB_class"] = np.bytes_(kind)
    for key, value in attributes.items():
        data.attrs[key] = value
    return data


# The signature


@pytest.mark.parametrize("size", [512, 1024, 2048, 1 << 16])
@pytest.mark.parametrize("suffix", ["h5", "hdf5", "mat", "nc"])
def test_hdf5_after_a_user_block(tmp_path: Path, size: int, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    with h5py.File(path, "w", userblock_size=size) as file:
        file["x"] = X
    np.testing.assert_array_equal(read_array(f"{path}:/x"), X)
    assert not has_matlab_axes(path)


@pytest.mark.parametrize(
    ("name", "start", "error", "message"),
    [
        ("x.mat", b"MATLAB 5.0 MAT-file, Platform", InputError, r"before 7\.3.*scipy\.io\.loadmat"),
        ("x.mat", b"\0\0\0\0\x06\0\0\0", CorruptFileError, r"not an HDF5 .*save\(file, '-v7\.3'\)"),
        ("x.mat", HEADER, CorruptFileError, "the file is cut off after 1000 bytes"),
        ("x.nc", b"CDF\x02", InputError, "netCDF file of the classic format.*nccopy"),
        ("x.h5", b"\0" * 512 + b"\x89HDX", CorruptFileError, "not an HDF5 file"),
    ],
)
def test_other_formats(
    tmp_path: Path, name: str, start: bytes, error: type[FastckaError], message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(start.ljust(1000, b"\0"))
    with pytest.raises(error, match=message):
        read_array(path)


def test_a_signature_at_another_offset_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = X
    for shift in (8, 256, 1536):
        path = tmp_path / "y.h5"
        path.write_bytes(bytes(shift) + (tmp_path / "x.h5").read_bytes())
        with pytest.raises(CorruptFileError, match="not an HDF5 file"):
            read_array(path)


def test_a_file_that_matlab_wrote() -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = Path(scipy_io.__file__).parent / "matlab/tests/data/testhdf5_7.4_GLNX86.mat"
    if not path.exists():
        pytest.skip("SciPy is installed without its test data")
    expected = np.linspace(0, 2 * np.pi, 9)[None, :]  # testdouble = 0:pi/4:2*pi
    np.testing.assert_allclose(read_array(path), expected, rtol=1e-15)


# MATLAB


def test_axes_are_in_the_order_of_matlab(tmp_path: Path, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 20, 5))
    cube = rng.standard_normal((20, 3, 2))

    def write(file: h5py.File) -> None:
        put(file, "x", x.T)
        put(file, "single", y.T.astype("f4"), "single")
        put(file, "cube", cube.transpose(2, 1, 0))
        put(file, "flags", (x.T > 0).astype("u1"), "logical", MATLAB_int_decode=np.int32(1))
        file.create_group("net").attrs["MATLAB_class"] = np.bytes_("struct")
        put(file, "net/acts", y.T)
        file["plain"] = y  # not by MATLAB: as HDF5 shows it
        file.create_group("#refs#")["a"] = np.zeros(2, "u8")

    path = write_matlab(tmp_path / "a.mat", write)
    for name, expected in {
        "x": x,
        "single": y.astype("f4"),
        "cube": cube,
        "flags": x > 0,
        "net/acts": y,
        "plain": y,
    }.items():
        got = read_array(f"{path}:{name}")
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
        assert has_matlab_axes(f"{path}:{name}") == (name != "plain")
    similarity = fastcka.cka(read_array(f"{path}:x"), read_array(f"{path}:net/acts"))
    assert similarity == pytest.approx(oracle.cka(x, y, "unbiased"), abs=1e-9)
    with pytest.raises(
        InputError, match=r"contains 6 arrays; .* of /cube, /flags, /net/acts, /plain"
    ):
        read_array(path)


def cells(file: h5py.File) -> None:
    referenced = file.create_group("#refs#").create_dataset("a", data=X)
    data = file.create_dataset("x", (1, 1), h5py.ref_dtype)
    data[0, 0] = referenced.ref
    data.attrs["MATLAB_class"] = np.bytes_("cell")


def sparse(file: h5py.File) -> None:
    group = file.create_group("x")
    group.attrs["MATLAB_class"] = np.bytes_("double")
    group.attrs["MATLAB_sparse"] = np.uint64(6)
    for name in ("data", "ir", "jc"):
        group[name] = np.arange(4)


MATLAB_REFUSED = {
    "cell": (cells, "class cell: .*cell2mat"),
    "char": (
        lambda file: put(file, "x", X.astype("u2"), "char", MATLAB_int_decode=np.int32(2)),
        "class char: text",
    ),
    "string": (
        lambda file: put(file, "x", X.astype("u4"), "string", MATLAB_object_decode=np.int32(3)),
        "class string:",
    ),
    "object": (
        lambda file: put(file, "x", X.astype("u4"), "Net", MATLAB_object_decode=np.int32(1)),
        "class Net: save",
    ),
    "function": (lambda file: put(file, "x", X.astype("u2"), "function_handle"), "function_handle"),
    "empty": (
        lambda file: put(file, "x", np.array([0, 5], "u8"), MATLAB_empty=np.uint8(1)),
        "an empty MATLAB array",
    ),
    "complex": (
        lambda file: put(file, "x", np.zeros((4, 6), [("real", "f8"), ("imag", "f8")])),
        r"a complex MATLAB array: save \[real\(x\) imag\(x\)\]",
    ),
    "sparse": (sparse, r"a MATLAB sparse matrix; save full\(x\)"),
}


@pytest.mark.parametrize("name", MATLAB_REFUSED)
def test_matlab_variables_that_are_not_numbers(tmp_path: Path, name: str) -> None:
    write, message = MATLAB_REFUSED[name]
    path = write_matlab(tmp_path / "a.mat", write)
    with pytest.raises(InputError, match=rf"a\.mat:/x: .*{message}"):
        read_array(f"{path}:x")


def test_import_of_matlab_files(tmp_path: Path, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 8, 3))
    folder = tmp_path / "tree" / "m"
    folder.mkdir(parents=True)

    def write(file: h5py.File) -> None:
        put(file, "layer10", x.T)
        put(file, "layer2", y.T)
        put(file, "label", np.arange(8, dtype="u2")[None], "char")

    write_matlab(folder / "100.mat", write)
    report = import_tree(tmp_path / "tree", tmp_path / "s")
    store = open_store(tmp_path / "s")
    assert [key.layer for key in store.keys()] == ["layer2", "layer10"]
    np.testing.assert_array_equal(store.read(Key("m", 100, "layer10")), x)
    reported = [finding for finding in report.findings if finding.reason == "MATLAB axes"]
    assert [finding.layer for finding in reported] == ["layer2", "layer10"]
    assert "read with the shape (8, 3) that MATLAB shows" in reported[0].detail
    (skipped,) = report.skipped
    assert "class char" in skipped.detail


# netCDF


def marked(path: Path, values: np.ndarray, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("x", data=values)
        for name, value in attributes.items():
            data.attrs[name] = value
    return path


@pytest.mark.parametrize(
    ("dtype", "attributes", "message"),
    [
        ("f4", {"_FillValue": np.array([-9999.9], "f4")}, r"2 of 24 .*'_FillValue' \(-9999\.9"),
        ("f4", {"missing_value": -9999.9}, r"'missing_value' \(-9999.9\).*first is at \[1, 2\]"),
        ("f8", {"missing_value": np.array([7.5, -9999.9])}, r"2 of 24 values equal attribute"),
        ("f8", {"missing_value": np.bytes_("-9999.9")}, "'missing_value' is '-9999.9'; expected a"),
        ("f8", {"missing_value": "-9999.9"}, "attribute 'missing_value': expected numbers"),
        ("i2", {"_FillValue": np.int16(-9999)}, r"2 of 24 values equal .* \(-9999\)"),
        ("i2", {"missing_value": -9999.0}, r"2 of 24 values equal .* \(-9999.0\)"),
        ("i2", {"_Unsigned": np.bytes_("true")}, r"2 of 24 values are negative.*x\.view\('u2'\)"),
        ("f8", {"valid_min": 0.0}, "2 of 24 values are below the smallest valid value"),
        ("f8", {"valid_range": [-1e5, 20.0]}, "3 of 24 values are above the largest valid value"),
        ("i2", {"scale_factor": 0.01}, "packed: attribute 'scale_factor' is 0.01"),
        ("i2", {"add_offset": np.array([273.15])}, "packed: attribute 'add_offset'"),
    ],
)
def test_values_that_attributes_mark_as_missing(
    tmp_path: Path, dtype: str, attributes: dict[str, Any], message: str
) -> None:
    values = X.astype(dtype)
    values[1, 2] = values[3, 0] = -9999.9 if dtype != "i2" else -9999
    path = marked(tmp_path / "x.h5", values, **attributes)
    with pytest.raises(InputError, match=r"x\.h5:/x: .*" + message):
        read_array(f"{path}:/x")


def test_attributes_that_match_no_value(tmp_path: Path) -> None:
    path = marked(
        tmp_path / "x.nc",
        X,
        _FillValue=np.float32(9.96921e36),
        missing_value=np.nan,
        scale_factor=1.0,
        add_offset=0,
        valid_range=[0, 100],
        units="V",
        _Unsigned=np.bytes_("false"),
    )
    np.testing.assert_array_equal(read_array(path), X)
    whole = marked(tmp_path / "y.nc", X.astype("u1"), _FillValue=np.int8(-1), missing_value=0.5)
    np.testing.assert_array_equal(read_array(whole), X)


def test_values_that_were_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.nc"
    with h5py.File(path, "w") as file:
        # As netCDF makes a variable without _FillValue: its default is a property.
        data = file.create_dataset("x", (6, 4), "f4", chunks=(6, 4), fillvalue=9.96921e36)
        data[:4] = X[:4]
    with pytest.raises(InputError, match=r"8 of 24 .* the dataset's fill value .*\[4, 0\]"):
        read_array(path)


def test_import_names_missing_values(tmp_path: Path) -> None:
    folder = tmp_path / "tree" / "m" / "1"
    folder.mkdir(parents=True)
    marked(folder / "a.h5", X, _FillValue=np.float32(5))
    np.save(folder / "b.npy", X)
    report = import_tree(tmp_path / "tree", tmp_path / "s")
    (skipped,) = report.skipped
    assert "1 of 24 values equal attribute '_FillValue' (5.0)" in skipped.detail
    assert os.fspath(folder / "a.h5") in skipped.detail
