"""What is written comes back: formats, layouts, examples, factors; and what is refused."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcka.errors import InputError, KeyExistsError, StoreError
from fastcka.store import Key, Store, create_store, open_store
from fastcka.store import store as store_module
from fastcka.store.writer import chunk_rows
from fastcka.sweep import SweepConfig, plan_sweep
from fastcka.sweep.table import header

KEY = Key("m", 0, "a")


def write(store: Store, x: object, **options: object) -> np.ndarray:
    store.write(model="m", step=0, layers={"a": x}, **options)
    return store.read(KEY)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_come_back_bit_for_bit(store: Store, dtype: str, order: str) -> None:
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


def test_read_only_input_stays_untouched(store: Store, values: np.ndarray) -> None:
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


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "expected a mapping of at least one layer"),
        ({"a": np.zeros(3)}, r"expected \(n_examples, n_features\).*got shape \(3,\)"),
        ({"a": np.zeros(())}, "got shape"),
        ({"a": np.zeros((0, 3))}, "expected at least one value"),
        ({"a": np.zeros((3, 0))}, "expected at least one value"),
        ({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))}, "'b'.: 4 examples, but .*'a'.* has 3"),
        ({"": np.zeros((3, 2))}, "non-empty string"),
        ({"a\0b": np.zeros((3, 2))}, "without NUL"),
        ({3: np.zeros((3, 2))}, "non-empty string"),
        ({"a": np.ma.masked_equal(np.eye(2), 0)}, "masked"),
        ({"a": "text"}, "got <?str|got shape"),
        ({"a": [[1.0], [1.0, 2.0]]}, "expected an array in CPU memory"),
    ],
)
def test_layers_that_are_refused(store: Store, layers: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        store.write(model="m", step=0, layers=layers)


def test_examples_come_back(store: Store, values: np.ndarray) -> None:
    columns = {
        "region": ["a", "", "é", "日本", "b", "b", "b"],
        "index": np.arange(7),
        "weight": [0.5, 1, 2, float("nan"), 4, 5, 6],
        "held out": [True, False] * 3 + [True],
    }
    write(store, values, example_ids=[f"id{i}é" for i in range(7)], example_columns=columns)
    examples = store.examples(KEY)
    assert examples.ids.tolist() == [f"id{i}é" for i in range(7)]
    assert examples.columns["region"].tolist() == columns["region"]
    assert examples.columns["index"].dtype == np.int64
    assert examples.columns["index"].tolist() == list(range(7))
    np.testing.assert_array_equal(examples.columns["weight"], columns["weight"])
    assert examples.columns["held out"].dtype == np.bool_
    assert examples.columns["held out"].tolist() == columns["held out"]


def test_default_ids(store: Store, values: np.ndarray) -> None:
    write(store, values)
    assert store.examples(KEY).ids.tolist() == ["0", "1", "2", "3", "4", "5", "6"]
    assert store.examples(KEY).columns == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"example_ids": ["a", "b"]}, "example_ids: expected 7 ids, .* got 2"),
        ({"example_ids": list("abcdefa")}, "'a' is at 0 and at 6"),
        ({"example_ids": [True] * 7}, r"example_ids\[0\]: .* or an integer, got True"),
        ({"example_ids": [1, "1", *"abcde"]}, "integers .* and text"),
        ({"example_ids": "abcdefg"}, "example_ids: expected a sequence of ids, got str"),
        ({"example_ids": [*"abcdef", "g\0"]}, "without NUL"),
        ({"example_ids": [*"abcdef", ""]}, "non-empty"),
        ({"example_ids": [*"abcdef", "\ud800"]}, "not UTF-8"),
        ({"example_columns": {"c": [1]}}, r"example_columns\['c'\]: expected 7 values"),
        ({"example_columns": {"c": [1, "a"] + [1] * 5}}, "one kind, got int, str"),
        ({"example_columns": {"c": [True, 1] + [1] * 5}}, "one kind, got bool, int"),
        ({"example_columns": {"c": [None] * 7}}, "got None"),
        ({"example_columns": {"c": [2**70] * 7}}, "64 bits"),
        ({"example_columns": {"id": [1] * 7}}, "cannot name a column"),
        ({"example_columns": {"a/b": [1] * 7}}, "cannot name a column"),
        ({"example_columns": {"..": [1] * 7}}, "cannot name a column"),
        ({"factors": {"a": {"b": 1}}}, r"factors\['a'\]"),
        ({"factors": {"a": [[1]]}}, r"factors\['a'\]"),
        ({"factors": {"a": float("nan")}}, "finite"),
        ({"factors": {1: 1}}, "names that are non-empty strings"),
        ({"factors": [1]}, "expected a mapping"),
        ({"factors": {"a": "x" * 60_000}}, "at most 60000"),
        ({"provenance": {"a": object()}}, "provenance: expected values that JSON"),
        ({"provenance": {"a": float("inf")}}, "provenance"),
        ({"layer_attributes": {"b": {"io": "out"}}}, "'b' is not among layers"),
        ({"layer_attributes": {"a": {"x": "out"}}}, "expected pooling or io, got 'x'"),
        ({"layer_attributes": {"a": {"io": 3}}}, "non-empty string"),
    ],
)
def test_options_that_are_refused(
    store: Store, values: np.ndarray, options: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write(store, values, **options)
    assert store.keys() == []


@pytest.mark.parametrize("step", [-1, 1.0, True, "1", None, 2**63])
def test_steps_that_are_refused(store: Store, values: np.ndarray, step: object) -> None:
    with pytest.raises(InputError, match="step: expected an integer"):
        store.write(model="m", step=step, layers={"a": values})


@pytest.mark.parametrize("model", ["", "a\0", 3, "\ud800", "x" * 2000])
def test_model_names_that_are_refused(store: Store, values: np.ndarray, model: object) -> None:
    with pytest.raises(InputError, match="model: "):
        store.write(model=model, step=0, layers={"a": values})


def test_factors_come_back_as_plain_values(store: Store, values: np.ndarray) -> None:
    factors = {
        "seed": np.int64(3),
        "rate": np.float32(0.5),
        "bias": np.bool_(True),
        "tasks": ("a", "b"),
        "name": "é",
        "none": None,
    }
    write(store, values, factors=factors)
    got = store.factors("m")
    assert got == {
        "seed": 3,
        "rate": 0.5,
        "bias": True,
        "tasks": ["a", "b"],
        "name": "é",
        "none": None,
    }
    assert [type(value) for value in got.values()][:4] == [int, float, bool, list]
    got["tasks"].append("c")
    assert store.factors("m")["tasks"] == ["a", "b"]


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ({"seed": 1}, r"factors\['seed'\]: got 1, but model 'm' has 0 at step 5"),
        ({"seed": False}, "got false"),
        ({"seed": 0.0}, r"got 0\.0"),
        (None, r"factors\['seed'\]: got nothing"),
        ({"seed": 0, "more": 1}, r"factors\['more'\]: got 1, but .* has nothing"),
    ],
)
def test_factors_are_the_same_at_all_steps(
    store: Store, values: np.ndarray, later: dict | None, message: str
) -> None:
    store.write(model="m", step=5, layers={"a": values}, factors={"seed": 0})
    with pytest.raises(InputError, match=message):
        store.write(model="m", step=6, layers={"a": values}, factors=later)
    store.write(model="m", step=6, layers={"a": values}, factors={"seed": 0})
    store.write(model="other", step=6, layers={"a": values}, factors={"seed": 1})
    assert store.steps("m") == [5, 6]


def test_an_existing_step_is_kept_unless_overwritten(store: Store, values: np.ndarray) -> None:
    write(store, values, factors={"seed": 0})
    with pytest.raises(KeyExistsError, match=r"model 'm' at step 0; overwrite=True"):
        write(store, values + 1)
    np.testing.assert_array_equal(store.read(KEY), values)
    write(store, values + 1, overwrite=True, factors={"seed": 1})  # its only step: free to change
    np.testing.assert_array_equal(store.read(KEY), values + 1)
    assert store.factors("m") == {"seed": 1}


def test_an_existing_step_is_refused_before_anything_is_written(
    store: Store, values: np.ndarray
) -> None:
    write(store, values)
    with pytest.raises(KeyExistsError):
        write(store, np.full((7, 5), np.nan))  # found out only while writing


def test_a_step_that_appears_during_a_write_is_kept(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store_module.write_file

    def overtaken(path: Path, *content: object, **options: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(store_module, "write_file", real)
            write(create_store(store.path, exist_ok=True), values)
        real(path, *content, **options)

    monkeypatch.setattr(store_module, "write_file", overtaken)
    with pytest.raises(KeyExistsError, match="at step 0"):
        write(store, values + 1)
    np.testing.assert_array_equal(store.read(KEY), values)
    assert [finding.kind for finding in store.verify()] == ["ok"]


def test_provenance_and_layer_attributes(store: Store, values: np.ndarray) -> None:
    provenance = {"checkpoint": {"sha256": "00", "sizes": [1, 2.5, None]}}
    store.write(
        model="m",
        step=0,
        layers={"a": values, "b": values},
        provenance=provenance,
        layer_attributes={"b": {"pooling": "mean", "io": "output"}},
    )
    assert store.provenance("m", 0) == provenance
    info = store.info(Key("m", 0, "b"))
    assert (info.pooling, info.io) == ("mean", "output")
    assert store.info(KEY).pooling is None


def test_the_digest_is_of_the_little_endian_values_in_c_order(
    store: Store, values: np.ndarray
) -> None:
    write(store, np.asfortranarray(values.astype(">f4")))
    expected = hashlib.blake2b(values.astype("<f4").tobytes("C"), digest_size=32).hexdigest()
    assert store.info(KEY).digest == expected


def test_the_file_is_laid_out_as_the_format_says(store: Store, values: np.ndarray) -> None:
    write(store, values, factors={"seed": 0}, example_columns={"c": ["é"] * 7, "b": [True] * 7})
    path = store.info(KEY).path
    assert path.parent.parent == store.path / "models"
    assert path.name == "0.h5"
    assert path.read_bytes()[8] == 3  # the superblock of library version v110
    with h5py.File(path) as file:
        assert file.attrs["format"] == b"fastcka.store"
        assert file.attrs["format_version"] == b"1.1"
        assert file.attrs["model"] == b"m"
        assert file.attrs["step"] == 0
        assert file.attrs["factors"] == b'{"seed":0}'
        assert file.attrs["complete"] == 1
        assert file["layers/0"].attrs["name"] == b"a"
        datasets = ("examples/id", "examples/c", "examples/b", "layers/0/x", "checksums")
        for name in ("/", "examples", "layers", "layers/0", *datasets):
            creation = file[name].id.get_create_plist()
            assert not creation.get_obj_track_times()  # the same content gives the same bytes
        for name in datasets:
            data = file[name]
            assert data.fletcher32
            assert data.compression is None
            assert data.chunks is not None
            assert not h5py.check_dtype(vlen=data.dtype)
            assert data.id.get_type().get_class() != h5py.h5t.ENUM


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, values: np.ndarray) -> None:
    files = []
    for name in ("one", "two"):
        with create_store(tmp_path / name) as store:
            write(store, values, factors={"seed": 0})
            files.append(store.info(KEY).path.read_bytes())
    assert files[0] == files[1]


def test_a_store_open_for_reading_cannot_be_written(store: Store, values: np.ndarray) -> None:
    with (
        open_store(store.path) as reading,
        pytest.raises(StoreError, match=r"reading only; create_store\(path, exist_ok=True\)"),
    ):
        write(reading, values)


def test_create_store_refuses_what_is_there(tmp_path: Path, values: np.ndarray) -> None:
    with create_store(tmp_path / "a" / "b") as store:
        write(store, values)
    with pytest.raises(StoreError, match="a store is there already; exist_ok=True"):
        create_store(store.path)
    assert create_store(store.path, exist_ok=True).keys() == [KEY]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(StoreError, match="not a store and not empty"):
        create_store(tmp_path / "full", exist_ok=True)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be made"):
        create_store(tmp_path / "file")
    with pytest.raises(StoreError, match="no such store"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"holds no store\.json"):
        open_store(tmp_path)


def test_integers_as_ids_are_stored_as_their_text(store: Store, values: np.ndarray) -> None:
    for ids in (range(-3, 4), np.arange(-3, 4), [2**70 + at for at in range(7)]):
        write(store, values, example_ids=list(ids), overwrite=True)
        assert store.examples(KEY).ids.tolist() == [str(int(i)) for i in ids]


def test_wide_integers_are_refused_with_the_remedy(store: Store) -> None:
    with pytest.raises(InputError, match=re.escape('x.astype("float32") or x.astype("float64")')):
        write(store, np.zeros((3, 2), np.int64))


def test_no_factor_hides_the_key_or_a_column_of_the_results(store: Store) -> None:
    """Every column of a table without factors, and each part of the key."""
    for model in "ab":
        store.write(model=model, step=0, layers={"l": np.random.default_rng(0).normal(size=(8, 2))})
    config = SweepConfig.model_validate(
        {"store": store.path, "output": store.path.parent / "out", "compare": {}}
    )
    columns = header(plan_sweep(config, store))
    for name in ["model", "step", "layer", *columns]:
        with pytest.raises(InputError, match=f"factors: '{name}' names a part of the key or a col"):
            store.write(model="m", step=0, layers={"l": np.zeros((3, 2))}, factors={name: 1})
    store.write(model="m", step=0, layers={"l": np.zeros((3, 2))}, factors={"group_name": 1})


# Tables whose rows have labels


IDS = ["c", "a", "b", "e", "d", "g", "f"]


@pytest.mark.parametrize("library", ["pandas", "xarray"])
def test_labels_of_rows_are_the_ids(store: Store, values: np.ndarray, library: str) -> None:
    pandas, xarray = pytest.importorskip("pandas"), pytest.importorskip("xarray")
    moved = [6, 0, 3, 2, 1, 5, 4]
    labels = [IDS[row] for row in moved]
    first = pandas.DataFrame(values, index=IDS)
    second = (
        pandas.DataFrame(values[moved], index=labels)
        if library == "pandas"
        else xarray.DataArray(values[moved], dims=("e", "f"), coords={"e": labels})
    )
    store.write(model="m", step=0, layers={"a": first, "b": second})
    assert store.examples(KEY).ids.tolist() == IDS
    np.testing.assert_array_equal(store.read(Key("m", 0, "b")), values)
    ids = sorted(IDS)
    store.write(
        model="m", step=1, layers={"b": second, "plain": values, "a": first}, example_ids=ids
    )
    by_id = values[[IDS.index(name) for name in ids]]
    for layer, expected in (("a", by_id), ("b", by_id), ("plain", values)):
        np.testing.assert_array_equal(store.read(Key("m", 1, layer)), expected)
    assert store.examples(Key("m", 1, "a")).ids.tolist() == ids


def test_integer_labels_and_those_that_pandas_made_up(store: Store, values: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(values)
    store.write(model="m", step=0, layers={"a": table}, example_ids=IDS)
    assert store.examples(KEY).ids.tolist() == IDS
    np.testing.assert_array_equal(store.read(KEY), values)
    moved = [6, 0, 3, 2, 1, 5, 4]
    store.write(model="m", step=1, layers={"a": table.iloc[moved], "b": table})
    assert store.examples(Key("m", 1, "a")).ids.tolist() == [str(row) for row in moved]
    for layer in "ab":
        np.testing.assert_array_equal(store.read(Key("m", 1, layer)), values[moved])


def test_labels_are_read_as_ids_are(store: Store, values: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(values, index=[name.encode() for name in IDS])
    store.write(model="m", step=0, layers={"a": table[::-1]}, example_ids=IDS)
    np.testing.assert_array_equal(store.read(KEY), values)
    store.write(model="m", step=1, layers={"a": table})
    assert store.examples(Key("m", 1, "a")).ids.tolist() == IDS


def test_labels_that_are_refused(store: Store, values: np.ndarray) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(values, index=IDS)
    other = pandas.DataFrame(values, index=[*IDS[:-1], "x"])
    message = r"of layers\['a'\] and layers\['b'\] differ: 1 of the 7 .* \('f' first\) and 1 of"
    with pytest.raises(InputError, match=message):
        store.write(model="m", step=0, layers={"a": table, "b": other})
    with pytest.raises(InputError, match=r"example_ids are not in layers\['b'\] \('f' first\)"):
        store.write(model="m", step=0, layers={"b": other}, example_ids=IDS)
    with pytest.raises(InputError, match="example_ids: expected 7 ids, one for each row, got 2"):
        store.write(model="m", step=0, layers={"b": other}, example_ids=["a", "b"])
    twice = table.set_axis(["a"] * 7)
    with pytest.raises(InputError, match="example_ids: 'a' is at 0 and at 1"):
        store.write(model="m", step=0, layers={"b": twice})
    with pytest.raises(InputError, match=r"layers\['b'\] has the row label 'a' more than once"):
        store.write(model="m", step=0, layers={"b": twice}, example_ids=IDS)
    for labels in (pandas.date_range("2020", periods=7), [0.5 + i for i in range(7)]):
        relabelled = table.set_axis(labels)
        with pytest.raises(InputError, match=r"row labels of layers\['b'\]\[0\]: .*; give ex"):
            store.write(model="m", step=0, layers={"b": relabelled})
    with pytest.raises(InputError, match=r"layers\['c'\] has no labels, so the order of its rows"):
        store.write(model="m", step=0, layers={"a": table, "b": table[::-1], "c": values})
    assert store.keys() == []


def test_wide_integers_are_refused_with_a_remedy_that_keeps_their_digits(store: Store) -> None:
    for wide, remedy in (
        (2**24 + 1, 'x.astype("float64"), which holds them exactly'),
        (2**53 + 1, "subtract a constant from each column, as (x - x.min(axis=0))"),
    ):
        with pytest.raises(InputError, match=re.escape(remedy)):
            write(store, np.full((3, 2), wide))
