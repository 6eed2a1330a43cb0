"""Errors of a network, compiled networks, and probes of other dtypes."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations, capture_attention
from fastcka.capture.factory import build_model, load_weights
from fastcka.errors import InputError, NetworkError, OutOfMemoryError

X = np.arange(12, dtype=np.float32).reshape(4, 3)


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU())


class Raises(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (linear(), X.astype(np.float64), "inputs is float64, but the weights of Sequential are fl"),
        (linear(), X.astype(np.int64), "inputs is int64, but the weights of Sequential are"),
        (linear().double(), X, r"inputs is float32, but the weights.*astype\('float64'\)"),
        (linear().bfloat16(), X, r"inputs.to\(torch.bfloat16\)"),
        (
            nn.Sequential(nn.Conv1d(3, 2, 1)),
            np.ones((4, 3, 5), np.uint8),
            r"inputs is uint8.*astype\('float32'\).*layer '0' \(Conv1d\)",
        ),
        (nn.Sequential(nn.LSTM(3, 2)), X[None].astype(np.float64), "inputs is float64, but"),
        (
            nn.Sequential(nn.Embedding(20, 2)),
            X,
            r"inputs is float32, but an embedding takes integers.*astype\('int64'\)",
        ),
        (linear(), X.astype(np.longdouble), r"inputs: PyTorch has no .*astype\('float32'\)"),
    ],
)
def test_a_probe_of_another_dtype(model: nn.Module, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        capture_activations(model, inputs, ["0"])
    if isinstance(model[0], nn.Linear) and inputs.dtype != np.longdouble:  # type: ignore[index]
        dtype = model[0].weight.dtype  # type: ignore[index]
        got = capture_activations(model, torch.from_numpy(inputs).to(dtype), ["0"])
        assert got["0"].shape == (4, 2)


def test_the_other_byte_order_gives_the_same_values() -> None:
    model = linear()
    expected = capture_activations(model, X, ["0"])["0"]
    np.testing.assert_array_equal(capture_activations(model, X.astype(">f4"), ["0"])["0"], expected)


def test_a_dtype_that_the_network_converts_is_accepted() -> None:
    class Converts(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.float())

    model = Converts(*linear())
    expected = capture_activations(model, X, ["0"])["0"]
    got = capture_activations(model, X.astype(np.float64), ["0"])["0"]
    np.testing.assert_array_equal(got, expected)


def test_shapes_that_do_not_fit_name_the_layer_and_the_inputs() -> None:
    model = nn.Sequential(linear(), nn.Sequential(nn.Identity(), nn.Linear(5, 2)))
    message = (
        r"layer '1\.1' \(Linear\) of Sequential raised RuntimeError: mat1 and mat2 shapes cannot "
        r"be multiplied \(2x2 and 5x2\).*a batch of 2 examples: inputs float32 \(2, 3\)"
    )
    with pytest.raises(NetworkError, match=message) as caught:
        capture_activations(model, X, ["0"], batch_size=2)
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(NetworkError, match=r"layer '1\.1'"):
        capture_attention(model, X)


def test_wrong_keyword_arguments_name_the_network() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            return self.inner(input_ids)

    with pytest.raises(NetworkError, match=r"Tokens raised .*unexpected keyword.*'ids'.*: ids int"):
        capture_activations(Tokens(), {"ids": np.ones((2, 3), np.int64)}, ["inner"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_too_little_memory(error: Exception) -> None:
    model = nn.Sequential(nn.ReLU(), Raises(error))
    message = r"running Sequential on a batch of 4 examples \(inputs float32 \(4, 3\)\): not enough"
    with pytest.raises(OutOfMemoryError, match=rf"{message} mem.*smaller batch_size") as caught:
        capture_activations(model, X, ["0"])
    assert isinstance(caught.value, MemoryError)
    with pytest.raises(OutOfMemoryError, match=r"batch of 1 example .*larger device"):
        capture_activations(model, X, ["0"], batch_size=1)


def test_the_error_does_not_keep_the_tensors_that_fill_the_memory() -> None:
    kept: list[weakref.ref[torch.Tensor]] = []

    class Fills(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            large = x + 1
            kept.append(weakref.ref(large))
            return torch.empty(10**15)

    with pytest.raises(OutOfMemoryError) as caught:
        capture_activations(nn.Sequential(nn.ReLU(), Fills()), X, ["0"])
    gc.collect()
    assert caught.value.__cause__ is None
    assert kept
    assert kept[0]() is None


@pytest.mark.parametrize(
    "error",
    [MemoryError("std::bad_alloc"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_networks_and_weights_that_do_not_fit_into_memory(error: Exception) -> None:
    class Large(nn.Linear):
        def load_state_dict(self, *_args: Any, **_options: Any) -> Any:
            raise error

    def build() -> nn.Module:
        raise error

    with pytest.raises(OutOfMemoryError, match=r"building the network by .*build: not enough mem"):
        build_model(build)
    layer = Large(2, 2)
    with pytest.raises(OutOfMemoryError, match=r"loading the weights of c\.pt: not enough memory"):
        load_weights(layer, nn.Linear(2, 2).state_dict(), where="c.pt")


def test_rows_that_do_not_fit_into_memory() -> None:
    def allocate(shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty((10**9, *shape, 10**6), dtype)

    with pytest.raises(OutOfMemoryError, match=r"layer '0'.*rows of shape \(4, 3\).*fewer layers"):
        capture_activations(nn.Sequential(nn.ReLU()), X, ["0"], allocate=allocate)


class Outer(nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def in_place(net: nn.Sequential) -> Any:
    net.compile(backend="eager")
    return Outer(net)


def a_submodule(net: nn.Sequential) -> Any:
    net[0].compile(backend="eager")
    return Outer(net)


def the_method(net: nn.Sequential) -> Any:
    net.forward = torch.compile(net.forward, backend="eager")  # type: ignore[method-assign]
    return Outer(net)


def wrapped_inside(net: nn.Sequential) -> Any:
    return Outer(torch.compile(net, backend="eager"))


def wrapped_twice(net: nn.Sequential) -> Any:
    inner = nn.DataParallel(torch.compile(net, backend="eager"))
    return torch.compile(Outer(inner), backend="eager")


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(
    "compiled", [in_place, a_submodule, the_method, wrapped_inside, wrapped_twice]
)
def test_compiled_modules(compiled: Any, used: bool) -> None:
    net = linear().eval()
    expected = capture_activations(Outer(net), X, ["inner", "inner.0"], batch_size=3)
    model = compiled(net)
    call = net._compiled_call_impl
    if used and compiled is not wrapped_twice:
        model(torch.ones(7, 3))
    for batch_size in (3, 4, 1):
        got = capture_activations(model, X, ["inner", "**.0"], batch_size=batch_size)
        assert list(got) == ["inner", "inner.0"]
        for name, rows in got.items():
            np.testing.assert_allclose(rows, expected[name], atol=1e-6)
    assert net._compiled_call_impl is call
    assert torch.compiler.is_compiling() is False
    if compiled is not wrapped_twice:
        np.testing.assert_allclose(
            model(torch.from_numpy(X)).detach(), expected["inner"], atol=1e-6
        )


def test_one_name_for_a_layer_with_and_without_wrappers() -> None:
    deep = nn.Sequential(nn.Sequential(linear()))
    names = [name for name, _ in deep.named_modules() if name]
    deep[0][0] = torch.compile(deep[0][0], backend="eager")
    deep[0] = nn.DataParallel(torch.compile(deep[0], backend="eager"))
    assert list(capture_activations(deep, Probe(X), ["**"])) == names


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("frozen", [False, True])
def test_torchscript_takes_no_hooks(frozen: bool) -> None:
    scripted = torch.jit.script(nn.Sequential(nn.ReLU(), nn.Tanh()).eval())
    scripted = torch.jit.freeze(scripted) if frozen else scripted
    model = nn.Sequential(nn.Identity(), scripted, nn.Identity())
    got = capture_activations(model, X - 5, ["2"])["2"]
    np.testing.assert_allclose(got, np.tanh(np.maximum(X - 5, 0)), atol=1e-6)
    with pytest.raises(InputError, match=r"layer '1' is TorchScript.*state_dict"):
        capture_activations(model, X, ["1"])
