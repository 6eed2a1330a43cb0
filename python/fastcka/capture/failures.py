"""Errors for exceptions in a forward pass, which name the layer, the inputs and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.errors import FastckaError, InputError, NetworkError
from fastcka.out_of_memory import shortage, shortage_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


def forward_error(
    error: Exception, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], n_examples: int
) -> FastckaError:
    """Return the error to raise instead of an exception in a forward pass.

    Parameters
    ----------
    error
        The exception.
    model
        The network.
    inputs
        The batch, by the names of the inputs; empty if the batch could not be created.
    n_examples
        Number of examples in the batch.
    """
    given = ", ".join(
        f"{name} {_dtype(value)} {tuple(value.shape)}" for name, value in inputs.items()
    )
    given = given or "that could not be moved to its device"
    network = type(model).__name__
    reason = shortage_reason(error)
    if reason is not None:
        # The error has no cause, because its frames would keep the tensors that fill the memory.
        return shortage(
            f"running {network} on {_counted(n_examples)} ({given})",
            reason,
            "give a smaller batch_size" if n_examples > 1 else "capture on a larger device",
        )
    name, module = _failed_in(error, model)
    where = f"layer {name!r} ({type(module).__name__}) of {network}" if name else network
    text = f"{type(error).__name__}: {error}"
    remedy = _dtype_remedy(error, model, module, inputs)
    named: FastckaError
    if remedy:
        named = InputError(f"{remedy}. {where} raised {text}")
    else:
        named = NetworkError(
            f"{where} raised {text}. The input was {_counted(n_examples)}: {given}"
        )
    named.__cause__ = error
    return named


def _failed_in(error: Exception, model: torch.nn.Module) -> tuple[str, torch.nn.Module]:
    """Return the innermost submodule in the traceback, and its name."""
    names = {id(module): name for name, module in model.named_modules()}
    innermost = ("", model)
    frame = error.__traceback__
    while frame is not None:
        module: Any = frame.tb_frame.f_locals.get("self")
        if id(module) in names:
            innermost = (names[id(module)], module)
        frame = frame.tb_next
    return innermost


def _dtype_remedy(
    error: Exception,
    model: torch.nn.Module,
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
) -> str | None:
    from torch import nn

    if "type" not in str(error):
        return None
    weights = next((weight for weight in model.parameters() if weight.is_floating_point()), None)
    for name, value in inputs.items():
        floating = value.is_floating_point()
        expected = None
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            expected = "int64" if floating else None
        elif weights is not None and value.dtype != weights.dtype and (floating or len(inputs) < 2):
            expected = _dtype(weights)
        if expected is not None:
            takes = "an embedding takes integers"
            if weights is not None and expected == _dtype(weights):
                takes = f"the weights of {type(model).__name__} are {expected}"
            return (
                f"{name} is {_dtype(value)}, but {takes}: convert the probe to {expected} (NumPy: "
                f"{name}.astype('{expected}'), PyTorch: {name}.to(torch.{expected}))"
            )
    return None


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _counted(n_examples: int) -> str:
    return f"a batch of {n_examples} example{'' if n_examples == 1 else 's'}"
