"""Names of weights: what wrappers and training programs put before or between their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

#: Parts that a wrapper adds and no network has: torch.compile, FSDP, activation checkpointing.
_INNER: Final = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
#: What DataParallel, DistributedDataParallel and AveragedModel add; some networks have it as well.
_PARALLEL: Final = "module"
_COUNTER: Final = "n_averaged"  # of AveragedModel: how many updates are in the average


def bare_name(name: str) -> str:
    """Return a name without the parts that wrappers add, wherever they are.

    >>> bare_name("features.module.0.weight")
    'features.0.weight'
    """
    return ".".join(part for part in name.split(".") if part not in _INNER and part != _PARALLEL)


def without_wrappers(where: Path, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove what wrappers add to names, except a "module" that not every name begins with.

    Such a "module" may be the network's: `fastcka.capture.load_weights`, which knows the network,
    decides. The counter of AveragedModel, which is no weight, is left out.
    """
    plain = {}
    for name, tensor in state.items():
        bare = ".".join(part for part in name.split(".") if part not in _INNER)
        if bare in plain:
            raise InputError(f"{where}: two weights are called {bare!r} without their wrappers")
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
    """Remove prefixes from the names that begin with them, also where they follow each other.

    Raises
    ------
    InputError
        If no name begins with one of the prefixes, or two names would be the same.
    """
    plain = without_wrappers(where, state)
    heads = [prefix.rstrip(".") + "." for prefix in prefixes]
    used: set[str] = set()
    found: dict[str, torch.Tensor] = {}
    for name, tensor in plain.items():
        bare = name
        while head := next((own for own in heads if bare.startswith(own)), None):
            used.add(head)
            bare = bare.removeprefix(head)
        if bare in found:
            raise InputError(
                f"{where}: strip: two weights would be called {bare!r}; name a longer prefix, or "
                "save the weights of the network alone"
            )
        found[bare] = tensor
    for head in heads:
        if head not in used:
            first = ", ".join(list(plain)[:3])
            raise InputError(f"{where}: strip: no name begins with {head!r}; names are {first}")
    return without_wrappers(where, found) if used else plain
