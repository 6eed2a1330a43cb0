"""Which tensor of a nested output is captured: the only one that fits, or the one that is named."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import capture_activations, capture_representations
from fastcka.errors import InputError
from fastcka.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

X = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
Pair = namedtuple("Pair", ["mask", "hidden"])


class Returns(nn.Module):
    """Returns a function of its input."""

    def __init__(self, make: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor) -> Any:
        return self.make(x)


class Around(nn.Module):
    """Calls its member and returns the input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.inner(x)
        return x


@dataclass
class Record:
    length: int
    hidden: torch.Tensor


def captured(make: Callable[[torch.Tensor], Any], layer: str = "inner", x: Any = X) -> Any:
    got = capture_activations(Around(Returns(make)), x, [layer], pool="none")
    assert list(got) == [layer]
    return got[layer]


def pyramid(x: torch.Tensor) -> Any:
    return {"mask": x > 0, "features": [2 * x, (3 * x, x.long())], "loss": x.sum()}


def state_first(x: torch.Tensor) -> Any:
    return ((x, x + 1), 3 * x)


def second_of_three(x: torch.Tensor) -> Any:
    return None, 10 * x, x


def mapping(x: torch.Tensor) -> Any:
    return {"loss": None, "hidden": 3 * x, "pooled": x}


def ordered(x: torch.Tensor) -> Any:
    return OrderedDict(mapping(x))


@pytest.mark.parametrize(
    ("make", "factor"),
    [
        (lambda x: (5 * x,), 5),  # a block of a transformer without its attention weights
        (lambda x: [None, x > 0, 5 * x, x.long()], 5),
        (lambda x: {"mask": x > 0, "nested": [{"hidden": 7 * x}]}, 7),
        (lambda x: Pair(x > 0, 7 * x), 7),
        (lambda x: Record(3, 7 * x), 7),
        (lambda x: OrderedDict(loss=x.sum(), logits=9 * x), 9),  # one number has no examples
        (lambda x: OrderedDict(pooled=x, last_hidden_state=9 * x, hidden_states=(x, x + 1)), 9),
        (lambda x: (lambda y: (y, {"same": y}))(4 * x), 4),  # one tensor in two places
    ],
)
def test_the_only_tensor_that_fits(make: Any, factor: float) -> None:
    np.testing.assert_array_equal(captured(make), factor * X)


@pytest.mark.parametrize(
    ("make", "layer", "factor"),
    [
        (pyramid, "inner.output.features[0]", 2),
        (pyramid, "inner.output.features[1][0]", 3),
        (pyramid, "inner.output.features[1]", 3),  # the other member contains integers
        (state_first, "inner.output[0][0]", 1),
        (state_first, "inner.output[1]", 3),
        (second_of_three, "inner.output[1]", 10),
        (mapping, "inner.output.hidden", 3),
        (ordered, "inner.output.hidden", 3),
        (lambda x: {"res.4": 2 * x, "0": 3 * x}, 'inner.output["res.4"]', 2),
        (lambda x: {"res.4": 2 * x, "0": 3 * x}, "inner.output.0", 3),
        (lambda x: {0: 2 * x, 1: 3 * x}, "inner.output[1]", 3),
        (lambda x: Pair(x, 7 * x), "inner.output.hidden", 7),
        (lambda x: Pair(x, 7 * x), "inner.output[1]", 7),
        (lambda x: Record(3, 7 * x), "inner.output.hidden", 7),
        (
            lambda x: OrderedDict(last_hidden_state=x, hidden_states=(x, 2 * x)),
            "inner.output.hidden_states[1]",
            2,
        ),
    ],
)
def test_a_named_member(make: Any, layer: str, factor: float) -> None:
    np.testing.assert_array_equal(captured(make, layer), factor * X)


