"""The planner: routes by the cost model, tiles within the cache, memory within its limit."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
from fastcka.core import plan_pass
from fastcka.core.backend import ProductShape, bytes_needed
from fastcka.core.base_plan import MIB
from fastcka.core.cost import Speed
from fastcka.core.implementation import Implementation
from fastcka.core.plan import WORKSPACE_LIMIT, make_plan
from fastcka.errors import InputError

ROWS = {"rows": 8, "values": 1}
FLOAT64 = ProductShape(products="float64", lanes=8, step=24, cell_bytes=8, sum_bytes=8, **ROWS)
SINGLE = {"lanes": 16, "step": 48, "cell_bytes": 4, "sum_bytes": 4, "in_place": True}
FLOAT32 = ProductShape(products="float32", **SINGLE, **ROWS)
BFLOAT16 = ProductShape(products="bfloat16", **SINGLE, rows=8, values=2)
STEPS = {"G": 128, "F": 64}
SPEED = Speed(steps=2e8, call=1e-8, rank=1e11, statistics=4e9, center=1e9, entries=1e9)
IMPLEMENTATION = Implementation("test", FLOAT64, FLOAT32, None, BFLOAT16, STEPS)
# Matrix tiles: 2 x 2 tiles of 16 x 16 sums; operands in forms of 6 or 4 bytes a cell.
TILES = {"lanes": 16, "rows": 32, "step": 32, "cell_bytes": 4, "sum_bytes": 4, "in_place": True}
SPLIT = ProductShape(products="bfloat16x3", **TILES, values=1, arranged_bytes=6)
PAIRS = ProductShape(products="bfloat16", **TILES, values=2, arranged_bytes=4)
WITH_TILES = Implementation("tiles", FLOAT64, FLOAT32, SPLIT, PAIRS, STEPS)


def plan(n, widths, **options):
    options = {
        "itemsizes": [4] * len(widths),
        "implementation": IMPLEMENTATION,
        "speed_of": lambda shape, threads: SPEED,
        "gain_of": lambda name, products: 2.0,
        "bytes_needed": bytes_needed,
        "threads": 2,
        **options,
    }
    return make_plan(n, widths, **options)


@pytest.mark.parametrize(
    ("n", "widths", "route"),
    [
        (2000, [512] * 21, "G"),  # 44 Gflop against 231
        (5000, [768] * 84, "G"),
        (1000, [4096] * 300, "G"),
        (20000, [64] * 24, "F"),
        (50000, [64] * 24, "F"),
        (1000, [5], "F"),
        (10, [1000], "G"),
    ],
)
def test_route(n, widths, route):
    made = plan(n, widths)
    assert made.route == route
    assert made.flops == (made.flops_gram if route == "G" else made.flops_features)


def test_flops_of_the_documented_example():
    made = plan(2000, [512] * 21)
    assert made.flops_gram == pytest.approx(2000**2 * 10752 + 21**2 * 2000**2 / 2)
    assert made.flops_features == pytest.approx(2000 * 10752**2)


@pytest.mark.parametrize("m", [2, 21, 63, 252, 1000])
@pytest.mark.parametrize("threads", [1, 2, 8, 64, 256])
@pytest.mark.parametrize("n", [100, 5000, 100_000])
def test_workspace_stays_within_the_limit(m, threads, n):
    made = plan(n, [256] * m, threads=threads)
    assert made.threads <= threads
    limit = max(WORKSPACE_LIMIT, made.bytes_centered // 8)
    partial_sums = made.threads * 3 * m * m * 8
    assert made.bytes_workspace <= limit + partial_sums or made.threads == 1


def test_threads_given_up_are_reported():
    made = plan(1000, [64] * 252, threads=256)
    assert made.threads < 256
    assert f"{made.threads} of 256 threads, to stay within" in made.reason


@pytest.mark.parametrize(
    ("n", "widths"),
    [(10_000, [16_384] * 21), (10_000, [8192] * 50), (2000, [200_704] * 8), (5000, [512] * 500)],
)
def test_large_problems_use_many_threads(n, widths):
    assert plan(n, widths, threads=64).threads >= 32
    assert plan(n, widths, threads=64, staged=True).threads >= 32


@pytest.mark.parametrize("threads", [1, 3, 64])
def test_choices_that_change_bits_do_not_depend_on_threads(threads):
    for n, widths in ((2000, [512] * 21), (20000, [64] * 24), (300, [7, 9])):
        one, many = plan(n, widths, threads=1), plan(n, widths, threads=threads)
        for name in ("route", "tile", "chunk", "products", "implementation", "in_place"):
            assert getattr(one, name) == getattr(many, name)


def test_memory_of_the_centred_copy():
    made = plan(2000, [512] * 21)
    assert made.bytes_inputs == made.bytes_centered == 21 * 2000 * 512 * 4
    assert plan(2000, [512] * 21, staged=True).bytes_centered == 0
    assert plan(2000, [512] * 21, precision="float64").bytes_centered == 21 * 2000 * 512 * 8
    # float16 inputs take half of their float32 copy
    assert plan(2000, [512] * 21, itemsizes=[2] * 21).bytes_inputs == 21 * 2000 * 512 * 2
    # padded to whole panels: 20 -> 32 features in route F
    assert plan(20000, [20] * 4).bytes_centered == 4 * 20000 * 32 * 4


def test_few_examples_are_multiplied_in_float64():
    assert plan(64, [100] * 3).products == "float64"
    assert plan(65, [2000] * 3).products == "float32"
    assert not plan(64, [100] * 3, staged=True).in_place
    assert plan(1000, [100, 2_000_000]).products == "float64"


def test_passes_of_few_flops_are_multiplied_in_float64():
    for precision in ("high", "fast"):
        small = plan(100, [10, 10], precision=precision)
        assert small.products == "float64"
        assert "float64 below 1 Mflop" in small.reason
    # 65^2 * 3 * d + 3^2 * 65^2 / 2 flops by the cheaper route
    assert plan(65, [78] * 3).products == "float32"  # 1.008 Mflop
    assert plan(65, [77] * 3).products == "float64"  # 0.995 Mflop


def test_fast_products_do_not_pay_in_small_passes():
    # 100^2 * 2 * d + 2^2 * 100^2 / 2 flops by the cheaper route
    small = plan(100, [990] * 2, precision="fast")  # 19.8 Mflop
    assert small.products == "float32"
    assert "precision fast is high here: faster products do not pay below 20 Mfl" in small.reason
    assert plan(100, [1000] * 2, precision="fast").products == "bfloat16"


def test_wide_data_are_multiplied_in_float64():
    # The unbiased self-HSIC of 40,000 independent features is 1/(1 + 40000/65^2) of its terms.
    assert plan(65, [40_000]).products == "float64"
    assert plan(65, [30_000]).products == "float32"


def test_precisions_choose_the_products():
    widths = [100] * 3
    assert plan(1000, widths).products == "float32"
    assert plan(1000, widths, precision="fast").products == "bfloat16"
    assert plan(1000, widths, precision="float64").products == "float64"
    few = plan(64, widths, precision="fast")
    assert few.products == "float64"
    assert "float64 for 64 examples or fewer" in few.reason


def test_fast_without_faster_products_is_reported():
    slow = Implementation("slow", FLOAT64, FLOAT32, None, None, STEPS)
    made = plan(1000, [100] * 3, precision="fast", implementation=slow)
    assert (made.precision, made.products) == ("fast", "float32")
    assert "precision fast is high here: slow has nothing faster" in made.reason


@pytest.mark.parametrize(
    ("gain", "products"), [(0.9, "float32"), (1.1, "float32"), (2.0, "bfloat16")]
)
def test_fast_is_never_slower_than_high(gain, products):
    made = plan(1000, [100] * 3, precision="fast", gain_of=lambda name, products: gain)
    assert (made.precision, made.products) == ("fast", products)
    slower = "precision fast is high here: bfloat16 products are no faster on this processor"
    assert (slower in made.reason) == (products == "float32")


def unmeasured(name, products):
    raise AssertionError("the speed of products was measured")


@pytest.mark.parametrize(("precision", "products"), [("high", "bfloat16x3"), ("fast", "bfloat16")])
def test_small_passes_use_no_matrix_tiles(precision, products):
    options = {"precision": precision, "implementation": WITH_TILES}
    for n, widths, why in (
        (600, [600] * 9, "2 Gflop"),  # 1.96 Gflop
        (500, [1024] * 40, "672 examples or features"),
        (40_000, [64] * 8, "672 examples or features"),
    ):
        small = plan(n, widths, gain_of=unmeasured, **options)
        assert small.products == "float32"
        assert (f"matrix tiles do not pay below {why}" in small.reason) == (precision == "fast")
    assert plan(2000, [512] * 21, **options).products == products
    for gain, taken in ((1.2, "float32"), (1.4, products)):
        made = plan(2000, [512] * 21, gain_of=lambda name, asked, gain=gain: gain, **options)
        assert made.products == taken


def test_tiles_of_the_plane_are_larger_with_matrix_tiles():
    made = [plan(n, [512] * 21, implementation=WITH_TILES) for n in (700, 1000, 2000, 5000)]
    assert [each.tile for each in made] == [96, 128, 192, 192]
    # 12 MiB for the tiles of all representations
    assert plan(5000, [128] * 300, implementation=WITH_TILES).tile == 96
    assert plan(2000, [512] * 21).tile == 96  # without them


def test_memory_of_pairs():
    # 2 bytes a value, an odd last feature or example padded to a pair
    assert plan(2000, [511] * 4, precision="fast").bytes_centered == 4 * 2000 * 512 * 2
    assert plan(20001, [64] * 4, precision="fast").bytes_centered == 4 * 20002 * 64 * 2
    assert plan(2000, [512] * 4, precision="fast", staged=True).bytes_centered == 0
    # copies of the rows and columns of a tile in the layouts of matrix tiles
    for precision, copied in (("fast", 4), ("high", 6)):
        options = {"threads": 1, "precision": precision, "implementation": WITH_TILES}
        made = plan(2000, [512] * 4, **options)
        centring = 16 * 256 * 4
        gram_tiles = 4 * (made.tile**2 + 208) * 4
        both_sides = 2 * made.tile * 128 * copied
        sums = 3 * 4 * 4 * 8
        assert made.bytes_workspace == centring + gram_tiles + both_sides + sums


def test_tiny_passes_start_no_threads():
    assert plan(100, [10, 10], threads=8).threads == 1
    assert plan(4000, [512] * 4, threads=8).threads == 8


def test_a_plan_explains_its_choices():
    text = plan_pass(2000, [512] * 21, threads=2).explain()
    assert "21 representations of 2000 examples, 10752 features in all" in text
    assert "route G (Gram tiles)" in text
    assert "route F would cost" in text
    assert f"inputs {21 * 2000 * 512 * 4 / MIB:.1f} MiB" in text


def test_the_provenance_equals_the_plan(rng):
    x = rng.standard_normal((100, 5)).astype(np.float32)
    result = fastcka.compare([x, x * 2], threads=1)
    made = plan_pass(100, [5, 5], threads=1)
    for name in ("route", "tile", "chunk", "precision", "products", "implementation", "threads"):
        assert result.provenance[name] == getattr(made, name)
    assert result.provenance["device"] == "cpu"
    assert result.provenance["plan"] == made.explain()
    assert result.provenance["seconds"] > 0


@pytest.mark.parametrize(
    ("n", "widths", "options", "message"),
    [
        (0, [3], {}, "at least one example"),
        (5, [], {}, "at least one example"),
        (5, [3, 0], {}, r"n_features=\[3, 0\]"),
        (5, [3], {"precision": "low"}, "precision must be one of"),
        (5, [3], {"threads": 0}, "threads must be"),
        (5, [3, 3], {"dtype": ["float32", "int8"]}, "dtype must be one of float16, .*'int8'"),
        (5, [3, 3], {"dtype": ["float32"]}, "dtype must be one of float16, "),
    ],
)
def test_wrong_shapes_are_refused(n, widths, options, message):
    with pytest.raises(InputError, match=message):
        plan_pass(n, widths, **options)
