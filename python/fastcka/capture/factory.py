"""Building networks with a user's function, ``package.module:function``, and loading weights."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.capture.fitting import (
    LoadedWeights,
    is_allowed,
    misfit,
    placed_weights,
    shared_names,
    without_shared,
)
from fastcka.capture.torch_library import require_torch
from fastcka.errors import FastckaError, InputError
from fastcka.near_misses import near_misses
from fastcka.out_of_memory import raise_if_shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch


def load_factory(name: str) -> Callable[..., torch.nn.Module]:
    """Import the function that builds a network.

    Parameters
    ----------
    name
        ``"package.module:function"``. The working directory is searched too, after all other
        places.

    Raises
    ------
    InputError
        If the name has another form, the module cannot be imported, or the function does not exist.
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
        names = [known for known, value in vars(module).items() if callable(value)]
        raise InputError(
            f"model: module {module_name!r} has no function {function!r}"
            f"{near_misses(function, names, heading='it has')}"
        )
    return factory  # type: ignore[no-any-return]


def build_model(
    factory: Callable[..., torch.nn.Module], options: Mapping[str, Any] | None = None
) -> torch.nn.Module:
    """Build a network without changing the state of PyTorch's generator on the CPU.

    Raises
    ------
    InputError
        If the factory does not accept the options, raises an error, or does not return a network.
    """
    require_torch()
    import torch

    check_options(factory, options or {})
    with torch.random.fork_rng(devices=[]):
        try:
            model: object = factory(**(options or {}))
        except FastckaError:
            raise
        except Exception as error:  # a user's function may raise anything
            raise_if_shortage(error, f"building the network by {_named(factory)}")
            raise InputError(
                f"model: {_named(factory)} raised {type(error).__name__}: {error}"
            ) from error
    if not isinstance(model, torch.nn.Module):
        raise InputError(
            f"model: expected a torch.nn.Module from {_named(factory)}, got {type(model).__name__}"
        )
    return model


def check_options(factory: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Check that a factory accepts these keyword arguments and needs no others.

    Raises
    ------
    InputError
        If it does not; the message lists the arguments.
    """
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise InputError(
            f"options: {_named(factory)} cannot be called with {list(options)}: {error}"
        ) from error


def load_weights(
    model: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    *,
    where: object,
    strict: bool = True,
    allow_missing: Sequence[str] = (),
) -> LoadedWeights:
    """Load the weights of a checkpoint into a network.

    Names may differ by the parts that wrappers add (``module.``, ``_orig_mod.`` and so on, anywhere
    in a name). They may also share one prefix, such as ``model.`` from Lightning, if exactly one
    prefix makes the names match. Of a weight that the network shares between several names, one is
    enough.

    Parameters
    ----------
    model : torch.nn.Module
        The network, which may be wrapped.
    state : mapping of str to torch.Tensor
        The weights; see `load_state`.
    where : object
        The beginning of each error message, such as the path of the file.
    strict : bool, default True
        If False, names that the network does not have are ignored, and returned.
    allow_missing : sequence of str, default ()
        Patterns (``head.*``) of names that the checkpoint may lack. These parameters and buffers
        keep their values.

    Returns
    -------
    LoadedWeights
        The names that were not loaded.

    Raises
    ------
    InputError
        If a name, a shape or a kind of number differs. The network may then contain a part of the
        weights.
    """
    network_state = model.state_dict()
    shared = shared_names(model)
    needed = [
        name for name in network_state if not (name in shared or is_allowed(name, allow_missing))
    ]
    placed, places = placed_weights(where, state, network_state, needed, strict=strict)
    try:
        result = model.load_state_dict(placed, strict=False)
    except Exception as error:  # a module may define how it loads, and raise anything
        raise_if_shortage(error, f"loading the weights of {where}")
        raise InputError(
            f"{where}: the weights do not fit {type(model).__name__}: {error}"
        ) from error
    unexpected = set(result.unexpected_keys)
    ignored = [name for name in state if places.get(name) in {None, *unexpected}]
    missing = without_shared(model, result.missing_keys, placed)
    lacking = [name for name in missing if not is_allowed(name, allow_missing)]
    if lacking or (ignored and strict):
        raise InputError(misfit(where, model, lacking, ignored, state, needed, strict=strict))
    return LoadedWeights(tuple(ignored), tuple(missing))


def _named(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__qualname__", repr(factory))
