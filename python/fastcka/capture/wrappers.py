"""Removing the wrappers of training from a network, its modules and the names of its weights."""

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
        If the state dict contains anything except tensors (from a module's `get_extra_state`).
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
                f"{name!r} in the state dict: expected a tensor, got {type(value).__name__} (from "
                "a module with get_extra_state); checkpoints can contain only tensors"
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
    """Return dotted path -> submodule, without any wrapper.

    If ``encoder`` is compiled or parallel, the path ``encoder`` is the module inside the wrapper,
    and its members are ``encoder.0`` and not ``encoder._orig_mod.0``.
    """
    modules: dict[str, torch.nn.Module] = {}
    wrapped: dict[str, str] = {}  # path of the module inside a wrapper -> path of the wrapper
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
    """Return the name of the module inside a wrapper; None if ``module`` is no wrapper."""
    import torch

    if isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
        return "module"
    return "_orig_mod" if "_orig_mod" in module._modules else None
