"""Captured layers of small Hugging Face models against the outputs of these models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations, capture_attention
from fastcka.errors import InputError

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = pytest.mark.filterwarnings("default")  # transformers uses deprecated functions

SIZE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 20,
    "max_position_embeddings": 16,
}


def bert() -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = transformers.BertModel(transformers.BertConfig(**SIZE))
    return model


def llama() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SIZE, num_key_value_heads=1)
    model: nn.Module = transformers.LlamaForCausalLM(config)
    return model


def tokens(*, left: bool = False) -> Probe:
    ids = torch.randint(1, 20, (5, 6), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(5, 6, dtype=torch.int64)
    for row, length in enumerate([6, 3, 1, 4, 6]):
        if left:
            mask[row, : 6 - length] = 0
        else:
            mask[row, length:] = 0
    return Probe({"input_ids": ids, "attention_mask": mask})


def outputs(model: nn.Module, probe: Probe, field: str) -> list[np.ndarray[Any, Any]]:
    """What the model returns in a field, for all examples at once."""
    args, kwargs = probe.batch(slice(0, len(probe)), None)
    with torch.no_grad():
        output = model.eval()(*args, **kwargs, output_hidden_states=True, output_attentions=True)
    return [value.numpy() for value in getattr(output, field)]


def test_layers_are_the_hidden_states_of_the_model() -> None:
    model, probe = bert(), tokens()
    hidden = outputs(model, probe, "hidden_states")
    mask = np.asarray(probe.mask, bool)
    got = capture_activations(
        model, probe, ["embeddings", "encoder.layer.*"], pool="none", batch_size=2
    )
    assert list(got) == ["embeddings", "encoder.layer.0", "encoder.layer.1"]
    for name, expected in zip(got, hidden, strict=True):
        np.testing.assert_allclose(got[name], expected * mask[..., None], atol=1e-5, err_msg=name)
    mean = capture_activations(model, probe, ["encoder.layer.*"], pool="mean_tokens")
    for name, expected in zip(mean, hidden[1:], strict=True):
        by_hand = [row[real].mean(axis=0) for row, real in zip(expected, mask, strict=True)]
        np.testing.assert_allclose(mean[name], by_hand, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("make", [bert, llama])
def test_hidden_states_by_one_word(make: Any) -> None:
    model, probe = make(), tokens()
    mask = np.asarray(probe.mask, bool)
    got = capture_activations(
        model, probe, ["lm_head" if make is llama else "pooler", "hidden_states"], pool="flatten"
    )
    names = [f"hidden_states.{number}" for number in range(3)]
    assert list(got)[:3] == names
    assert len(got) == 4
    for name, expected in zip(names, outputs(model, probe, "hidden_states"), strict=True):
        values = (expected * mask[..., None]).reshape(5, -1)
        np.testing.assert_allclose(got[name], values, atol=1e-5, err_msg=name)
    with pytest.raises(InputError, match="side: expected 'output' for the layers 'hidden_states'"):
        capture_activations(model, probe, ["hidden_states"], side="input")


def test_hidden_states_whose_rows_depend_on_other_examples() -> None:
    model = bert()
    model.encoder.layer[0].register_forward_hook(
        lambda _module, _args, output: output - output.mean(dim=0)
    )
    with pytest.raises(InputError, match=r"'hidden_states\.1': the row of example"):
        capture_activations(model, tokens(), ["hidden_states"], pool="cls")


def test_a_network_without_hidden_states() -> None:
    with pytest.raises(InputError, match="Linear has no module 'hidden_states'"):
        capture_activations(nn.Linear(3, 2), torch.zeros(4, 3), ["hidden_states"])
    named = nn.ModuleDict({"hidden_states": nn.Linear(3, 2)})
    named.forward = lambda x: named["hidden_states"](x)  # type: ignore[method-assign]
    named.config = bert().config
    assert list(capture_activations(named, torch.zeros(4, 3), ["hidden_states"])) == [
        "hidden_states"
    ]

    class Outputless(nn.Linear):
        config = bert().config

        def forward(self, x: torch.Tensor, **_: Any) -> torch.Tensor:
            return super().forward(x)

    with pytest.raises(InputError, match="expected an output with hidden_states from Outputless"):
        capture_activations(Outputless(3, 2), torch.zeros(4, 3), ["hidden_states"])


def test_a_padded_decoder_is_pooled_at_its_last_real_token() -> None:
    model, probe = llama(), tokens(left=True)
    got = capture_activations(model, probe, ["model.layers.1"], pool="last_token")
    kwargs = probe.batch(slice(0, 5), None)[1]
    mask = kwargs["attention_mask"].bool()
    for row in range(5):
        alone = Probe({"input_ids": kwargs["input_ids"][row][mask[row]][None]})
        # The final norm follows the last layer: hidden_states has its output, not the layer's.
        hidden = outputs(model, alone, "hidden_states")[-1][0, -1]
        normed = model.model.norm(torch.from_numpy(got["model.layers.1"][row]))
        np.testing.assert_allclose(normed.detach(), hidden, atol=1e-4)


@pytest.mark.parametrize("make", [bert, llama])
def test_attention_is_that_of_the_eager_implementation(make: Any) -> None:
    model, probe = make(), tokens()
    assert model.config._attn_implementation == "sdpa"
    got = capture_attention(model, probe, keep_weights=True, batch_size=2)
    assert model.config._attn_implementation == "sdpa"
    assert list(got) == ["attentions.0", "attentions.1"]
    model.set_attn_implementation("eager")
    mask = np.asarray(probe.mask, bool)
    for name, expected in zip(got, outputs(model, probe, "attentions"), strict=True):
        weights = got[name].weights
        assert weights is not None
        np.testing.assert_allclose(weights, expected, atol=1e-6, err_msg=name)
        for row in range(5):
            p = expected[row][:, mask[row]].astype(np.float64)
            entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1).mean(axis=-1)
            np.testing.assert_allclose(got[name].entropy[row], entropy, atol=1e-5)


def test_attention_of_a_model_inside_another() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text = bert()
            self.head = nn.Linear(16, 3)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            output = self.text(input_ids=input_ids, attention_mask=attention_mask)
            return self.head(output.last_hidden_state[:, 0])

    got = capture_attention(Classifier(), tokens(), ["text.attentions.1"])
    assert list(got) == ["text.attentions.1"]
    np.testing.assert_array_equal(got["text.attentions.1"].mean_map.shape, (2, 6, 6))


def test_the_root_output_of_a_submodel_is_its_first_tensor() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.text = bert()

        def forward(self, **tokens: torch.Tensor) -> torch.Tensor:
            return self.text(**tokens).last_hidden_state

    model, probe = Wrapped(), tokens()
    got = capture_activations(model, probe, ["text"], pool="cls")
    expected = outputs(model.text, probe, "hidden_states")[-1][:, 0]
    np.testing.assert_allclose(got["text"], expected, atol=1e-5)
