"""Arrays of every kind, written to a store and read back."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcka.errors import InputError
from fastcka.store import Key, Store, create_store, open_store
from fastcka.store.file.writer import chunk_rows
from store.written_layers import KEY, write


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_are_read_bit_for_bit(store: Store, dtype: str, order: str) -> None:
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(dtype)
    x[0] = [0.0, -0.0, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal]
    got = write(store, x.astype(x.dtype.newbyteorder(order)))
    assert got.dtype == np.dtype(dtype)
    assert got.dtype.isnative
    assert got.tobytes() == x.tobytes()
    assert store.info(KEY).dtype == dtype


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint16"], ids=lambda name: name
)
def test_small_integers_become_float32_exactly(store: Store, dtype: str) -> None:
    limits = [0, 1] if dtype == "bool" else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    x = np.array([limits, limits[::-1]], dtype=dtype)
    got = write(store, x)
    assert got.dtype == np.float32
    assert got.tolist() == [[float(v) for v in limits], [float(v) for v in limits[::-1]]]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint64", "complex64", "longdouble", "U3"])
def test_other_formats_are_refused(store: Store, dtype: str) -> None:
    with pytest.raises(InputError, match=r"layers\['a'\]: expected float16, bfloat16"):
        write(store, np.zeros((3, 2)).astype(dtype))


def test_several_arrays_are_no_layer(store: Store) -> None:
    x = np.ones((5, 2))
    for outputs in ((x, x), [x, x]):  # as an attention module returns
        with pytest.raises(InputError, match=r"a (tuple|list) of 2 arrays, the first of shape \(5"):
            write(store, outputs)
    with pytest.raises(InputError, match=r"layers\['a'\]: .* a mapping with the keys \['b'\]"):
        write(store, {"b": x})
    np.testing.assert_array_equal(write(store, list(x)), x)


@pytest.mark.parametrize("given", [None, {}, "abc", [np.ones((3, 2))], np.ones((3, 2))])
def test_what_is_no_mapping_of_layers(store: Store, given: object) -> None:
    with pytest.raises(InputError, match=r"layers: expected a mapping of at least") as caught:
        store.write(model="m", step=0, layers=given)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 100


LAYOUTS = {
    "fortran": lambda x: np.asfortranarray(x),
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "padded rows": lambda x: np.pad(x, ((0, 0), (0, 3)))[:, : x.shape[1]],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": lambda x: x.T.copy().T,
    "list": lambda x: x.astype(np.float64).tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(store: Store, values: np.ndarray, layout: str) -> None:
    x = LAYOUTS[layout](values)
    np.testing.assert_array_equal(write(store, x), values)


def test_read_only_input_is_unchanged(store: Store, values: np.ndarray) -> None:
    before = values.copy()
    values.flags.writeable = False
    np.testing.assert_array_equal(write(store, values), before)


def test_further_axes_are_flattened_in_c_order(store: Store) -> None:
    x = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    got = write(store, np.asfortranarray(x))
    assert got.tolist() == [list(range(12)), list(range(12, 24))]


def test_layers_of_several_chunks(store: Store) -> None:
    x = np.random.default_rng(1).normal(size=(1500, 1000)).astype(np.float32)  # 5.7 MiB
    got = write(store, np.asfortranarray(x))
    np.testing.assert_array_equal(got, x)
    with h5py.File(store.info(KEY).path) as file:
        data = file["layers/0/x"]
        assert data.id.get_num_chunks() == 3
        assert 1 << 20 <= data.chunks[0] * 4000 <= 4 << 20


@given(n=st.integers(1, 10**6), row_bytes=st.integers(2, 2**27))
def test_chunks_hold_one_to_four_mebibytes_or_all_or_one_row(n: int, row_bytes: int) -> None:
    rows = chunk_rows(n, row_bytes)
    assert 1 <= rows <= n
    assert rows * row_bytes <= 4 << 20 or rows == 1
    assert rows * row_bytes >= 1 << 20 or rows == n
    assert -(-n // rows) * rows - n < max(rows, 2)  # no chunk without a row


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_small_matrix_round_trips(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    n, d = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    width = data.draw(st.sampled_from([16, 32, 64]))
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=width)
    x = np.array(
        data.draw(st.lists(numbers, min_size=n * d, max_size=n * d)), dtype=f"float{width}"
    ).reshape(n, d)
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
    model = data.draw(text)
    layer = data.draw(st.sampled_from(["0", "block1.mlp/act", "../../x", "λ", "."]))
    ids = data.draw(st.lists(text, min_size=n, max_size=n, unique=True))
    store = create_store(tmp_path_factory.mktemp("any") / "s")
    store.write(model=model, step=3, layers={layer: x}, example_ids=ids)
    reopened = open_store(store.path)
    assert reopened.keys() == [Key(model, 3, layer)]
    assert reopened.read(Key(model, 3, layer)).tobytes() == x.tobytes()
    assert reopened.examples(Key(model, 3, layer)).ids.tolist() == ids
    inside = [path.relative_to(store.path).parts[0] for path in store.path.rglob("*")]
    assert set(inside) <= {"store.json", "models"}


def test_torch_tensors(store: Store) -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    store.write(
        model="m",
        step=0,
        layers={
            "f32": x.clone().requires_grad_(),
            "f16": x.half(),
            "f64": x.double().t().contiguous().t(),
            "bf16": (x / 3).bfloat16(),
            "bf16 strided": torch.stack([x / 3, x], dim=2).bfloat16()[:, :, 0],
            "negated": torch._neg_view(x),
        },
    )
    keys = store.keys()
    got = {key.layer: store.read(key) for key in keys}
    for name in ("f32", "f16", "f64"):
        assert got[name].dtype == {"f32": "f4", "f16": "f2", "f64": "f8"}[name]
        assert got[name].tolist() == x.tolist()
    assert got["negated"].tolist() == (-x).tolist()
    expected = (x / 3).bfloat16().to(torch.float32).numpy()
    for name in ("bf16", "bf16 strided"):
        assert store.info(Key("m", 0, name)).dtype == "bfloat16"
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], expected)
    for bad in (x.to_sparse(), x.to("meta"), x.to(torch.int64)):
        with pytest.raises(InputError, match=r"layers\['a'\]"):
            write(store, bad, overwrite=True)


def test_dlpack(store: Store, values: np.ndarray) -> None:
    class Foreign:
        def __dlpack__(self, **options: object) -> object:
            return values.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return values.__dlpack_device__()

    np.testing.assert_array_equal(write(store, Foreign()), values)


def test_out_of_any_strides_and_format(store: Store, values: np.ndarray) -> None:
    write(store, values)
    padded = np.full((7, 9), np.nan, dtype=np.float32)
    got = store.read(KEY, out=padded[:, :5])
    assert np.shares_memory(got, padded)
    np.testing.assert_array_equal(padded[:, :5], values)
    assert np.isnan(padded[:, 5:]).all()
    wide = np.empty((5, 7), dtype=np.float64).T
    np.testing.assert_array_equal(store.read(KEY, out=wide), values)
    for bad in (np.empty((7, 4), "f4"), np.empty((7, 5), "f2"), [[0.0]], np.empty((5, 7), "f4")):
        with pytest.raises(InputError, match="out: expected"):
            store.read(KEY, out=bad)
    values.flags.writeable = False
    with pytest.raises(InputError, match="out: expected a writable"):
        store.read(KEY, out=values)


def test_out_too_narrow_for_the_values(store: Store) -> None:
    write(store, np.array([[1.0, 1e300]]))
    with pytest.raises(InputError, match="too large for float32; give a float64"):
        store.read(KEY, out=np.empty((1, 2), np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_non_finite_values_are_named(store: Store, bad: float, dtype: str) -> None:
    x = np.zeros((600, 2000), dtype="f4")  # several blocks
    x[450, 7] = x[599, 1999] = bad
    if dtype == "bfloat16":
        torch = pytest.importorskip("torch")
        given = torch.tensor(x).bfloat16()
    else:
        given = x.astype(dtype)
    message = r"layers\['a'\]: expected finite values, got 2 NaN or Inf of 1200000, .*\[450, 7\]"
    with pytest.raises(InputError, match=message):
        write(store, given)
    assert store.keys() == []
    assert [path for path in store.path.rglob("*") if path.is_file()] == [store.path / "store.json"]


def test_wide_integers_are_refused_with_the_remedy(store: Store) -> None:
    with pytest.raises(InputError, match=re.escape('x.astype("float32") or x.astype("float64")')):
        write(store, np.zeros((3, 2), np.int64))


def test_wide_integers_are_refused_with_a_remedy_that_keeps_their_digits(store: Store) -> None:
    for wide, remedy in (
        (2**24 + 1, 'x.astype("float64"), which is exact'),
        (2**53 + 1, "subtract a constant, as in (x - x.min(axis=0))"),
    ):
        with pytest.raises(InputError, match=re.escape(remedy)):
            write(store, np.full((3, 2), wide))
