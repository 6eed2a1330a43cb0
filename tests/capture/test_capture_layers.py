"""Which modules are captured, which of their calls, and whether inputs or outputs."""

from __future__ import annotations

import doctest
import importlib
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations
from fastcka.errors import InputError

ONES = torch.ones(3, 2)


@pytest.mark.parametrize("module", ["activations", "members", "probe", "modules"])
def test_docstrings(module: str) -> None:
    results = doctest.testmod(importlib.import_module(f"fastcka.capture.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


class Scale(nn.Module):
    """Multiplies by a constant, so that every value can be computed by hand."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def block(a: float, b: float) -> nn.Sequential:
    return nn.Sequential(OrderedDict(scale=Scale(a), norm=Scale(b)))


class Deep(nn.Module):
    """stem (2), then layers.0 (3, 5) and layers.1 (7, 11) in a ModuleList, then head (13)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Scale(2)
        self.layers = nn.ModuleList([block(3, 5), block(7, 11)])
        self.head = Scale(13)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Shared(nn.Module):
    """One in-place ReLU, called three times: x - 1, then relu + 2, then relu * -1."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.twice = Scale(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(x - 1)
        x = self.relu(x + 2)
        return self.twice(self.relu(-x))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["layers.*"], {"layers.0": 30, "layers.1": 2310}),
        (["*"], {"stem": 2, "head": 30030}),  # the ModuleList has no forward
        (["**.norm"], {"layers.0.norm": 30, "layers.1.norm": 2310}),
        (["layers.?.scale"], {"layers.0.scale": 6, "layers.1.scale": 210}),
        (
            ["head", "layers.*", "stem"],
            {"head": 30030, "layers.0": 30, "layers.1": 2310, "stem": 2},
        ),
        (["**", "!layers.**"], {"stem": 2, "head": 30030}),
        (["stem", "*"], {"stem": 2, "head": 30030}),
    ],
)
def test_patterns(layers: list[str], expected: dict[str, float]) -> None:
    got = capture_activations(Deep(), ONES, layers)
    assert list(got) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], np.full((3, 2), value), err_msg=name)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["layers.*.nrom"], r"no module that matches 'layers\.\*\.nrom'.*its modules: stem"),
        (["laiers.0"], r"no module 'laiers\.0'; did you mean layers\.0"),
        (["**", "!heads"], r"no module 'heads'; did you mean head\?"),
        (["*", "!*"], "exclude all of them"),
        (["*", "stem"], r"'stem' is selected twice"),
        (["layers"], "'layers' was never called"),
        (["stem@1"], r"'stem@1' was called 1 times"),
    ],
)
def test_wrong_patterns(layers: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        capture_activations(Deep(), ONES, layers)


def test_each_call_of_a_shared_in_place_module() -> None:
    inputs = torch.tensor([[0.0, 3.0]])
    got = capture_activations(Shared(), inputs, ["relu@*", "twice@*"])
    expected = {"relu@0": [[0, 2]], "relu@1": [[2, 4]], "relu@2": [[0, 0]], "twice": [[0, 0]]}
    assert {name: values.tolist() for name, values in got.items()} == expected
    one = capture_activations(Shared(), inputs, ["relu@1"])
    assert {name: values.tolist() for name, values in one.items()} == {"relu@1": [[2, 4]]}
    given = capture_activations(Shared(), inputs, ["relu@*"], side="input")
    expected = {"relu@0": [[-1, 2]], "relu@1": [[2, 4]], "relu@2": [[-2, -4]]}
    assert {name: values.tolist() for name, values in given.items()} == expected


def test_a_shared_module_without_a_number_says_how_to_name_its_calls() -> None:
    with pytest.raises(
        InputError, match=r"'relu': expected one call .* got 3.*'relu@0' to 'relu@2'.*@\*"
    ):
        capture_activations(Shared(), ONES, ["relu"])


def test_a_number_of_calls_that_depends_on_the_batch_is_refused() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(int(x.max())):
                x = self.relu(x)
            return x

    for second in (1.0, 3.0):
        inputs = torch.tensor([[2.0], [second]])
        with pytest.raises(InputError, match=f"2 times for some examples and {second:.0f}"):
            capture_activations(Sometimes(), inputs, ["relu@*"], batch_size=1)


def test_input_side_takes_keyword_arguments_and_precedes_in_place_changes() -> None:
    class ByName(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = InPlace()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(scale=2.0, hidden=x + 1)

    class InPlace(nn.Module):
        def forward(self, *, scale: float, hidden: torch.Tensor) -> torch.Tensor:
            return hidden.mul_(scale)

    inputs = torch.tensor([[1.0, 2.0]])
    before = capture_activations(ByName(), inputs, ["inner"], side="input")
    after = capture_activations(ByName(), inputs, ["inner"])
    assert (before["inner"].tolist(), after["inner"].tolist()) == ([[2, 3]], [[4, 6]])


def test_a_recurrent_layer_gives_its_sequence() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(2, 4, batch_first=True))
    inputs = torch.randn(5, 3, 2)
    expected = model[0](inputs)[0].detach().reshape(5, 12)
    np.testing.assert_allclose(capture_activations(model, inputs, ["0"])["0"], expected, atol=1e-6)


def test_keyword_inputs() -> None:
    class Add(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sum = Scale(1)

        def forward(self, *, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.sum(a + 10 * b)

    probe = Probe({"a": np.array([[1.0], [2.0]]), "b": torch.tensor([[3.0], [4.0]])})
    got = capture_activations(Add(), probe, ["sum"], batch_size=1)
    assert got["sum"].tolist() == [[31], [42]]


def test_compiled_and_parallel_wrappers_are_removed() -> None:
    inner = Deep()
    wrapped = nn.DataParallel(torch.compile(inner, backend="eager"))
    got = capture_activations(wrapped, ONES, ["layers.*"])
    assert list(got) == ["layers.0", "layers.1"]
    np.testing.assert_array_equal(got["layers.1"], np.full((3, 2), 2310))


class Random(nn.Module):
    """Draws from every generator, in eval mode too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = random.random() + np.random.rand()  # noqa: NPY002
        if noise > 1e9:
            raise AssertionError
        return x + torch.rand(())


class Breaks(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("on purpose")


@pytest.mark.parametrize("fails", [False, True])
def test_random_state_and_fast_path_are_as_they_were(fails: bool) -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), torch.rand(()).item()  # noqa: NPY002

    def seed() -> None:
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)

    seed()
    expected = draws()
    seed()
    model = nn.Sequential(Random(), Breaks() if fails else Scale(1))
    if fails:
        with pytest.raises(RuntimeError, match="on purpose"):
            capture_activations(model, ONES, ["0"])
    else:
        capture_activations(model, ONES, ["0"], check_rows=False)  # the rows are random
    assert draws() == expected
    assert torch.backends.mha.get_fastpath_enabled()
    assert not any(module._forward_hooks for module in model.modules())
    assert all(module.training for module in model.modules())


def test_tokens_first_is_not_taken_for_examples_first() -> None:
    model = nn.Sequential(nn.GRU(2, 4))  # (tokens, examples, features), by default
    inputs = torch.randn(4, 4, 2)  # as many tokens as examples
    with pytest.raises(InputError, match=r"'0'.*cannot be distinguished.*batch_size"):
        capture_activations(model, inputs, ["0"])
    with pytest.raises(InputError, match=r"4 examples on the first axis.*batch_first"):
        capture_activations(nn.Sequential(Turned()), torch.randn(4, 3, 2), ["0"])
    flat = capture_activations(nn.Sequential(Scale(1)), inputs, ["0"], batch_size=3)
    np.testing.assert_array_equal(flat["0"], inputs.reshape(4, 8))


class Turned(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 1)
