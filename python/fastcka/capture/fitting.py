"""Which weight of a checkpoint belongs to which parameter or buffer of a network."""

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
#: Of batch normalization; PyTorch itself adds it where an old file lacks it.
_ADDED: Final = "num_batches_tracked"


@dataclass(frozen=True)
class LoadedWeights:
    """What `load_weights` did not load.

    Attributes
    ----------
    ignored : tuple of str
        Names in the checkpoint that the network does not have.
    missing : tuple of str
        Names in the network that the checkpoint does not have: they keep their values.
    """

    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def is_allowed(name: str, patterns: Sequence[str]) -> bool:
    """Whether the checkpoint may lack the weight of this name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def placed_weights(
    where: object,
    state: Mapping[str, torch.Tensor],
    own: Mapping[str, object],
    needed: Sequence[str],
    *,
    strict: bool,
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the weights by the network's names, and these names by those of the file.

    Parameters
    ----------
    where
        What each message begins with.
    state
        The weights by the names of the file.
    own, needed
        The state dict of the network, and its names that the file must have.
    strict
        Whether all names of the file must fit.

    Raises
    ------
    InputError
        If the names fit in several ways, or PyTorch would convert numbers wrongly.
    """
    prefix = _prefix(where, state, needed, list(own), strict=strict)
    places = {name: name for name in own}
    bare = [bare_name(name) for name in own]
    if len(set(bare)) == len(bare):  # else a "module" is all that tells two names apart
        places |= {plain: name for plain, name in zip(bare, own, strict=True) if plain not in own}
    placed: dict[str, str] = {}  # the network's name -> the file's
    for name in sorted(state, key=lambda name: name not in places):  # exact names first
        plain = bare_name(name)
        if prefix and not plain.startswith(prefix):
            continue
        # A name without a place is left as it is: modules may read the names of older versions.
        found = places.get(name, places.get(plain, name))
        place = places.get(plain.removeprefix(prefix), name) if prefix else found
        if place not in placed:
            placed[place] = name
            if place in own:
                _check_number(f"{where}: {name}", state[name], own[place])
    return {place: state[name] for place, name in placed.items()}, {
        name: place for place, name in placed.items()
    }


def _prefix(
    where: object,
    names: Iterable[str],
    needed: Sequence[str],
    own: Sequence[str],
    *,
    strict: bool,
) -> str:
    """Return the one prefix, with its dot, without which the names fit; "" if none is needed."""
    there, allowed = {bare_name(name) for name in names}, {bare_name(name) for name in own}
    if _covers(there, needed):
        return ""
    found = _prefixes(there, needed)
    if strict:
        found = [p for p in found if _all_under(p, there, allowed)]
    if len(found) > 1:
        shown = ", ".join(found)
        raise InputError(
            f"{where}: the weights under each of {shown} fit the network; choose, as in "
            f"strip: [{found[0]}]"
        )
    return found[0] if found else ""


def _prefixes(there: set[str], needed: Sequence[str]) -> list[str]:
    """Return every prefix under which all that the network needs is there."""
    firm = [bare_name(name) for name in needed if not name.endswith(_ADDED)]
    anchor = max(firm, key=len, default=None)
    if anchor is None:
        return []
    heads = [name.removesuffix(anchor) for name in sorted(there) if name.endswith(f".{anchor}")]
    return [
        head
        for head in heads
        if _covers({name.removeprefix(head) for name in there if name.startswith(head)}, needed)
    ]


def _all_under(prefix: str, there: set[str], allowed: set[str]) -> bool:
    return all(name.startswith(prefix) and name.removeprefix(prefix) in allowed for name in there)


def _covers(there: set[str], needed: Sequence[str]) -> bool:
    return all(bare_name(name) in there or name.endswith(_ADDED) for name in needed)


def _check_number(where: str, tensor: torch.Tensor, target: object) -> None:
    """Refuse what PyTorch would convert without a word, and wrongly."""
    import torch

    if not isinstance(target, torch.Tensor):
        return
    lossy = tensor.is_complex() and not target.is_complex()
    integers = not (tensor.is_floating_point() or tensor.is_complex())
    if lossy or (integers and target.is_floating_point()):
        kind, expected = (str(own.dtype).removeprefix("torch.") for own in (tensor, target))
        cause = "" if lossy else "; convert quantized weights back before they are saved"
        raise InputError(
            f"{where} contains {kind} numbers, where the network has {expected}{cause}"
        )


def shared_names(model: torch.nn.Module) -> set[str]:
    """Return the names of parameters that have several: the checkpoint needs one of them."""
    names = dict(model.named_parameters(remove_duplicate=False))
    counts = Counter(map(id, names.values()))
    return {name for name, parameter in names.items() if counts[id(parameter)] > 1}


def without_shared(
    model: torch.nn.Module, missing: Sequence[str], placed: Mapping[str, torch.Tensor]
) -> list[str]:
    """Return the missing names but those of a parameter that was loaded under another name."""
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
    """Return the message for names that do not fit, with what may help."""
    start = f"{where}: its weights do not fit {type(model).__name__}"
    heads = _prefixes({bare_name(name) for name in state}, needed) if lacking else []
    if heads:
        others = f"; {', '.join(heads[1:])} would fit as well" if len(heads) > 1 else ""
        return (
            f"{start} as they are named, but those under {heads[0]} do: write "
            f"strip: [{heads[0]}] and strict: false{others}"
        )
    parts = [start]
    if lacking:
        parts.append(f"the file lacks {_some(lacking)}")
    if ignored:
        parts.append(f"the network does not have {_some(ignored)}")
    if lacking:
        remedy = (
            "if names differ by a prefix: strip: [PREFIX]; if the network may keep its values: "
            f"allow_missing: [{lacking[0]}]"
        ) + ("; strict: false ignores the others" if ignored and strict else "")
    else:
        remedy = "strict: false ignores them"
    return "; ".join([*parts, remedy])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
