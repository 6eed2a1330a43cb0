"""CKA with a Gaussian kernel, against its definition."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

import fastcka
import oracle
from fastcka.core import kernel_cka
from fastcka.errors import InputError, OutOfMemoryError
from fastcka.memory import FreeMemory

N = 40


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 6)) + 50
    return x, np.tanh(x @ rng.normal(size=(6, 4)) - 20) + rng.normal(size=(N, 4)) / 5


@pytest.mark.parametrize("bandwidth", [1, 0.2, 3.5])
def test_the_definition(data, bandwidth):
    x, y = data
    similarity = kernel_cka(x, y, bandwidth=bandwidth)
    value, widths = oracle.rbf_cka(x, y, bandwidth)
    assert similarity.cka == pytest.approx(value, abs=1e-12)
    assert similarity.bandwidths == pytest.approx(widths)
    assert similarity.undefined == {}


def test_the_limits_of_the_bandwidth(data):
    """Wide kernels are linear in the squared distances; narrow ones separate all examples."""
    x, y = data
    linear = oracle.cka(x, y, "biased")
    for bandwidth in (1e4, 1e6):
        assert kernel_cka(x, y, bandwidth=bandwidth).cka == pytest.approx(linear, abs=1e-6)
    assert kernel_cka(x, y, bandwidth=1e-4).cka == pytest.approx(1)


@pytest.mark.parametrize("far", [[7], [7, 30], range(3, 15)])
def test_examples_far_from_all_others(data, far):
    """Those that are near to each other keep the digits of their distances."""
    x, y = data
    x[list(far)] += 1e9
    assert kernel_cka(x, y).cka == pytest.approx(oracle.rbf_cka(x, y)[0], abs=1e-9)


@pytest.mark.parametrize("distance", [1e4, 1e7, 1e9])
@pytest.mark.parametrize("bandwidth", [1.0, 1e3])
def test_two_sets_far_from_each_other(data, distance, bandwidth):
    """As long as all others, they are far from none of them; a width of the caller is narrow."""
    x, y = data
    x[::2] += distance
    measure = fastcka.Measure("rbf_cka", bandwidth=bandwidth)
    value = fastcka.compare([x, y], measures=[measure]).measure("rbf_cka")[0, 1]

    def kernel(z):
        squares = ((z[:, None] - z) ** 2).sum(axis=2)
        k = np.exp(-squares / (2 * bandwidth**2))
        return k - k.mean(axis=0) - k.mean(axis=1)[:, None] + k.mean()

    a, b = kernel(x), kernel(y)
    expected = (a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum())
    assert value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-200, 1e-170, 1e160, 1e200])
def test_the_unit_does_not_matter(data, scale):
    x, y = data
    similarity = kernel_cka(x * scale, y)
    assert similarity.cka == pytest.approx(kernel_cka(x, y).cka, abs=1e-12)
    assert similarity.bandwidths[0] == pytest.approx(kernel_cka(x, y).bandwidths[0] * scale)


def test_arrays_of_other_libraries(data):
    x, y = (values.astype(np.float32) for values in data)
    value, _ = oracle.rbf_cka(x.astype(float), y.astype(float))
    rows = np.random.default_rng(1).permutation(N)
    names = [f"row {row}" for row in range(N)]
    tables = pd.DataFrame(x, index=names), pd.DataFrame(y, index=names).iloc[rows]
    for one, other in ((torch.tensor(x), y.reshape(N, 2, 2)), (x[:, ::-1], y), tables):
        assert kernel_cka(one, other).cka == pytest.approx(value, abs=1e-12)
    half = torch.tensor(x).bfloat16()
    value, _ = oracle.rbf_cka(half.double().numpy(), y.astype(float))
    assert kernel_cka(half, y).cka == pytest.approx(value, abs=1e-12)


def test_a_zero_bandwidth_is_undefined(data):
    x, _ = data
    most_equal = np.where(np.arange(N)[:, None] < N - 5, 1.0, x)
    similarity = kernel_cka(x, most_equal)
    assert math.isnan(similarity.cka)
    assert similarity.bandwidths[1] == 0
    assert similarity.undefined == {1: "the median distance between its examples is zero"}
    assert list(kernel_cka(np.ones((N, 2)), most_equal).undefined) == [0, 1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kernel": "poly"}, "kernel: expected 'rbf', got 'poly'"),
        ({"bandwidth": 0}, "bandwidth: expected a number from 1e-06 to 1e\\+06"),
        ({"bandwidth": math.nan}, "bandwidth: .* got nan"),
        ({"bandwidth": "1"}, "bandwidth: .* got '1'"),
        ({"bandwidth": 1e7}, "bandwidth: .* got 10000000.0"),
        ({"y": np.ones((3, 2))}, "x has 40 examples and y has 3"),
        ({"x": np.ones((1, 2)), "y": np.ones((1, 2))}, "at least 2 examples, got 1"),
        ({"y": np.full((N, 2), np.inf)}, "y holds 80 NaN or infinite values"),
        ({"x": np.ones(N)}, r"x must have shape \(n_examples, n_features\)"),
    ],
)
def test_wrong_arguments_are_refused(data, change, expected):
    with pytest.raises(InputError, match=expected):
        kernel_cka(**{"x": data[0], "y": data[1]} | change)


def test_the_memory_is_checked(data, monkeypatch):
    monkeypatch.setattr("fastcka.memory.UNCHECKED_BYTES", 0)
    monkeypatch.setattr("fastcka.memory.free_memory", lambda: FreeMemory(1000, "a test"))
    with pytest.raises(
        OutOfMemoryError, match=r"comparing 40 examples by Gaussian kernels needs \d+\.\d kB"
    ):
        kernel_cka(*data)
