"""Files and stores that are read in blocks of rows, also under a limit of the address space."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

import fastcka
from fastcka.errors import CorruptFileError, InputError, StoreError, UnsafeFileError
from fastcka.store import Key, create_store, open_array, open_store, read_array

N = 500


@pytest.fixture
def x(rng):
    return rng.standard_normal((N, 6, 4))


def rows_equal(source, expected):
    rows = open_array(source)
    assert rows.shape == expected.shape
    assert rows.n_features == expected[0].size
    np.testing.assert_array_equal(np.asarray(rows), expected)
    for start, stop in [(0, 1), (17, 230), (N - 1, N)]:
        part = rows.read(start, stop)
        assert part.dtype == rows.dtype
        np.testing.assert_array_equal(part, expected[start:stop])
    return rows


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8", "<i2", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, x, dtype, order):
    path = tmp_path / "x.npy"
    for values in (x, x[:, :, 0]):
        values = np.asarray(values * 10, order=order).astype(dtype, order="K")
        np.save(path, values)
        rows = rows_equal(path, values)
        assert rows.nbytes == values.nbytes


def test_hdf5(tmp_path, x):
    path = tmp_path / "x.h5"
    bits = (x[:, 0].astype("f4").view(np.uint32) >> 16).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file["group/plain"] = x
        file.create_dataset("zipped", data=x, chunks=(99, 6, 4), compression="gzip")
        file.create_dataset("bfloat16", data=bits).attrs["logical_dtype"] = np.bytes_("bfloat16")
    for name in ("/group/plain", "/zipped"):
        rows_equal(f"{path}:{name}", x)
    rows_equal(f"{path}:/bfloat16", read_array(f"{path}:/bfloat16"))


def test_other_files_are_read_at_once(tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x)
    array = open_array(tmp_path / "x.npz")
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, x)
    path = tmp_path / "matlab.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("x", data=x[:, :, 0]).attrs["MATLAB_class"] = np.bytes_("double")
    np.testing.assert_array_equal(np.asarray(open_array(path)), x[:, :, 0].T)


def test_files_that_are_refused(tmp_path, x):
    path = tmp_path / "x.npy"
    np.save(path, x)
    with pytest.raises(InputError, match=r"a \.npy file contains one array without a name"):
        open_array(f"{path}:x")
    with pytest.raises(InputError, match="no such file"):
        open_array(tmp_path / "y.npy")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CorruptFileError, match=r"needs 96000 bytes, but 95992 are stored"):
        open_array(path)
    np.save(path, np.array([{}] * N, dtype=object))
    with pytest.raises(UnsafeFileError, match="pickled objects"):
        open_array(path)


def test_files_that_change_while_they_are_read(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = x
    for name in ("x.npy", "x.h5"):
        rows = open_array(tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
        with pytest.raises(InputError, match=f"{name}: the file has changed while it was read"):
            rows.read(0, 10)


def test_missing_values_are_named_by_their_rows(tmp_path, x):
    y = x[:, :, 0].copy()
    y[333, 2] = -99.0
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=y).attrs["_FillValue"] = -99.0
    rows = open_array(path)
    with pytest.raises(
        InputError, match=r"x\.h5:/x\[300:400\]: 1 of 600 values.*first is at \[33, 2\]"
    ):
        rows.read(300, 400)
    with h5py.File(path) as file, pytest.raises(InputError, match=r"1 of .*marks missing values"):
        fastcka.compare([file["x"]] * 2, memory="50kB")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_layers_of_a_store(tmp_path, rng, dtype):
    torch = pytest.importorskip("torch")
    values = torch.from_numpy(rng.standard_normal((N, 24))).to(getattr(torch, dtype))
    key = Key("m", 3, "fc")
    with create_store(tmp_path / "store") as store:
        store.write(model="m", step=3, layers={"fc": values})
    with open_store(tmp_path / "store") as store:
        expected = values.double().numpy()
        rows = store.rows(key)
        np.testing.assert_array_equal(rows.read(100, 300), expected[100:300])
        assert rows.read(0, 1).dtype == rows.dtype
        chosen = rng.permutation(N)[:77]
        some = store.rows(key, chosen)
        assert some.shape == (77, 24)
        np.testing.assert_array_equal(some.read(5, 60), expected[chosen[5:60]])
        other = rng.standard_normal((N, 10))
        result = fastcka.compare({"stored": rows, "array": other}, memory="110kB")
        assert "reads" in result.provenance
        wanted = fastcka.compare([expected, other], precision="float64")
        np.testing.assert_allclose(result.cka, wanted.cka, rtol=0, atol=1e-12)
        with pytest.raises(InputError, match="rows: expected positions from 0 to 499"):
            store.rows(key, np.array([500]))


def test_a_store_that_changes_while_it_is_read(tmp_path, rng):
    with create_store(tmp_path / "store") as store:
        store.write(model="m", step=0, layers={"fc": rng.standard_normal((N, 24))})
        rows = store.rows(Key("m", 0, "fc"))
        rows.read(0, 10)
        layers = {"fc": rng.standard_normal((N, 24))}
        store.write(model="m", step=0, layers=layers, overwrite=True)
        with pytest.raises(StoreError, match=r"the store has changed while .* was read: run again"):
            rows.read(10, 20)
        with pytest.raises(StoreError, match="has changed"):
            fastcka.compare([rows, layers["fc"]], memory="150kB")


LIMITED = """
import json, resource, sys
import numpy as np
import fastcka
from fastcka.store import open_array

extra, *paths = sys.argv[1:]
with open("/proc/self/status") as file:
    size = next(int(line.split()[1]) for line in file if line.startswith("VmSize"))
limit = size * 1024 + (int(extra) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    result = fastcka.compare([open_array(path) for path in paths])
    print(json.dumps([result.provenance.get("reads"), result.cka.tolist()]))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def test_under_a_limit_of_the_address_space(tmp_path, rng):
    """Two arrays of 20 MB: in blocks where 90 MiB are left, else a named error."""
    n, d = 50_000, 100
    arrays = [rng.standard_normal((n, d), dtype="f4") for _ in range(2)]
    arrays[1] += arrays[0]
    paths = [tmp_path / f"{i}.npy" for i in range(2)]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    c = [x - x.mean(axis=0) for x in map(np.float64, arrays)]
    squares = np.array([[np.sum((x.T @ y) ** 2) for y in c] for x in c])
    norms = np.array([[np.sum((x**2).sum(1) * (y**2).sum(1)) for y in c] for x in c])
    totals = np.array([np.sum(x**2) for x in c])
    hsic = squares - norms - 2 / (n - 2) * norms + np.outer(totals, totals) / ((n - 1) * (n - 2))
    expected = hsic / np.sqrt(np.outer(hsic.diagonal(), hsic.diagonal()))
    outcomes = {}
    for extra in (0, 12, 90):
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, str(extra), *map(str, paths)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.returncode == 0, done.stderr
        outcomes[extra] = first, second = json.loads(done.stdout)
        if isinstance(first, str):
            assert first == "OutOfMemoryError"
            assert "are free" in second or "are needed" in second
        else:
            np.testing.assert_allclose(second, expected, rtol=0, atol=1e-9)
    assert outcomes[90][0] == 1
    assert isinstance(outcomes[0][0], str)
