"""Selecting modules of a network by name or pattern, with one of their calls or all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastcka.capture.members import split_members
from fastcka.capture.wrappers import bare_modules
from fastcka.errors import InputError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    import torch

    from fastcka.capture.members import Member

T = TypeVar("T")

EVERY_CALL: Final = "*"

_MAGIC: Final = re.compile(r"(\*\*|\*|\?)")
_MEANING: Final = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
_CALL: Final = re.compile(r"(.+)@(\d+|\*)")


@dataclass(frozen=True, slots=True)
class SelectedModule:
    """A module whose values are captured.

    Attributes
    ----------
    name
        The dotted path of the module, as in ``model.named_modules()``.
    module
        The module.
    call
        The selected call in a forward pass: a number from 0, ``"*"`` for every call, or None if the
        module must be called exactly once.
    member
        The selected member of the output or input; None for the only suitable tensor.
    """

    name: str
    module: torch.nn.Module
    call: int | str | None
    member: Member | None = None

    @property
    def label(self) -> str:
        """The name of the representation, with the number of a single call: ``"relu@1"``."""
        return self.label_of(self.call if isinstance(self.call, int) else None)

    def label_of(self, call: int | None) -> str:
        """Return the name of one call's representation: ``"block@1.output[0]"``."""
        number = "" if call is None else f"@{call}"
        return f"{self.name}{number}{self.member or ''}"


def glob_matches(pattern: str, name: str) -> bool:
    """Whether a pattern matches a dotted path.

    ``*`` matches any characters except dots, ``?`` one such character, ``**`` any characters.

    Examples
    --------
    >>> glob_matches("layers.*", "layers.0"), glob_matches("layers.*", "layers.0.norm")
    (True, False)
    >>> glob_matches("**.norm?", "encoder.layers.0.norm1")
    True
    """
    parts = _MAGIC.split(pattern)
    expression = "".join(_MEANING.get(part) or re.escape(part) for part in parts)
    return re.fullmatch(expression, name) is not None


def first_fit(names: Sequence[str], options: Mapping[str, T]) -> tuple[str, T] | None:
    """Return the first pattern in ``options`` that matches a name of a layer, and its value."""
    for pattern, value in options.items():
        if any(glob_matches(pattern, name) for name in names):
            return pattern, value
    return None


def fits(name: str, layers: Sequence[str]) -> bool:
    """Whether one of the entries matches a path, and no entry that begins with ``!`` does."""
    bare = name.partition("@")[0]
    excluded = [entry[1:] for entry in layers if entry.startswith("!")]
    wanted = [entry for entry in layers if not entry.startswith("!")]
    return any(glob_matches(entry, bare) for entry in wanted) and not any(
        glob_matches(entry, bare) for entry in excluded
    )


def is_pattern(name: str) -> bool:
    """Whether a name contains ``*`` or ``?``."""
    return _MAGIC.search(name) is not None


def select_modules(model: torch.nn.Module, layers: Sequence[str]) -> list[SelectedModule]:
    """Return the modules that names and patterns select.

    Parameters
    ----------
    model
        The network.
    layers
        Dotted paths, or patterns as in `glob_matches`. ``!`` in front of either excludes the
        matches from the results of patterns. ``@1`` at the end selects the second call in a forward
        pass, ``@*`` every call. ``.output[1].hidden`` at the end selects a member of the module's
        output, ``.input[0]`` of its input (see `fastcka.capture.members`). Patterns do not match
        containers without a forward method (``nn.ModuleList``).

    Returns
    -------
    list of SelectedModule
        In the order of ``layers``, and within a pattern in the order of the network, without
        repeats.

    Raises
    ------
    InputError
        If an entry matches nothing, or appears twice.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise InputError(f"layers: expected a non-empty sequence of module paths, got {layers!r}")
    # A module with two names can be selected by either.
    modules = bare_modules(model)
    excluded = [str(entry)[1:] for entry in layers if str(entry).startswith("!")]
    for entry in excluded:
        check_match(entry, _fitting(entry, modules), list(modules), type(model).__name__)
    chosen: dict[tuple[str, int | str | None, Member | None], SelectedModule] = {}
    for entry in [str(entry) for entry in layers if not str(entry).startswith("!")]:
        path, call, member = _parsed(entry, modules)
        names = _fitting(path, modules)
        check_match(path, names, list(modules), type(model).__name__)
        for name in names:
            if is_pattern(path) and any(glob_matches(pattern, name) for pattern in excluded):
                continue
            selected = SelectedModule(name, modules[name], call, member)
            if (name, call, member) in chosen and not is_pattern(path):
                raise InputError(
                    f"layers: {entry!r} is selected twice, here and by an earlier entry; remove one"
                )
            chosen.setdefault((name, call, member), selected)
    if not chosen:
        raise InputError(
            f"layers: expected at least one module, but {list(layers)!r} exclude all of them"
        )
    return list(chosen.values())


def check_match(path: str, matches: Sequence[str], known: Sequence[str], owner: str) -> None:
    """Refuse a name or pattern without a match.

    Raises
    ------
    InputError
        If ``matches`` is empty. The message suggests similar names.
    """
    if matches:
        return
    what = "no module that matches" if is_pattern(path) else "no module"
    hint = near_misses(path, known, heading="its modules")
    raise InputError(f"{owner} has {what} {path!r}{hint}")


def _parsed(
    entry: str, modules: Mapping[str, torch.nn.Module]
) -> tuple[str, int | str | None, Member | None]:
    # A module may have the name "output", so a module's name takes precedence over a member.
    readings = [(entry, None), *split_members(entry)]
    for text, member in readings:
        path, call = _numbered(text, modules)
        if _fitting(path, modules):
            return path, call, member
    text, member = readings[-1]
    return *_numbered(text, modules), member


def check_patterns(option: str, given: object, layers: Sequence[Sequence[str]]) -> None:
    """Refuse a pattern of an option that matches none of the layers.

    Parameters
    ----------
    option
        The option's name, for the message.
    given
        The option's value. The keys of a mapping are patterns.
    layers
        The names of each layer.

    Raises
    ------
    InputError
        If a pattern matches nothing. The message suggests similar names.
    """
    for pattern in given if isinstance(given, Mapping) else ():
        if not any(first_fit(names, {str(pattern): None}) for names in layers):
            hint = near_misses(str(pattern), [names[0] for names in layers], heading="the layers")
            raise InputError(f"{option}: {pattern!r} matches none of the layers{hint}")


def _numbered(entry: str, modules: Mapping[str, Any]) -> tuple[str, int | str | None]:
    numbered = _CALL.fullmatch(entry)
    if numbered is None or entry in modules:
        return entry, None
    return numbered[1], numbered[2] if numbered[2] == EVERY_CALL else int(numbered[2])


def _fitting(path: str, modules: Mapping[str, torch.nn.Module]) -> list[str]:
    if not is_pattern(path):
        return [path] if path in modules else []
    return [
        name
        for name, module in modules.items()
        if glob_matches(path, name) and _has_forward(module)
    ]


def has_channels_first(module: torch.nn.Module) -> bool:
    """Whether PyTorch documents a module's output as (n_examples, n_channels, ...)."""
    from torch.nn.modules import batchnorm, conv, instancenorm

    return isinstance(module, conv._ConvNd | batchnorm._BatchNorm | instancenorm._InstanceNorm)


def _has_forward(module: torch.nn.Module) -> bool:
    import torch

    # ModuleList and ModuleDict inherit the forward of nn.Module, which raises when called.
    return type(module).forward is not torch.nn.Module.forward
