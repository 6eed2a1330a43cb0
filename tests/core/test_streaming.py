"""Passes in blocks of rows: the same values as in memory, by both routes."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

import fastcka
import oracle
from child_memory import MIB, output_of
from fastcka.arrays import Rows
from fastcka.errors import DeviceError, InputError, OutOfMemoryError
from samples import related, with_far_rows

MATRICES = ("biased", "unbiased", "hsic_biased", "hsic_unbiased", "feature_corrected")
#: Route, n, widths and memory, such that blocks or bands are many.
TALL = (3000, (5, 40, 7), "260kB")
WIDE = (300, (4000, 2500, 3100), "5MB")


class Listed(Rows):
    """Rows of an array, with the reads counted."""

    def __init__(self, x):
        self._x = x
        self.shape, self.dtype = x.shape, x.dtype
        self.rows_read = 0

    def read(self, start, stop):
        self.rows_read += stop - start
        return self._x[start:stop]


def check(result, xs, tolerance=1e-12):
    """Compare with the textbook definitions in float64, and the other matrices with memory."""
    xs = [np.asarray(x).reshape(len(x), -1).astype(float) for x in xs]
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka_matrix_about_median(xs, estimator)
        np.testing.assert_allclose(getattr(result, estimator), expected, rtol=0, atol=tolerance)
    expected = fastcka.compare(xs, precision="float64", device="cpu")
    for name in MATRICES:
        wanted = getattr(expected, name)
        scale = np.abs(wanted.diagonal())
        np.testing.assert_allclose(
            getattr(result, name) / np.sqrt(np.outer(scale, scale)),
            wanted / np.sqrt(np.outer(scale, scale)),
            rtol=0,
            atol=tolerance,
        )
    np.testing.assert_allclose(result.z, expected.z, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("route", "case"), [("F", TALL), ("G", WIDE)])
@pytest.mark.parametrize("threads", [1, 2])
def test_equals_the_pass_in_memory(rng, route, case, threads):
    n, widths, memory = case
    xs = [x + 7 for x in related(rng, n, widths)]
    result = fastcka.compare(xs, memory=memory, threads=threads)
    made = result.provenance
    assert (made["route"], made["products"], made["device"]) == (route, "float64", "cpu")
    assert made["tile"] < n / 5
    assert "in blocks of" in made["plan"] or "in bands of" in made["plan"]
    check(result, xs)


def test_threads_change_no_bit(rng):
    for n, widths, memory in (TALL, WIDE):
        xs = related(rng, n, widths)
        first = fastcka.compare(xs, memory=memory, threads=2)
        again = fastcka.compare(xs, memory=memory, threads=2)
        np.testing.assert_array_equal(first.unbiased, again.unbiased)
        one = fastcka.compare([Listed(x) for x in xs], memory=memory, threads=2)
        np.testing.assert_array_equal(first.hsic_biased, one.hsic_biased)


@pytest.mark.parametrize(("n", "widths", "memory"), [TALL, WIDE])
def test_the_plan_says_how_often_the_data_are_read(rng, n, widths, memory):
    xs = [Listed(x) for x in related(rng, n, widths)]
    result = fastcka.compare(xs, memory=memory)
    sampled = 0 if result.provenance["route"] == "F" else 25 * len(xs)
    read = sum(x.rows_read for x in xs) - sampled
    assert read == pytest.approx(result.provenance["reads"] * n * len(xs))
    if result.provenance["route"] == "F":
        assert "read once" in result.provenance["plan"]
    else:
        assert result.provenance["reads"] > 2


def test_a_whole_gram_matrix_reads_once(rng):
    xs = [Listed(x) for x in related(rng, 100, [30_000] * 6)]
    result = fastcka.compare(xs, memory="40MB", threads=2)
    assert result.provenance["reads"] == 1
    assert [x.rows_read for x in xs] == [100] * 6
    check(result, [x._x for x in xs])


@pytest.mark.parametrize(("n", "widths", "memory"), [TALL, WIDE])
@pytest.mark.parametrize("factor", [1e2, 1e6])
@pytest.mark.parametrize("last", [False, True])
def test_examples_far_from_the_rest(n, widths, memory, factor, last):
    xs = with_far_rows(3, n, max(widths), 1, factor, alike=True, offset=100.0)
    if last:
        order = np.argsort(np.abs(xs[0]).max(axis=1))
        xs = [x[order] for x in xs]
    memory = "600kB" if n > 1000 else "6MB"
    result = fastcka.compare(xs, memory=memory)
    assert "reads" in result.provenance
    expected = oracle.cka_matrix_about_median(xs, "unbiased")
    np.testing.assert_allclose(result.unbiased, expected, rtol=0, atol=1e-8)
    in_memory = fastcka.compare(xs, precision="float64")
    np.testing.assert_allclose(
        result.feature_corrected, in_memory.feature_corrected, rtol=0, atol=1e-7
    )


@pytest.mark.parametrize(("n", "widths", "memory"), [TALL, WIDE])
@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_any_units(rng, n, widths, memory, scale):
    xs = related(rng, n, widths)
    expected = fastcka.compare(xs, memory=memory)
    result = fastcka.compare([xs[0].astype(float) * scale, *xs[1:]], memory=memory)
    assert "reads" in result.provenance
    np.testing.assert_allclose(result.cka, expected.cka, rtol=0, atol=1e-12)


def test_offsets_of_a_million_standard_deviations(rng):
    for n, widths, memory in (TALL, WIDE):
        xs = [x.astype(float) + 1e6 for x in related(rng, n, widths)]
        check(fastcka.compare(xs, memory=memory), xs, 1e-9)


@pytest.mark.parametrize(("n", "widths", "memory"), [TALL, WIDE])
def test_arrays_of_every_kind(rng, n, widths, memory, tmp_path):
    torch = pytest.importorskip("torch")
    x, y, z = related(rng, n, widths)
    integers = (x * 1000).astype(np.int16)
    np.save(tmp_path / "x.npy", x)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("z", data=z.astype(">f8"), chunks=(max(1, n // 3), z.shape[1]))
        group = {
            "integers": integers,
            "strided": y.astype(float)[::-1, ::-1],
            "columns": np.asfortranarray(y),
            "half": y.astype(np.float16),
            "mapped": np.load(tmp_path / "x.npy", mmap_mode="r"),
            "data": data,
            "bfloat16": torch.from_numpy(y).bfloat16(),
            "axes": x[:, : x.shape[1] // 5 * 5].reshape(n, 5, -1),
            "wide": (z * 1e6).astype(np.int64),
        }
        result = fastcka.compare(group, memory="1.2MB" if n > 1000 else "17MB")
        assert "reads" in result.provenance
        plain = [
            np.asarray(each) if name != "bfloat16" else each.float().numpy()
            for name, each in group.items()
        ]
        check(result, plain)


@pytest.mark.parametrize(("n", "widths", "memory"), [TALL, WIDE])
def test_values_that_are_not_finite(rng, n, widths, memory):
    x, y, z = related(rng, n, widths)
    y[n - 2, 3], y[n - 1, 0], z[n // 2, 6] = np.nan, -np.inf, np.inf
    with pytest.raises(InputError) as raised:
        fastcka.compare({"x": x, "y": y, "z": z}, memory=memory)
    with pytest.raises(InputError) as in_memory:
        fastcka.compare({"x": x, "y": y, "z": z})
    assert str(raised.value) == str(in_memory.value)
    assert f"(y) holds 2 NaN or infinite values, the first at example {n - 2}, feature 3" in str(
        raised.value
    )


@pytest.mark.parametrize(("n", "widths", "memory"), [TALL, WIDE])
def test_dask_arrays(rng, n, widths, memory):
    dask = pytest.importorskip("dask.array")
    xs = related(rng, n, widths)
    lazy = [dask.from_array(x, chunks=(n // 7, x.shape[1] // 2)) for x in xs]
    result = fastcka.compare(lazy, memory=memory)
    assert "reads" in result.provenance
    check(result, xs)


def test_values_too_large(rng):
    for n, widths, memory in (TALL, WIDE):
        x, y, z = (x.astype(float) for x in related(rng, n, widths))
        y[n - 1, 1] = 1.7e308
        with pytest.raises(InputError, match=r"\[1\] holds values too large to sum"):
            fastcka.compare([x, y, z], memory=memory)


def test_integers_that_need_a_shift(rng):
    x, y, z = related(rng, *TALL[:2])
    x = (x * 100).astype(np.int64) + 2**62 + 1
    with pytest.raises(InputError, match=r"float64 cannot represent .* x - x\.min\(axis=0\)"):
        fastcka.compare([x, y, z], memory=TALL[2])


@pytest.mark.parametrize(("n", "widths", "memory"), [TALL, WIDE])
def test_constant_representations(rng, n, widths, memory):
    x, y, z = related(rng, n, widths)
    y[:] = 0.1
    almost = np.zeros_like(z)
    almost[n // 3, 2] = 1e-30
    result = fastcka.compare([x, y, z, almost], memory="340kB" if n > 1000 else "7MB")
    assert "reads" in result.provenance
    assert np.isnan(result.cka[1]).all()
    assert result.undefined[1] == "zero variance: no feature varies over the examples"
    expected = fastcka.compare([x, y, z, almost], precision="float64")
    assert result.undefined.keys() == expected.undefined.keys()
    np.testing.assert_allclose(result.biased, expected.biased, rtol=0, atol=1e-9)


def test_inference_needs_whole_gram_matrices(rng):
    n, widths, memory = WIDE
    xs = related(rng, n, widths)
    with pytest.raises(OutOfMemoryError, match=r"intervals need all examples .*folds=0"):
        fastcka.compare(xs, memory=memory, inference=True)
    no_intervals = fastcka.Inference(folds=0)
    with pytest.raises(OutOfMemoryError) as raised:
        fastcka.compare(xs, memory=memory, inference=no_intervals)
    message = str(raised.value)
    assert "with p-values (inference), which need whole Gram matrices, needs at least" in message
    assert "5 MB may be used (the argument memory): leave out inference" in message
    xs = related(rng, 100, [30_000] * 6)
    result = fastcka.compare(xs, memory="40MB", inference=no_intervals)
    assert "reads" in result.provenance
    for estimator in ("unbiased", "biased"):
        result = fastcka.compare(xs, memory="40MB", inference=no_intervals, estimator=estimator)
        expected = fastcka.compare(xs, inference=True, precision="float64", estimator=estimator)
        np.testing.assert_allclose(result.p_value, expected.p_value, rtol=1e-8)
        np.testing.assert_allclose(result.calibrated, expected.calibrated, atol=1e-9)


def test_a_budget_that_suffices_changes_nothing(rng):
    xs = related(rng, *TALL[:2])
    plain, within = fastcka.compare(xs), fastcka.compare(xs, memory="1GB")
    np.testing.assert_array_equal(plain.cka, within.cka)
    lazy = fastcka.compare([Listed(x) for x in xs])
    np.testing.assert_array_equal(plain.cka, lazy.cka)
    assert "reads" not in lazy.provenance


def test_a_budget_that_is_too_small(rng):
    xs = related(rng, *TALL[:2])
    with pytest.raises(OutOfMemoryError) as raised:
        fastcka.compare(xs, memory=20_000)
    assert str(raised.value).startswith("comparing 3 representations of 3,000 examples needs at")
    assert "in memory the group needs" in str(raised.value)
    assert "20.0 kB may be used (the argument memory)" in str(raised.value)


@pytest.mark.parametrize("memory", [0, -1, "2 parsecs", "GB", True, 1e40, [1], "-2GB"])
def test_sizes_that_are_none(rng, memory):
    (x,) = related(rng, 20, (3,))
    with pytest.raises(InputError, match="memory: expected a number of bytes, or a text such as"):
        fastcka.compare([x, x], memory=memory)


@pytest.mark.parametrize(
    ("memory", "count"),
    [
        ("2GB", 2 * 10**9),
        ("2 gb", 2 * 10**9),
        ("1.5GiB", 3 << 29),
        ("512MiB", 512 << 20),
        ("10k", 10_000),
        ("4096", 4096),
        (5e9, 5 * 10**9),
    ],
)
def test_sizes(memory, count):
    from fastcka.memory import parse_memory

    assert parse_memory(memory) == count


def test_what_blocks_do_not_support(rng):
    n, _, memory = TALL
    xs = related(rng, n, (20, 20))
    with pytest.raises(InputError, match=r"units='same' needs all examples in memory: .* kB"):
        fastcka.compare(xs, memory=memory, units="same")
    with pytest.raises(DeviceError, match=r"blocks of rows are computed on the CPU only"):
        fastcka.compare([Listed(x) for x in xs], memory=memory, device="cuda")


def test_the_other_functions(rng):
    n, widths, memory = TALL
    xs = related(rng, n, widths)
    expected = fastcka.compare(xs, precision="float64")
    for estimator in ("unbiased", "biased", "feature_corrected"):
        given = fastcka.cka(xs[0], xs[1], memory="150kB", estimator=estimator)
        matrix = fastcka.cka_matrix(xs, memory=memory, estimator=estimator)
        wanted = fastcka.cka_matrix(xs, estimator=estimator, precision="float64")
        assert given == pytest.approx(wanted[0, 1], abs=1e-12)
        np.testing.assert_allclose(matrix, wanted, rtol=0, atol=1e-12)
    assert fastcka.hsic(xs[0], xs[1], memory="150kB") == pytest.approx(
        expected.hsic_unbiased[0, 1], rel=1e-12
    )


def test_too_few_examples_and_other_shapes(rng):
    x = rng.standard_normal((3, 50_000))
    with pytest.raises(InputError, match="needs at least 4 examples, got 3"):
        fastcka.compare([Listed(x), Listed(x)], memory="1kB")
    with pytest.raises(InputError, match=r"\[1\] has 2 examples and representations\[0\] has 3"):
        fastcka.compare([Listed(x), Listed(x[:2])], memory="1kB")
    with pytest.raises(InputError, match=r"must have shape \(n_examples, n_features\), got \(3,\)"):
        fastcka.compare([Listed(x[:, 0]), Listed(x)], memory="1kB")


def test_progress(rng):
    for n, widths, memory in (TALL, WIDE):
        calls = []
        fastcka.compare(
            related(rng, n, widths),
            memory=memory,
            progress=lambda done, total, calls=calls: calls.append((done, total)),
        )
        done, totals = zip(*calls, strict=True)
        assert list(done) == sorted(done)
        assert len(set(totals)) == 1
        assert calls[-1][0] == calls[-1][1] > 4


MEASURE = """
    import numpy as np, fastcka
    from fastcka.arrays import Rows

    class Made(Rows):
        dtype = np.dtype("f4")

        def __init__(self, n, d):
            self.shape = (n, d)

        def read(self, start, stop):
            values = np.empty((stop - start, self.shape[1]), "f4")
            values[...] = np.arange(self.shape[1]) % 13
            values *= np.arange(start, stop)[:, None] % 11
            return values

    n, d, m, allowed = map(int, sys.argv[1:])
    small = [Made(2000, 30)] * 2
    fastcka.compare(small, memory="200kB")
    fastcka.compare([Made(40, 3000)] * 2, memory="2.2MB")
    reset_peak()
    before = memory("VmRSS")
    result = fastcka.compare([Made(n, d)] * m, memory=allowed)
    made = result.provenance
    print(json.dumps([made["route"], made["reads"], memory("VmHWM") - before]))
"""


@pytest.mark.parametrize(
    ("route", "shape", "allowed"),
    [
        ("F", (20_000, 150, 3), 30 * MIB),
        ("F", (9000, 1000, 2), 100 * MIB),
        ("G", (600, 40_000, 3), 90 * MIB),
        ("G", (400, 60_000, 3), 160 * MIB),
    ],
)
def test_peak_memory(capsys, route, shape, allowed):
    used, reads, peak = json.loads(output_of(MEASURE, *map(str, shape), str(allowed)))
    with capsys.disabled():
        print(f"\n  route {used}, read {reads:.1f} times, peak {peak / MIB:.0f} MiB", end="")
    assert used == route
    assert peak <= allowed + 8 * MIB  # the interpreter
