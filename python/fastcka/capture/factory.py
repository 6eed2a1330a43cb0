"""The function that builds a network, by its name: ``package.module:function``."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.capture.torch_library import require_torch
from fastcka.errors import InputError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch


def load_factory(name: str) -> Callable[..., torch.nn.Module]:
    """Import the function that builds a network.

    Parameters
    ----------
    name
        ``"package.module:function"``. Modules in the working directory are found as well, behind
        all others.

    Raises
    ------
    InputError
        If the name is not of that form, its module cannot be imported, or it has no such function.
    """
    module_name, colon, function = name.partition(":")
    if not colon or not function.isidentifier() or not module_name:
        raise InputError(f"model: expected package.module:function, got {name!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may raise anything
        raise InputError(
            f"model: {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    factory: Any = getattr(module, function, None)
    if not callable(factory):
        names = [own for own, value in vars(module).items() if callable(value)]
        raise InputError(
            f"model: module {module_name!r} has no function {function!r}"
            f"{near_misses(function, names, heading='it has')}"
        )
    return factory  # type: ignore[no-any-return]


def build_model(
    factory: Callable[..., torch.nn.Module], options: Mapping[str, Any] | None = None
) -> torch.nn.Module:
    """Build a network; PyTorch's random numbers on the CPU stay where they are.

    Raises
    ------
    InputError
        If the factory does not take the options, or returns something else.
    """
    require_torch()
    import torch

    check_options(factory, options or {})
    with torch.random.fork_rng(devices=[]):
        model: object = factory(**(options or {}))
    if not isinstance(model, torch.nn.Module):
        raise InputError(
            f"model: {_named(factory)} returned {type(model).__name__}, not a torch.nn.Module"
        )
    return model


def check_options(factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse keyword arguments that a factory does not take, or that are not all it needs.

    Raises
    ------
    InputError
        Naming them.
    """
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise InputError(
            f"options: {_named(factory)} does not take {list(options)}: {error}"
        ) from error


def load_weights(
    model: torch.nn.Module, state: Mapping[str, torch.Tensor], *, where: object
) -> None:
    """Put the weights of a checkpoint into a network that has the same parameters and buffers.

    Raises
    ------
    InputError
        If a name or shape differs. The message begins with ``where``, and the network may hold a
        part of the weights.
    """
    try:
        model.load_state_dict(dict(state))
    except RuntimeError as error:
        raise InputError(
            f"{where}: its weights do not fit {type(model).__name__}: {error}"
        ) from error


def _named(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__qualname__", repr(factory))
