"""Parts of a group: the bits of the whole group, or nothing."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.core import Inference, StagedRepresentation, compare, plan_pass
from fastcka.core.columns import STORED
from fastcka.core.part import compare_part


def _staged(x):
    buffer = StagedRepresentation.empty(*x.shape)
    buffer.array[:] = x
    return buffer


def _representations(rng, n, widths, dtype):
    base = rng.normal(size=(n, 5))
    return [
        (base @ rng.normal(size=(5, width)) + rng.normal(size=(n, width)) + 10).astype(dtype)
        for width in widths
    ]


def _part(arrays, members, *, staged=False, **options):
    plan = plan_pass(
        len(arrays[0]),
        [x.shape[1] for x in arrays],
        dtype=[x.dtype.name for x in arrays],
        staged=staged,
        threads=1,
        inference=options.get("inference") or False,
    )
    taken = [_staged(arrays[i]) if staged else arrays[i] for i in members]
    labels = [str(i) for i in members]
    return compare_part(taken, plan, members, labels=labels, estimator="unbiased", **options)


@pytest.mark.parametrize("inference", [False, True, Inference(alternative="greater")])
@pytest.mark.parametrize(
    ("route", "dtype", "staged", "n", "most"),
    [
        ("G", np.float32, True, 300, 200),
        ("G", np.float32, False, 130, 200),
        ("G", np.float64, False, 70, 90),
        ("F", np.float32, True, 700, 20),
        ("F", np.float32, False, 500, 30),
        ("F", np.float64, False, 900, 6),
    ],
)
def test_a_part_has_the_bits_of_the_whole_group(route, dtype, staged, n, most, inference):
    rng = np.random.default_rng(3)
    for _ in range(3):
        m = int(rng.integers(9, 30))
        arrays = _representations(rng, n, rng.integers(1, most, m).tolist(), dtype)
        whole = compare(
            [_staged(x) for x in arrays] if staged else arrays,
            inference=inference,
            device="cpu",
            threads=2,
        )
        assert whole.provenance["route"] == route
        for size in (2, 5, m - 1):
            members = sorted(rng.choice(m, size, replace=False).tolist())
            part = _part(arrays, members, staged=staged, inference=inference)
            chosen = np.ix_(members, members)
            for column in STORED:
                expected, values = (getattr(x, column.attribute) for x in (whole, part))
                assert (expected is None) == (values is None) == (column.inferred and not inference)
                if expected is not None:
                    np.testing.assert_array_equal(values, expected[chosen])
            numbers = whole.moments.arrays()
            assert part.moments.arrays().keys() == numbers.keys()
            for name, values in part.moments.arrays().items():
                np.testing.assert_array_equal(values, numbers[name][members])
            for name in ("route", "tile", "chunk", "products", "implementation"):
                assert part.provenance[name] == whole.provenance[name]


def test_a_constant_representation_is_undefined_in_a_part_too():
    arrays = _representations(np.random.default_rng(4), 200, [40] * 8, np.float32)
    arrays[5][:] = 1
    whole, part = compare(arrays, device="cpu"), _part(arrays, (2, 5, 6))
    assert part.undefined == {1: whole.undefined[5]}


@pytest.mark.parametrize("members", [(0, 1, 2), (1, 4)])
def test_far_examples_in_a_part_leave_it_to_the_whole_group(members):
    """They change the sums of all representations of a pass."""
    arrays = _representations(np.random.default_rng(5), 300, [60] * 8, np.float32)
    arrays[1][7] = 1e5
    assert _part(arrays, members) is None
    assert _part(arrays, (0, 2, 3)) is not None


def test_lost_digits_in_a_part_leave_it_to_the_whole_group():
    """Orthogonal rows: the unbiased self-HSIC is zero, and float32 products cannot tell."""
    arrays = _representations(np.random.default_rng(6), 128, [300] * 8, np.float32)
    rows = np.linalg.qr(np.random.default_rng(7).normal(size=(300, 128)))[0].T
    arrays[3] = rows.astype(np.float32)
    assert compare(arrays, device="cpu").provenance["products"] == "float64"
    assert _part(arrays, (2, 3)) is None
    assert _part(arrays, (2, 4)).provenance["products"] == "float32"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_part_that_cannot_be_compared_is_left_to_the_whole_group(value):
    arrays = _representations(np.random.default_rng(8), 100, [30] * 6, np.float32)
    arrays[2][5, 1] = value
    assert _part(arrays, (1, 2)) is None
    assert _part([x[:3] for x in arrays], (0, 1)) is None  # unbiased needs 4 examples
