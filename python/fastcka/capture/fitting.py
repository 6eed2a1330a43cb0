"""Matching the weights of a checkpoint to the parameters and buffers of a network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from fastcka.capture.names import bare_name
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import torch

_SHOWN: Final = 6
#: A buffer of batch normalization. PyTorch adds it if an old file lacks it.
_ADDED: Final = "num_batches_tracked"


@dataclass(frozen=True)
class LoadedWeights:
    """The names that `load_weights` did not load.

    Attributes
    ----------
    ignored : tuple of str
        Names in the checkpoint that the network does not have.
    missing : tuple of str
        Names in the network that the checkpoint does not have. They keep their values.
    """

    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def is_allowed(name: str, patterns: Sequence[str]) -> bool:
    """Whether the checkpoint may lack the weight with this name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def placed_weights(
    where: object,
    state: Mapping[str, torch.Tensor],
    network_state: Mapping[str, object],
    needed: Sequence[str],
    *,
    strict: bool,
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return network name -> weight, and file name -> network name.

    Parameters
    ----------
    where
        The beginning of each error message.
    state
        The weights, by the names in the file.
    network_state, needed
        The state dict of the network, and the names in it that the file must contain.
    strict
        Whether the network must have all names in the file.

    Raises
    ------
    InputError
        If the names match in several ways, or PyTorch would convert numbers wrongly.
    """
    prefix = _prefix(where, state, needed, list(network_state), strict=strict)
    places = {name: name for name in network_state}
    bare = [bare_name(name) for name in network_state]
    if len(set(bare)) == len(bare):  # else two names differ only by a "module"
        places |= {
            plain: name
            for plain, name in zip(bare, network_state, strict=True)
            if plain not in network_state
        }
    placed: dict[str, str] = {}  # the network's name -> the file's
    for name in sorted(state, key=lambda name: name not in places):  # exact names first
        plain = bare_name(name)
        if prefix and not plain.startswith(prefix):
            continue
        # A name without a match is kept: modules may read the names of older versions.
        match = places.get(name, places.get(plain, name))
        place = places.get(plain.removeprefix(prefix), name) if prefix else match
        if place not in placed:
            placed[place] = name
            if place in network_state:
                _check_number(f"{where}: {name}", state[name], network_state[place])
    return {place: state[name] for place, name in placed.items()}, {
        name: place for place, name in placed.items()
    }


def _prefix(
    where: object,
    names: Iterable[str],
    needed: Sequence[str],
    network_names: Sequence[str],
    *,
    strict: bool,
) -> str:
    """Return the one prefix, with its dot, that must be removed; "" if the names match as is."""
    present = {bare_name(name) for name in names}
    allowed = {bare_name(name) for name in network_names}
    if _covers(present, needed):
        return ""
    prefixes = _prefixes(present, needed)
    if strict:
        prefixes = [prefix for prefix in prefixes if _all_under(prefix, present, allowed)]
    if len(prefixes) > 1:
        shown = ", ".join(prefixes)
        raise InputError(
            f"{where}: the weights under each of {shown} fit the network; choose one, as in "
            f"strip: [{prefixes[0]}]"
        )
    return prefixes[0] if prefixes else ""


def _prefixes(present: set[str], needed: Sequence[str]) -> list[str]:
    """Return every prefix under which the file has all names that the network needs."""
    firm = [bare_name(name) for name in needed if not name.endswith(_ADDED)]
    anchor = max(firm, key=len, default=None)
    if anchor is None:
        return []
    heads = [name.removesuffix(anchor) for name in sorted(present) if name.endswith(f".{anchor}")]
    return [
        head
        for head in heads
        if _covers({name.removeprefix(head) for name in present if name.startswith(head)}, needed)
    ]


def _all_under(prefix: str, present: set[str], allowed: set[str]) -> bool:
    return all(name.startswith(prefix) and name.removeprefix(prefix) in allowed for name in present)


def _covers(present: set[str], needed: Sequence[str]) -> bool:
    return all(bare_name(name) in present or name.endswith(_ADDED) for name in needed)


def _check_number(where: str, tensor: torch.Tensor, parameter: object) -> None:
    """Refuse dtypes that PyTorch would silently convert to wrong values."""
    import torch

    if not isinstance(parameter, torch.Tensor):
        return
    lossy = tensor.is_complex() and not parameter.is_complex()
    integers = not (tensor.is_floating_point() or tensor.is_complex())
    if lossy or (integers and parameter.is_floating_point()):
        given, expected = (str(x.dtype).removeprefix("torch.") for x in (tensor, parameter))
        remedy = "" if lossy else "; convert quantized weights back before saving them"
        raise InputError(f"{where}: expected {expected} as in the network, got {given}{remedy}")


def shared_names(model: torch.nn.Module) -> set[str]:
    """Return the names of parameters with several names. The checkpoint needs one of them."""
    names = dict(model.named_parameters(remove_duplicate=False))
    counts = Counter(map(id, names.values()))
    return {name for name, parameter in names.items() if counts[id(parameter)] > 1}


def without_shared(
    model: torch.nn.Module, missing: Sequence[str], placed: Mapping[str, torch.Tensor]
) -> list[str]:
    """Return the missing names without those that were loaded under another name."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    loaded = {id(parameters[name]) for name in placed if name in parameters}
    return [
        name for name in missing if name not in parameters or id(parameters[name]) not in loaded
    ]


def misfit(
    where: object,
    model: torch.nn.Module,
    lacking: Sequence[str],
    ignored: Sequence[str],
    state: Mapping[str, torch.Tensor],
    needed: Sequence[str],
    *,
    strict: bool,
) -> str:
    """Return the error message for names that do not match, with the remedy."""
    start = f"{where}: the weights do not fit {type(model).__name__}"
    heads = _prefixes({bare_name(name) for name in state}, needed) if lacking else []
    if heads:
        others = f"; {', '.join(heads[1:])} would fit too" if len(heads) > 1 else ""
        return (
            f"{start} under their full names, but those under {heads[0]} do: write "
            f"strip: [{heads[0]}] and strict: false{others}"
        )
    parts = [start]
    if lacking:
        parts.append(f"the file lacks {_some(lacking)}")
    if ignored:
        parts.append(f"the network does not have {_some(ignored)}")
    if lacking:
        remedy = (
            "if the names differ by a prefix, write strip: [PREFIX]; if the network may keep its "
            f"initial values, write allow_missing: [{lacking[0]}]"
        ) + ("; strict: false ignores the others" if ignored and strict else "")
    else:
        remedy = "strict: false ignores them"
    return "; ".join([*parts, remedy])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
