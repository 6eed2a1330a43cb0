"""Pooling against loops over examples and tokens; padding on either side has no weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations
from fastcka.errors import InputError

LENGTHS = (4, 1, 3, 2, 4)
N_TOKENS = 4


def values() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(5, N_TOKENS, 3)).astype(np.float32)


def mask(side: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    rows = [[position < length for position in range(N_TOKENS)] for length in LENGTHS]
    return np.array(rows if side == "right" else [row[::-1] for row in rows])


def captured(probe: Any, pool: Any, layer: nn.Module | None = None) -> Any:
    model = nn.Sequential(layer or nn.Identity())
    return capture_activations(model, probe, ["0"], pool=pool, batch_size=2)["0"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("padding", [1e6, np.nan])
def test_pooling_over_tokens_with_padding(side: str, padding: float) -> None:
    x, real = values(), mask(side)
    x[~real] = padding
    probe = Probe(x, mask=real)
    mean, last, first = (captured(probe, pool) for pool in ("mean_tokens", "last_token", "cls"))
    for row in range(5):
        tokens = [x[row, position] for position in range(N_TOKENS) if real[row, position]]
        assert len(tokens) == LENGTHS[row]
        np.testing.assert_allclose(mean[row], sum(tokens) / len(tokens), rtol=1e-6)
        np.testing.assert_array_equal(last[row], tokens[-1])
        np.testing.assert_array_equal(first[row], tokens[0])
    zeroed = np.where(real[..., None], x, 0)
    np.testing.assert_array_equal(captured(probe, "none"), zeroed)
    np.testing.assert_array_equal(captured(probe, "flatten"), zeroed.reshape(5, -1))


def test_pooling_over_tokens_without_a_mask() -> None:
    x = values()
    np.testing.assert_allclose(captured(x, "mean_tokens"), x.sum(axis=1) / 4, rtol=1e-6)
    np.testing.assert_array_equal(captured(x, "last_token"), x[:, 3])
    np.testing.assert_array_equal(captured(x, "cls"), x[:, 0])
    np.testing.assert_array_equal(captured(x, "none"), x)


def test_an_attention_mask_among_the_inputs_is_the_mask() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Identity()

        def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            assert attention_mask.dtype == torch.int64
            return self.same(hidden)

    x = values()
    probe = Probe({"hidden": x, "attention_mask": mask("left").astype(np.int64)})
    got = capture_activations(Tokens(), probe, ["same"], pool="cls")["same"]
    np.testing.assert_array_equal(got, [x[row, 4 - LENGTHS[row]] for row in range(5)])


@pytest.mark.parametrize("shape", [(5, 3, 4), (5, 3, 2, 4), (5, 3, 2, 2, 2)])
def test_spatial_mean(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    got = captured(x, "spatial_mean")
    for row in range(5):
        for channel in range(3):
            assert got[row, channel] == pytest.approx(x[row, channel].mean(), abs=1e-6)


def test_means_of_half_precision_are_taken_in_single() -> None:
    x = torch.tensor([[[1.0], [1.0078125]]], dtype=torch.bfloat16)  # neighbours in that format
    for probe in (x, Probe(x, mask=torch.ones(1, 2))):
        assert captured(probe, "mean_tokens").tolist() == [[1.00390625]]
    assert captured(x.transpose(1, 2), "spatial_mean").tolist() == [[1.00390625]]


def test_a_pooling_for_each_layer() -> None:
    model = nn.Sequential(nn.Identity(), nn.Flatten())
    x = values()
    got = capture_activations(model, x, ["0", "1"], pool={"1": "flatten", "**": "mean_tokens"})
    assert {name: rows.shape for name, rows in got.items()} == {"0": (5, 3), "1": (5, 12)}
    with pytest.raises(InputError, match=r"no pattern of 0 matches layer '1'"):
        capture_activations(model, x, ["0", "1"], pool={"0": "cls"})


@pytest.mark.parametrize(
    ("pool", "shape", "message"),
    [
        ("mean_tokens", (5, 3), r"\(n_examples, n_tokens, n_features\).*pool={'0': 'flatten'"),
        ("last_token", (5, 3, 2, 2), "n_tokens"),
        ("spatial_mean", (5, 3), r"\(n_examples, n_channels, \.\.\.\)"),
    ],
)
def test_a_shape_that_does_not_fit(pool: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        captured(np.ones(shape, np.float32), pool)


@pytest.mark.parametrize("pool", ["mean_tokens", "cls", "last_token"])
def test_a_mask_of_another_length_is_refused(pool: str) -> None:
    probe = Probe(values(), mask=np.ones((5, 3)))
    with pytest.raises(InputError, match=r"a mask for 4 tokens, got mask with 3"):
        captured(probe, pool)


@pytest.mark.parametrize("pool", ["mean", {"*": "mean"}])
def test_unknown_poolings_and_sides(pool: Any) -> None:
    with pytest.raises(InputError, match=r"pool.*mean_tokens.*got 'mean'"):
        captured(values(), pool)
    with pytest.raises(InputError, match="side: expected one of input, output, got 'both'"):
        capture_activations(nn.Sequential(nn.Identity()), values(), ["0"], side="both")  # type: ignore[arg-type]
