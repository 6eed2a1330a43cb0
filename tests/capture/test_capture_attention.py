"""Attention weights against softmax(QK^T / sqrt d) by hand; the network returns the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations, capture_attention
from fastcka.errors import InputError

N, T, D, HEADS = 7, 5, 8, 2
LENGTHS = (5, 2, 4, 1, 5, 3, 3)

Array = np.ndarray[Any, np.dtype[np.float64]]


def real() -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([[position < length for position in range(T)] for length in LENGTHS])


def inputs() -> torch.Tensor:
    return torch.randn(N, T, D, generator=torch.Generator().manual_seed(2))


def encoder(*, norm_first: bool = False, layers: int = 2) -> nn.TransformerEncoder:
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(
        D, HEADS, dim_feedforward=16, batch_first=True, norm_first=norm_first
    )
    # With padding, the fast path makes nested tensors; with norm_first it cannot.
    model = nn.TransformerEncoder(layer, layers, enable_nested_tensor=not norm_first)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def by_hand(attention: nn.MultiheadAttention, x: Array, visible: Array | None = None) -> Array:
    """softmax(QK^T / sqrt(d / heads)) for each example and head; visible: (n, T) or (T, T)."""
    weight = attention.in_proj_weight.detach().double().numpy()
    bias = attention.in_proj_bias.detach().double().numpy()
    width = D // HEADS
    out = np.zeros((len(x), HEADS, T, T))
    for row in range(len(x)):
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            q = (x[row] @ weight[:D].T + bias[:D])[:, part]
            k = (x[row] @ weight[D : 2 * D].T + bias[D : 2 * D])[:, part]
            scores = q @ k.T / np.sqrt(width)
            if visible is not None:
                scores[
                    ~np.broadcast_to(visible if len(visible) == T else visible[row], (T, T))
                ] = -np.inf
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[row, head] = shares / shares.sum(axis=1, keepdims=True)
    return out


def entropy(weights: Array, queries: np.ndarray[Any, np.dtype[np.bool_]]) -> Array:
    out = np.zeros(weights.shape[:2])
    for row in range(len(weights)):
        for head in range(weights.shape[1]):
            terms = [
                -sum(p * np.log(p) for p in weights[row, head, query] if p > 0)
                for query in np.flatnonzero(queries[row])
            ]
            out[row, head] = sum(terms) / len(terms)
    return out


@pytest.mark.parametrize("batch_size", [2, 64])
def test_transformer_encoder(batch_size: int) -> None:
    model, x = encoder(), inputs()
    got = capture_attention(model, x, keep_weights=True, batch_size=batch_size)
    assert list(got) == ["layers.0.self_attn", "layers.1.self_attn"]
    with torch.no_grad():  # the training mode keeps it off the fast path; dropout is 0
        second = model.eval().layers[0](x)
    for name, layer, given in zip(got, model.layers, (x, second), strict=True):
        expected = by_hand(layer.self_attn, given.double().numpy())
        assert got[name].weights is not None
        np.testing.assert_allclose(got[name].weights, expected, atol=1e-6)
        np.testing.assert_allclose(got[name].mean_map, expected.mean(axis=0), atol=1e-6)
        everything = np.ones((N, T), bool)
        np.testing.assert_allclose(got[name].entropy, entropy(expected, everything), atol=1e-5)


def test_padding_has_no_weight() -> None:
    model, x, mask = encoder(layers=1), inputs(), real()
    probe = Probe({"src": x, "src_key_padding_mask": torch.from_numpy(~mask)}, mask=mask)
    got = capture_attention(model, probe, batch_size=3)["layers.0.self_attn"]
    expected = by_hand(model.layers[0].self_attn, x.double().numpy(), mask)
    assert got.weights is None
    np.testing.assert_allclose(got.entropy, entropy(expected, mask), atol=1e-5)
    assert got.entropy[3] == pytest.approx([0, 0])  # one token: nothing to choose from
    for query in range(T):
        rows = [row for row in range(N) if mask[row, query]]
        mean = sum(expected[row, :, query] for row in rows) / len(rows)
        np.testing.assert_allclose(got.mean_map[:, query], mean, atol=1e-6)


def test_a_query_that_is_padding_in_all_examples_has_no_mean() -> None:
    mask = np.ones((N, T), bool)
    mask[:, 0] = False  # left padding
    got = capture_attention(encoder(layers=1), Probe(inputs(), mask=mask))["layers.0.self_attn"]
    assert np.isnan(got.mean_map[:, 0]).all()
    assert np.isfinite(got.mean_map[:, 1:]).all()


class Causal(nn.Module):
    """Attention with positional arguments and a mask; `wanted`: the averaged weights too."""

    def __init__(self, *, wanted: bool = True) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.attn = nn.MultiheadAttention(D, HEADS, batch_first=True)
        self.spare = nn.MultiheadAttention(D, HEADS)
        self.wanted = wanted
        self.seen: Any = "nothing"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(T, T, dtype=torch.bool).triu(1)
        values, self.seen = self.attn(x, x, x, None, self.wanted, mask)
        return values


def test_the_network_gets_the_attention_output_that_it_requested() -> None:
    model, x = Causal(), inputs()
    plain = model.eval()(x).detach()
    averaged = model.seen.detach()
    got = capture_attention(model, x, ["attn"], keep_weights=True)
    assert list(got) == ["attn"]
    expected = by_hand(model.attn, x.double().numpy(), np.tril(np.ones((T, T), bool)))
    assert got["attn"].weights is not None
    np.testing.assert_allclose(got["attn"].weights, expected, atol=1e-6)
    np.testing.assert_allclose(model.seen, averaged, atol=1e-6)
    np.testing.assert_allclose(model.seen, expected.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(
        capture_activations(model, x, ["attn"], pool="none")["attn"], plain, atol=1e-6
    )
    unwanted = Causal(wanted=False)
    capture_attention(unwanted, x)
    assert unwanted.seen is None


def test_no_hook_and_no_flag_is_left_after_an_exception() -> None:
    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("on purpose")

    model = nn.Sequential(encoder(), Breaks())
    with pytest.raises(RuntimeError, match="on purpose"):
        capture_attention(model, inputs())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert module.training
    assert torch.backends.mha.get_fastpath_enabled()


def test_hooks_run_although_the_fast_path_of_the_encoder_would_skip_them() -> None:
    model, x, mask = encoder(), inputs(), real()
    probe = Probe({"src": x, "src_key_padding_mask": torch.from_numpy(~mask)}, mask=mask)
    got = capture_activations(model, probe, ["layers.*", "layers.0.norm2"], pool="none")
    slow = model.train()  # never fused; the same numbers without dropout
    for module in slow.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    hidden = x
    for number in range(2):
        hidden = slow.layers[number](hidden, src_key_padding_mask=torch.from_numpy(~mask)).detach()
        expected = hidden.numpy() * mask[..., None]
        np.testing.assert_allclose(got[f"layers.{number}"], expected, atol=1e-5)
    np.testing.assert_allclose(got["layers.0.norm2"], got["layers.0"])


def test_a_shared_attention_module_has_an_entry_a_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(D, HEADS, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.attn(x, x, x)[0]
            return self.attn(x, x, x)[0]

    model, x = Twice(), inputs()
    got = capture_attention(model, x, ["attn"], keep_weights=True)
    assert list(got) == ["attn@0", "attn@1"]
    assert got["attn@0"].weights is not None
    np.testing.assert_allclose(
        got["attn@0"].weights, by_hand(model.attn, x.double().numpy()), atol=1e-6
    )


def test_sequence_first_attention_has_examples_first_in_its_weights() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(D, HEADS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.transpose(0, 1)
            return self.attn(x, x, x, need_weights=False)[0]

    model, x = Turned(), inputs()
    got = capture_attention(model, x, keep_weights=True)["attn"]
    assert got.weights is not None
    np.testing.assert_allclose(got.weights, by_hand(model.attn, x.double().numpy()), atol=1e-6)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"attention has no module that matches '\*\*'.*: none"):
        capture_attention(nn.Sequential(nn.Linear(D, D)), inputs())
    with pytest.raises(InputError, match=r"no module 'spare'.*attn"):
        capture_attention(Causal(), inputs(), ["spare"])  # exists, but is never called
    with pytest.raises(InputError, match="layers: expected"):
        capture_attention(Causal(), inputs(), "attn")
    x = inputs()
    x[4, 2] = np.nan
    with pytest.raises(
        InputError, match="'attn': expected finite weights, got NaN or Inf among examples 3 to 5"
    ):
        capture_attention(Causal(), x, batch_size=3)
