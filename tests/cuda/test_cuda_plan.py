"""The planner of the GPU: route, products, tiles and predictions, from shapes alone."""

from __future__ import annotations

import pytest

from fastcka.core.cuda.cost import predict_cost
from fastcka.core.cuda.plan import (
    SMALLEST_TILE,
    CompiledPass,
    CudaDevice,
    PassBytes,
    make_cuda_plan,
    smaller_tiles,
)

ADA = CudaDevice(0, "Ada", (8, 9), 128, 48 << 30)
H100 = CudaDevice(0, "H100", (9, 0), 132, 80 << 30)
#: The constants of csrc/cuda/layout.hpp, and an invented memory size.
COMPILED = CompiledPass(
    bytes_needed=lambda n, widths, settings: PassBytes(n * sum(widths), settings["tile"], 8),
    example_grain=16,
    feature_grain=32,
    prepared_bytes={"float32": 4, "float16x3": 8, "float16": 2, "float64": 8},
)
A = 2000, [512] * 21
B = 5000, [128] * 84
C = 5000, [768] * 252
D = 50000, [1024] * 48


def plan(n, widths, *, resident=False, precision="high", device=H100):
    return make_cuda_plan(
        n,
        widths,
        itemsizes=[4] * len(widths),
        on_device=[resident] * len(widths),
        device=device,
        precision=precision,
        compiled=COMPILED,
    )


@pytest.mark.parametrize(
    ("case", "route", "milliseconds"),
    [
        (A, "G", {"float16x3": 0.857, "float32": 2.01, "float64": 1.70}),
        (B, "F", {"float16x3": 3.80, "float32": 14.7, "float64": 14.9}),
        (C, "G", {"float16x3": 56.0, "float32": 167, "float64": 171}),
        (D, "F", {"float16x3": 614, "float32": 2439, "float64": 2667}),
    ],
    ids="ABCD",
)
def test_predictions_of_what_the_record_contains(case, route, milliseconds):
    # benchmarks/records: one H100, partial sums of 4096.
    for products, measured in milliseconds.items():
        cost = predict_cost(
            *case,
            products,
            bytes_inputs=4 * case[0] * sum(case[1]),
            prepared_bytes=COMPILED.prepared_bytes[products],
            feature_grain=COMPILED.feature_grain,
            multiprocessors=H100.multiprocessors,
            capability=H100.capability,
            chunk=4096,
        )
        assert cost.route == route
        within = 2 if case is A else 1.35
        assert measured / within < 1e3 * cost.seconds[route] < measured * within


@pytest.mark.parametrize("case", [A, B, C, D], ids="ABCD")
def test_shorter_sums_cost_time(case):
    high = plan(*case, resident=True)
    assert high.products == "float16x3"
    assert min(high.chunk, high.rank_chunk) == 256
    assert "partial sums of 256 " in high.explain()
    fast = plan(*case, resident=True, precision="fast")
    assert (fast.route, fast.rank_chunk) == (high.route, 4096)
    assert fast.seconds < high.seconds


def test_float64_where_it_costs_as_much_as_float32():
    assert plan(*A).products == "float64"
    assert "they hide behind the copy" in plan(*A).reason
    assert plan(*A, device=CudaDevice(0, "A100", (8, 0), 108, 80 << 30)).products == "float64"
    for capability in ((8, 6), (8, 9), (12, 0)):
        other = CudaDevice(0, "other", capability, 132, 80 << 30)
        assert plan(*A, device=other).products == "float32"
        assert plan(*A, device=other, precision="float64").seconds > 5 * plan(*A).seconds


def test_float32_where_the_copy_takes_longer():
    assert plan(*A, device=ADA).products == "float32"
    assert plan(*A).transfer_seconds == pytest.approx(21 * 2000 * 512 * 4 / 10e9)
    assert plan(*A).seconds > plan(*A).transfer_seconds
    assert plan(*A, resident=True).products == "float16x3"
    assert plan(*D).products == "float16x3"
    assert "would take longer than the copy" in plan(*D).reason


