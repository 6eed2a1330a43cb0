"""Networks that compute in float64: no digits are lost in memory, the store and a sweep."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import oracle
from fastcka.capture import (
    Probe,
    capture_activations,
    capture_attention,
    capture_representations,
)
from fastcka.errors import InputError
from fastcka.store import Key, open_store
from fastcka.sweep import run_sweep

N = 40
X = np.random.default_rng(5).normal(size=(N, 6))


class Upcasts(nn.Module):
    """A head in float64 after layers in float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.double() + 1e9


def offset(bias: float, scale: float = 1.0) -> nn.Sequential:
    layer = nn.Linear(6, 6).double()
    with torch.no_grad():
        layer.weight.copy_(scale * torch.eye(6, dtype=torch.float64))
        layer.bias.fill_(bias)
    return nn.Sequential(layer, nn.Identity())


@pytest.mark.parametrize(("bias", "scale"), [(1e9, 1.0), (0.0, 1e60), (1e-60, 1e-60)])
@pytest.mark.parametrize("side", ["output", "input"])
def test_float64_stays_float64(bias: float, scale: float, side: Any) -> None:
    expected = X @ (scale * np.eye(6)) + bias
    got = capture_activations(offset(bias, scale), X, ["1"], side=side, batch_size=16)["1"]
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("pool", ["mean_tokens", "last_token", "cls", "flatten", "none"])
def test_pooling_keeps_float64(pool: Any) -> None:
    tokens = 1e9 + X.reshape(N, 3, 2)
    expected = {
        "mean_tokens": tokens.mean(axis=1),
        "last_token": tokens[:, 2],
        "cls": tokens[:, 0],
        "flatten": tokens.reshape(N, 6),
        "none": tokens,
    }[pool]
    got = capture_activations(nn.Sequential(nn.Identity()), tokens, ["0"], pool=pool)["0"]
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=1e-15)


def test_one_layer_in_float64_among_others() -> None:
    model = nn.Sequential(nn.Identity(), Upcasts())
    got = capture_activations(model, X.astype(np.float32), ["0", "1"])
    assert [got[layer].dtype for layer in "01"] == [np.float32, np.float64]
    np.testing.assert_array_equal(got["1"], 1e9 + X.astype(np.float32).astype(np.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrower_formats_are_float32(dtype: torch.dtype) -> None:
    x = torch.from_numpy(X).to(dtype)
    got = capture_activations(nn.Sequential(nn.Identity()), x, ["0"])["0"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, x.double().numpy())


def test_a_dtype_that_changes_between_batches_is_refused() -> None:
    class Drifts(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float() if len(x) == 16 else x

    with pytest.raises(
        InputError,
        match=r"layer '0': expected the same dtype .* got float64 for example 32, but not for",
    ):
        capture_activations(nn.Sequential(Drifts()), X, ["0"], batch_size=16)


def test_the_rows_are_compared_with_the_digits_of_float64() -> None:
    class Mixes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1e-6 * x.mean(dim=0)  # within the round-off of float32

    with pytest.raises(InputError, match=r"depends on other examples.*at most 1e-08"):
        capture_activations(nn.Sequential(Mixes()), X, ["0"])


def test_attention_weights_stay_float64() -> None:
    torch.manual_seed(0)
    model = nn.MultiheadAttention(6, 2, batch_first=True).double()
    x = torch.randn(5, 4, 6, dtype=torch.float64)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x)[0]

    expected = model(x, x, x, average_attn_weights=False)[1].detach().numpy()
    got = capture_attention(Net(), x, keep_weights=True)["attention"].weights
    assert got is not None
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=1e-13)


def test_a_sweep_over_captured_float64(tmp_path: Path) -> None:
    ids = [f"row{row}" for row in range(N)]
    parts = {"a": X, "b": X @ np.random.default_rng(1).normal(size=(6, 6))}
    for name, x in parts.items():
        capture_representations(
            offset(1e9),
            Probe(x, ids=ids),
            layers=["1"],
            store=tmp_path / "store",
            model_name=name,
            step=0,
        )
    with open_store(tmp_path / "store") as store:
        assert store.info(Key("a", 0, "1")).dtype == "float64"
        np.testing.assert_array_equal(store.read(Key("a", 0, "1")), X + 1e9)
    (tmp_path / "sweep.yaml").write_text("store: store\noutput: out\ncompare: {within: [layer]}\n")
    run_sweep(tmp_path / "sweep.yaml")
    with (tmp_path / "out/results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    expected = oracle.cka_matrix([X + 1e9, parts["b"] + 1e9], "unbiased")[0, 1]
    assert float(row["cka_unbiased"]) == pytest.approx(expected, abs=1e-6)
