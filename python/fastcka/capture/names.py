"""Removing the parts that wrappers and training programs add to the names of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

#: Parts that a wrapper adds and no network has: torch.compile, FSDP, activation checkpointing.
_INNER: Final = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
#: DataParallel, DistributedDataParallel and AveragedModel add this part; some networks have it too.
_PARALLEL: Final = "module"
_COUNTER: Final = "n_averaged"  # the number of averaged updates in an AveragedModel


def bare_name(name: str) -> str:
    """Return a name without any of the parts that wrappers add.

    >>> bare_name("features.module.0.weight")
    'features.0.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _INNER and part != _PARALLEL)


def without_wrappers(where: Path, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove the parts that wrappers add to names; a leading "module" only if all names have it.

    Otherwise "module" may be a part of the network. `fastcka.capture.load_weights` knows the
    network and decides. The counter of AveragedModel is removed, because it is no weight.

    Raises
    ------
    InputError
        If two names would be equal.
    """
    plain = {}
    for name, tensor in state.items():
        bare = ".".join(part for part in name.split(".") if part not in _INNER)
        if bare in plain:
            raise InputError(
                f"{where}: two weights have the name {bare!r} without their wrappers; save the "
                "weights of the network without the wrapper"
            )
        plain[bare] = tensor
    while True:
        averaged = {name: value for name, value in plain.items() if name != _COUNTER}
        counter = plain.get(_COUNTER)
        whole = averaged if counter is not None and counter.numel() == 1 else plain
        if not whole or not all(name.startswith(f"{_PARALLEL}.") for name in whole):
            return plain
        plain = {name.partition(".")[2]: value for name, value in whole.items()}


def stripped(
    where: Path, state: Mapping[str, torch.Tensor], prefixes: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Remove prefixes from the beginning of names, repeatedly if several follow each other.

    Raises
    ------
    InputError
        If no name begins with one of the prefixes, or two names would be equal.
    """
    plain = without_wrappers(where, state)
    heads = [prefix.rstrip(".") + "." for prefix in prefixes]
    used: set[str] = set()
    short: dict[str, torch.Tensor] = {}
    for name, tensor in plain.items():
        bare = name
        while head := next((prefix for prefix in heads if bare.startswith(prefix)), None):
            used.add(head)
            bare = bare.removeprefix(head)
        if bare in short:
            raise InputError(
                f"{where}: strip: two weights would have the name {bare!r}; give a longer prefix, "
                "or save only the weights of the network"
            )
        short[bare] = tensor
    for head in heads:
        if head not in used:
            first = ", ".join(list(plain)[:3])
            raise InputError(
                f"{where}: strip: expected names that begin with {head!r}, got {first}"
            )
    return without_wrappers(where, short) if used else plain