@pytest.mark.parametrize("precision", ["high", "fast", "float64"])
def test_no_products_whose_rounding_would_show(precision):
    assert plan(64, [100] * 3, precision=precision, device=ADA).products == "float64"
    assert plan(5000, [100, 2_000_000], precision=precision, device=ADA).products == "float64"
    few = plan(50_000, [64, 15], precision=precision, device=ADA)
    assert (few.route, few.products) == ("F", "float64")
    enough = plan(50_000, [64, 16], precision=precision, device=ADA)
    expected = {"high": "float32", "fast": "float16", "float64": "float64"}
    assert enough.products == expected[precision]
    # Route G takes 1e4 * 1900 + 5e5 flops; then with 100 more features.
    assert plan(100, [190] * 10, precision=precision, device=ADA).products == "float64"
    assert plan(100, [200] * 10, precision=precision, device=ADA).products == expected[precision]
    # More than 8 features per pair of examples.
    assert plan(65, [8 * 65**2 + 1] * 2, precision=precision, device=ADA).products == "float64"
    assert (
        plan(65, [8 * 65**2] * 2, precision=precision, device=ADA).products == expected[precision]
    )
    # A Gram tile has the same number of entries for a narrow representation.
    assert plan(1000, [5, 40_000], precision="fast").products == "float16"


def test_no_truncation_for_few_examples_of_many_features():
    # n^2/32: 312 features for 100 examples, 5000 for 400.
    for n, least in ((100, 312), (400, 5000)):
        assert "show truncation" not in plan(n, [least] * 8, resident=True).reason
        wide = plan(n, [300] * 7 + [least + 1], resident=True)
        assert wide.products == "float32"
        assert f"{n} examples of {least + 1} features would show truncation" in wide.reason
    assert plan(100, [5000] * 3, resident=True, precision="fast").products == "float16"


@pytest.mark.parametrize(
    ("n", "tile"),
    [(100, 112), (1000, 1008), (1024, 1024), (2000, 1024), (2049, 768), (5000, 1024)],
)
def test_gram_tiles_share_the_examples_evenly(n, tile):
    made = plan(n, [8192] * 3)
    assert made.route == "G"
    assert made.tile == tile


def test_gram_tiles_within_the_memory():
    made = plan(50_000, [4096] * 1000)
    assert made.route == "G"
    assert made.tile == 1024  # 4.2 of 80 GB
    small = CudaDevice(0, "small", (8, 9), 24, 8 << 30)
    made = plan(50_000, [4096] * 1000, device=small)
    assert made.tile == 512
    assert 1000 * made.tile**2 * 4 <= 0.4 * small.total_bytes < 1000 * (2 * made.tile) ** 2 * 4


def test_panels_and_chunks():
    made = plan(50_000, [40, 70])
    assert (made.route, made.tile, made.chunk) == ("F", 64 + 96, 4096)
    assert plan(*D).tile == 2048
    assert plan(100, [8, 8]).chunk == 112
    assert plan(*A, device=ADA).rank_chunk == 1024
    assert plan(*C, resident=True).rank_chunk == 256
    assert plan(*D, resident=True).chunk == 256


def test_smaller_tiles():
    assert smaller_tiles(2048) == [2048, 1024, 512, 256]
    assert smaller_tiles(1792) == [1792, 1024, 512, 256]
    assert smaller_tiles(112) == [112]
    assert SMALLEST_TILE == 256


def test_a_smaller_device_takes_longer():
    small = CudaDevice(0, "small", (8, 9), 33, 8 << 30)
    assert plan(*C, resident=True, device=small).seconds == pytest.approx(
        4 * plan(*C, resident=True).seconds, rel=0.05
    )


def test_memory_comes_from_the_compiled_module():
    made = plan(*A)
    assert (made.bytes_centered, made.bytes_workspace, made.bytes_results) == (
        2000 * 21 * 512,
        made.tile,
        8,
    )


def test_the_explanation():
    text = plan(*A).explain()
    assert "21 representations of 2000 examples, 10752 features in all" in text
    assert "route G (Gram tiles), tile 1024: route F would cost" in text
    assert "float64 products: they hide behind the copy from the host" in text
    assert "cuda:0 H100" in text
    assert plan(*A).to_dict()["device"] == "cuda:0 H100"