@pytest.mark.parametrize(
    ("make", "layer", "message"),
    [
        (
            pyramid,
            "inner",
            r"'inner' returned several tensors.*: 'inner\.output\.features\[0\]' \(float32, "
            r"\(2, 3\)\), 'inner\.output\.features\[1\]\[0\]' \(float32, \(2, 3\)\)\. In layers",
        ),
        (
            state_first,
            "inner",
            r"'inner\.output\[0\]\[0\]'.*'inner\.output\[0\]\[1\]'.*'inner\.output\[1\]'",
        ),
        (second_of_three, "inner", r"'inner\.output\[1\]' .*'inner\.output\[2\]'"),
        (mapping, "inner", r"'inner\.output\.hidden' .*'inner\.output\.pooled'"),
        (ordered, "inner", r"'inner\.output\.hidden' .*'inner\.output\.pooled'"),
        (state_first, "inner.output[0]", r"layer 'inner\.output\[0\]' returned several"),
        (state_first, "inner.output[2]", r"'inner\.output' has no member '\[2\]'.*with \[0\]"),
        (
            pyramid,
            "inner.output.feature",
            r"no member '\.feature'; its type is dict with \.mask, \.feat",
        ),
        (
            lambda x: x,
            "inner.output[0]",
            r"'inner\.output' has no member.*its type is float32, \(2, 3\)",
        ),
        (lambda x: x > 0, "inner", r"returned 'inner\.output' \(bool.*expected a tensor of float"),
        (lambda x: (x > 0, x.int()), "inner", r"\[0\]' \(bool.*\[1\]' \(int32.*never used"),
        (pyramid, "inner.output.mask", r"'inner\.output\.mask' returned.*bool"),
        (lambda x: None, "inner", "returned NoneType; expected a tensor"),
        (lambda x: (x * 1j, x), "inner", r"several.*complex64"),
        (lambda x: x * 1j, "inner", "expected a dense tensor of real numbers, got complex64"),
        (lambda x: x.to_sparse(), "inner", "expected a dense tensor.*sparse_coo"),
        (lambda x: (x, x.clone()), "outer.output[0]", "no module 'outer'.*inner"),
    ],
)
def test_what_is_refused(make: Any, layer: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        captured(make, layer)


def test_a_packed_sequence_is_no_row_for_each_example() -> None:
    lengths = torch.tensor([1, 1])

    def packed(x: torch.Tensor) -> Any:
        rows = lengths[: len(x)] if len(x) < 3 else torch.ones(len(x), dtype=torch.int64)
        return nn.utils.rnn.pack_padded_sequence(x[:, None], rows, batch_first=True)

    # Two tokens and two examples: the number of rows alone does not exclude it.
    with pytest.raises(InputError, match=r"'inner' returned a PackedSequence.*pad_packed_sequence"):
        captured(packed)
    with pytest.raises(InputError, match=r"\[0\]' \(PackedSequence\), 'inner\.output\[1\]'"):
        captured(lambda x: (packed(x), 3 * x))
    np.testing.assert_array_equal(captured(lambda x: (packed(x), 3 * x), "inner.output[1]"), 3 * X)


def test_recurrent_and_attention_modules_give_their_first_tensor() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3, 4)
    lstm = nn.LSTM(4, 6, batch_first=True)
    with torch.inference_mode():
        output, (h, c) = lstm(x)
    model = nn.Sequential(lstm)
    names = ["0", "0.output[0]", "0.output[1][0]", "0.output[1][1]"]
    states = {"0.output[1]*": 1}  # (n_layers, n_examples, n_features)
    got = capture_activations(model, x, names, batch_axis=states)
    for name, expected in zip(names, (output, output, h[0], c[0]), strict=True):
        np.testing.assert_allclose(got[name], expected.reshape(5, -1), atol=1e-6, err_msg=name)
    with pytest.raises(InputError, match=r"'0\.output\[1\]' returned several.*\[1\]\[0\]"):
        capture_activations(model, x, ["0.output[1]"])


def test_patterns_and_calls_may_name_a_member() -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(Returns(lambda x, f=f: (f * x, x + f)) for f in (2.0, 3.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x)[0]
            return self.blocks[1](x)[1]

    got = capture_activations(Blocks(), X, ["blocks.*@*.output[1]", "blocks.1@0.output[0]"])
    assert list(got) == [
        "blocks.0.output[1]",
        "blocks.1@0.output[1]",
        "blocks.1@1.output[1]",
        "blocks.1@0.output[0]",
    ]
    np.testing.assert_array_equal(got["blocks.0.output[1]"], X + 2)
    np.testing.assert_array_equal(got["blocks.1@0.output[1]"], 2 * X + 3)
    np.testing.assert_array_equal(got["blocks.1@1.output[1]"], 6 * X + 3)
    np.testing.assert_array_equal(got["blocks.1@0.output[0]"], 6 * X)
    with pytest.raises(InputError, match=r"'blocks\.1@1\.output\[0\]' .*'blocks\.1@1\.output"):
        capture_activations(Blocks(), X, ["blocks.1@1"])


def test_a_module_called_output_is_a_module() -> None:
    inner = nn.Sequential(OrderedDict(output=nn.Sequential(OrderedDict(dense=nn.ReLU()))))
    got = capture_activations(inner, X, ["output.dense", "*.dense"])
    assert list(got) == ["output.dense"]
    np.testing.assert_array_equal(got["output.dense"], X.clamp(min=0))


def test_members_of_the_input() -> None:
    class Gives(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Takes()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x > 0, 2 * x, memory=3 * x)

    class Takes(nn.Module):
        def forward(self, mask: Any, x: torch.Tensor, *, memory: torch.Tensor) -> torch.Tensor:
            return x + memory

    names = ["inner.input[1]", "inner.input.memory"]
    got = capture_activations(Gives(), X, names, side="input")
    np.testing.assert_array_equal(got["inner.input[1]"], 2 * X)
    np.testing.assert_array_equal(got["inner.input.memory"], 3 * X)
    with pytest.raises(InputError, match=r"received several.*'inner\.input\[1\]'.*input\.memory'"):
        capture_activations(Gives(), X, ["inner"], side="input")
    with pytest.raises(InputError, match=r"'inner\.input\[1\]' names the input.*side='input'"):
        capture_activations(Gives(), X, ["inner.input[1]"])


def test_self_attention_is_given_one_tensor_three_times() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attn(x, x, x)[0]

    x = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    got = capture_activations(Attends(), x, ["attn"], side="input")["attn"]
    np.testing.assert_array_equal(got, x.reshape(3, 8))


def test_a_pooling_for_one_member_and_the_store(tmp_path: Path) -> None:
    model = Around(Returns(lambda x: (x[:, None] + torch.zeros(1, 3, 1), 2 * x)))
    layers = ["inner.output[0]", "inner.output[1]"]
    pool: Any = {"inner.output[0]": "mean_tokens", "inner": "flatten"}
    capture_representations(
        model, X, layers=layers, pool=pool, store=tmp_path, model_name="m", step=0
    )
    with open_store(tmp_path) as store:
        first, second = store.keys()
        assert [first.layer, second.layer] == layers
        np.testing.assert_array_equal(store.read(first), X)
        np.testing.assert_array_equal(store.read(second), 2 * X)
        assert [store.info(key).pooling for key in (first, second)] == ["mean_tokens", "flatten"]
