"""Captured activations against values computed by hand; capturing leaves the model unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import capture_activations
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


def _linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return layer


def test_in_place_operation_behind_the_layer_does_not_reach_what_was_captured() -> None:
    model = nn.Sequential(_linear([[1.0, 0.0], [0.0, -1.0]], [0.5, 0.0]), nn.ReLU(inplace=True))
    got = capture_activations(model, torch.tensor([[1.0, 2.0], [-3.0, -4.0]]), ["0", "1"])
    np.testing.assert_array_equal(got["0"], [[1.5, -2.0], [-2.5, 4.0]])
    np.testing.assert_array_equal(got["1"], [[1.5, 0.0], [0.0, 4.0]])
    assert all(values.dtype == np.float32 for values in got.values())


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_inputs_survive_a_network_that_begins_in_place(kind: Callable[..., Any]) -> None:
    inputs = kind([[-1.0, 2.0], [3.0, -4.0]])
    got = capture_activations(nn.Sequential(nn.ReLU(inplace=True)), inputs, ["0"], batch_size=1)
    np.testing.assert_array_equal(got["0"], [[0.0, 2.0], [3.0, 0.0]])
    np.testing.assert_array_equal(np.asarray(inputs), [[-1.0, 2.0], [3.0, -4.0]])


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 256])
def test_rows_are_in_the_order_of_the_inputs(batch_size: int) -> None:
    inputs = np.arange(10, dtype=np.float32)[::-1].reshape(10, 1)  # negative strides, read-only
    inputs.flags.writeable = False
    model = nn.Sequential(_linear([[2.0]], [1.0]))
    got = capture_activations(model, inputs, ["0"], batch_size=batch_size)
    np.testing.assert_array_equal(got["0"], 2 * np.arange(10)[::-1, None] + 1)


def test_axes_after_the_first_are_flattened_row_major() -> None:
    inputs = torch.arange(24.0).reshape(2, 3, 2, 2)
    got = capture_activations(nn.Sequential(nn.Identity()), inputs, ["0"])
    np.testing.assert_array_equal(got["0"], np.arange(24.0).reshape(2, 12))


def test_one_number_an_example_becomes_one_feature() -> None:
    inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    got = capture_activations(nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (2, 2))), inputs, ["1"])
    assert got["1"].shape == (2, 2)

    class Sum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum(dim=1)

    got = capture_activations(nn.Sequential(Sum()), inputs, ["0"])
    np.testing.assert_array_equal(got["0"], [[3.0], [7.0]])


def test_half_precision_is_widened_exactly() -> None:
    inputs = torch.tensor([[1.0 / 3.0]], dtype=torch.bfloat16)
    got = capture_activations(nn.Sequential(nn.Identity()), inputs, ["0"])
    assert got["0"].item() == 0.333984375  # 1/3 rounded to 8 bits of mantissa


def _model_with_state() -> nn.Sequential:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 2))
    model.train()
    model[1].eval()  # a mix of flags: not one train() call could put it back
    return model


def test_eval_mode_while_capturing_and_flags_restored() -> None:
    model = _model_with_state()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inputs = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    model[1].train()
    got = capture_activations(model, inputs, ["0", "1"])
    # Running mean 0 and variance 1 as initialized: eval mode divides by sqrt(1 + eps) only.
    np.testing.assert_allclose(got["0"], inputs.numpy() / np.sqrt(1 + 1e-5), rtol=1e-6)
    np.testing.assert_array_equal(got["0"], got["1"])
    assert [m.training for m in model.modules()] == [True, True, True, True]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_exception_in_forward_restores_flags_and_hooks() -> None:
    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("broken on purpose")

    model = nn.Sequential(_model_with_state(), Breaks())
    flags = [m.training for m in model.modules()]
    assert set(flags) == {True, False}
    grad = torch.is_grad_enabled()
    with pytest.raises(RuntimeError, match="broken on purpose"):
        capture_activations(model, torch.ones(2, 2), ["0", "0.2"])
    assert [m.training for m in model.modules()] == flags
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.is_grad_enabled() == grad
    assert not torch.is_inference_mode_enabled()


def test_no_hook_remains_and_training_goes_on() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    capture_activations(model, torch.ones(3, 2), ["0"])
    assert not model[0]._forward_hooks
    model(torch.ones(3, 2)).sum().backward()
    assert model[0].weight.grad is not None


def test_unknown_layer_names_near_misses_and_what_exists() -> None:
    model = nn.Sequential()
    model.add_module("conv1", nn.Identity())
    model.add_module("logits", nn.Identity())
    with pytest.raises(InputError, match=r"'conv2'.*mean conv1.*conv1, logits"):
        capture_activations(model, torch.ones(1, 1), ["logits", "conv2"])


@pytest.mark.parametrize("name", ["0", "again"])
def test_module_called_twice_is_refused(name: str) -> None:
    model = nn.Sequential(nn.Identity())
    model.add_module("again", model[0])
    with pytest.raises(InputError, match=rf"'{name}': expected one call .* got 2"):
        capture_activations(model, torch.ones(4, 1), [name], batch_size=2)


def test_module_never_called_is_refused() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(InputError, match="'spare' was never called"):
        capture_activations(Unused(), torch.ones(4, 1), ["spare"])


def test_modules_inside_a_transformer_layer_are_not_skipped_by_its_fast_path() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    inputs = torch.randn(5, 3, 8)
    got = capture_activations(layer, inputs, ["self_attn", "norm1", "linear1"])
    attention = layer.eval().self_attn(inputs, inputs, inputs, need_weights=True)[0]
    norm1 = layer.norm1(inputs + attention)
    for name, expected in (
        ("self_attn", attention),
        ("norm1", norm1),
        ("linear1", layer.linear1(norm1)),
    ):
        flat = expected.detach().reshape(5, -1).numpy()
        np.testing.assert_allclose(got[name], flat, atol=1e-6, err_msg=name)


def test_first_axis_must_be_the_examples() -> None:
    class Transposed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.transpose(0, 1)

    with pytest.raises(
        InputError, match=r"'0': expected 3 examples on the first axis .* got the shape \(2, 3\)"
    ):
        capture_activations(nn.Sequential(Transposed()), torch.ones(3, 2), ["0"])


def test_number_of_features_must_be_constant() -> None:
    class Trimmed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, : 1 + int(x.max())]

    with pytest.raises(
        InputError, match=r"'0': .* number of features, got 2 for example 1 and 1 for example 0"
    ):
        capture_activations(
            nn.Sequential(Trimmed()), torch.tensor([[0.0, 0], [1, 0]]), ["0"], batch_size=1
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], ["0"]), "inputs: expected"),
        ((np.float32(1), ["0"]), "inputs: expected"),
        ((torch.tensor(1.0), ["0"]), "at least one example"),
        ((torch.ones(0, 2), ["0"]), "at least one example"),
        ((torch.ones(1, 2), "0"), "layers: expected"),
        ((torch.ones(1, 2), []), "layers: expected"),
        ((torch.ones(1, 2), ["0", "0"]), "twice"),
        ((torch.ones(1, 2), [""]), "no module ''"),
    ],
)
def test_wrong_arguments_are_named(arguments: tuple[object, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        capture_activations(nn.Sequential(nn.Identity()), *arguments)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True])
def test_wrong_batch_size(batch_size: object) -> None:
    with pytest.raises(InputError, match="batch_size"):
        capture_activations(
            nn.Sequential(nn.Identity()), torch.ones(1, 2), ["0"], batch_size=batch_size
        )
