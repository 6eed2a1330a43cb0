"""A batch axis that is not the first: sequence-first modules against batch_first=True."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations, capture_attention
from fastcka.errors import InputError

N, T, D = 5, 3, 4
X = torch.randn(N, T, D, generator=torch.Generator().manual_seed(0))


def turned(module: nn.Module) -> nn.Module:
    """Return the module with ``batch_first=True`` and the same weights."""
    kind: Any = type(module)
    twin: nn.Module
    if isinstance(module, nn.TransformerEncoder):
        twin = encoder(batch_first=True)
    else:
        twin = kind(D, 6, num_layers=2, batch_first=True)
    twin.load_state_dict(module.state_dict())
    return twin.eval()


def encoder(*, batch_first: bool) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(D, 2, 8, batch_first=batch_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


class Turns(nn.Module):
    """Examples first outside, tokens first inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = self.inner(x.transpose(0, 1))
        return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_modules(kind: Any) -> None:
    torch.manual_seed(1)
    inner = kind(D, 6, num_layers=2)
    expected = turned(inner)(X)[0].detach()
    got = capture_activations(Turns(inner), X, ["inner"], batch_axis=1, batch_size=2)["inner"]
    np.testing.assert_allclose(got, expected.reshape(N, -1), atol=1e-6)
    # The network itself is sequence-first, and the probe has the examples first.
    probe = Probe(X, batch_axis=1)
    whole = nn.Sequential(inner)
    got = capture_activations(whole, probe, ["0"], batch_axis={"*": 1}, pool="none")["0"]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_a_transformer_with_a_padding_mask() -> None:
    torch.manual_seed(2)
    model = encoder(batch_first=False)
    real = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 0]])
    inputs = {"src": X, "src_key_padding_mask": torch.from_numpy(real == 0)}
    with torch.no_grad():
        expected = turned(model)(**inputs).numpy()
    by_hand = [expected[row][real[row] == 1].mean(axis=0) for row in range(N)]
    got = capture_activations(
        TurnedSource(model),
        Probe(inputs, batch_axis={"src": 1}),
        ["inner"],
        batch_axis={"inner*": 1},
        pool="mean_tokens",
        masks="!src_key_padding_mask",
        batch_size=2,
    )
    np.testing.assert_allclose(got["inner"], by_hand, atol=1e-6)
    heads = capture_attention(model, Probe(inputs, mask=real, batch_axis={"src": 1}))
    turned_heads = capture_attention(turned(model), Probe(inputs, mask=real))
    for layer, attention in heads.items():
        np.testing.assert_allclose(attention.entropy, turned_heads[layer].entropy, atol=1e-6)


class TurnedSource(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, src: torch.Tensor, src_key_padding_mask: torch.Tensor) -> torch.Tensor:
        return self.inner(src, src_key_padding_mask=src_key_padding_mask)


def test_the_error_names_the_axis_and_the_option() -> None:
    message = (
        r"layer 'inner': expected 5 examples .* got the shape \(3, 5, 6\).*"
        r"Axis 1 has 5 entries.*batch_axis=\{'inner': 1\}"
    )
    with pytest.raises(InputError, match=message):
        capture_activations(Turns(nn.GRU(D, 6)), X, ["inner"])
    with pytest.raises(InputError, match=r"5 examples on the third axis.*Axis 1 has 5"):
        capture_activations(Turns(nn.GRU(D, 6)), X, ["inner"], batch_axis=2)
    states = Turns(nn.GRU(D, 6, num_layers=2))
    with pytest.raises(InputError, match=r"\(2, 5, 6\).*batch_axis=\{'inner.output\[1\]': 1"):
        capture_activations(states, X, ["inner.output[1]"])


def test_as_many_tokens_as_examples_need_the_batch_axis() -> None:
    torch.manual_seed(3)
    x = torch.randn(3, 3, D)
    inner = nn.GRU(D, 6, num_layers=2)
    with pytest.raises(InputError, match=r"cannot be distinguished.*batch_axis=\{'inner': 0\}"):
        capture_activations(Turns(inner), x, ["inner"])
    got = capture_activations(Turns(inner), x, ["inner"], batch_axis=1)["inner"]
    np.testing.assert_allclose(got, turned(inner)(x)[0].detach().reshape(3, -1), atol=1e-6)
    # With the wrong axis, the rows belong to tokens, which is refused.
    with pytest.raises(InputError, match=r"'inner'.*check_rows=False"):
        capture_activations(Turns(inner), x, ["inner"], batch_axis={"inner": 0})


def test_examples_first_given_to_a_sequence_first_network() -> None:
    model = nn.Sequential(nn.GRU(D, 6))
    with pytest.raises(InputError, match=r"'0': the row of example.*batch_first=False"):
        capture_activations(model, X, ["0"])


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (-1, "batch_axis: expected an axis, 0 or more, got -1"),
        (True, "batch_axis: expected an axis, 0 or more, got True"),
        ({"inner": "1"}, "batch_axis: expected an axis, 0 or more, got '1'"),
        ({"iner": 1}, r"batch_axis: 'iner' matches none of the layers; did you mean inner\?"),
    ],
)
def test_wrong_axes_of_layers(axis: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        capture_activations(Turns(nn.GRU(D, 6)), X, ["inner"], batch_axis=axis)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (3, "batch_axis: expected an axis of src, from 0 to 2, got 3"),
        (True, "batch_axis: expected an axis of src, from 0 to 2, got True"),
        ({"scr": 1}, r"batch_axis: the probe has no input 'scr'; did you mean src\?"),
    ],
)
def test_wrong_axes_of_inputs(axis: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Probe({"src": X}, batch_axis=axis)


def test_the_digest_changes_with_the_axis() -> None:
    digests = [Probe(X).digest, Probe(X, batch_axis=1).digest, Probe(X, batch_axis=2).digest]
    assert len(set(digests)) == 3
    assert Probe(X, batch_axis={"inputs": 1}).digest == digests[1]
