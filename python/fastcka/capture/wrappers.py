"""Weights by the names that the network gives them, whatever was wrapped around it for training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import InputError

if TYPE_CHECKING:
    import torch


def bare_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict on the CPU, without the prefixes of wrappers anywhere in the model.

    Raises
    ------
    InputError
        If it holds something other than tensors (a module's `get_extra_state`).
    """
    import torch

    wrapped = {
        f"{name}.{inner}".lstrip(".")
        for name, module in model.named_modules(remove_duplicate=False)
        if (inner := _inner(module)) is not None
    }
    state = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"the state dict has {type(value).__name__} under {name!r} (of a module with "
                "get_extra_state); a checkpoint holds tensors alone"
            )
        parts = name.split(".")
        kept = [part for i, part in enumerate(parts, 1) if ".".join(parts[:i]) not in wrapped]
        state[".".join(kept)] = value.detach().cpu()
    return state


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """Return the network inside of its wrappers."""
    while (inner := _inner(model)) is not None:
        model = model.get_submodule(inner)
    return model


def bare_modules(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Return the submodules by their dotted paths, without the wrappers anywhere in the model.

    ``encoder`` is what a compiled or parallel wrapper of that name has inside, and its members are
    ``encoder.0`` and not ``encoder._orig_mod.0``.
    """
    modules: dict[str, torch.nn.Module] = {}
    wrapped: dict[str, str] = {}  # the path of what a wrapper has inside -> the wrapper's path
    for name, module in model.named_modules(remove_duplicate=False):
        parent, _, last = name.rpartition(".")
        bare = wrapped.get(name, ".".join(filter(None, (wrapped.get(parent, parent), last))))
        if (inner := _inner(module)) is not None:
            wrapped[f"{name}.{inner}".lstrip(".")] = bare
        elif bare:
            modules[bare] = module
        if bare != name:
            wrapped.setdefault(name, bare)
    return modules


def _inner(module: torch.nn.Module) -> str | None:
    """Under which name a wrapper has what it wraps; None if the module is no wrapper."""
    import torch

    if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
        return "module"
    return "_orig_mod" if "_orig_mod" in module._modules else None
