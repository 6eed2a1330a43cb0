"""Which modules of a network are meant: by name or pattern, all of their calls or one."""

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
    """A module to listen to.

    Attributes
    ----------
    name
        Its dotted path, as ``model.named_modules()`` gives it.
    module
        Itself.
    call
        Which of its calls in a forward pass: a number from 0, ``"*"`` for each of them, or None if
        it must be called exactly once.
    member
        Which member of its output or input is meant; None for the only tensor that fits.
    """

    name: str
    module: torch.nn.Module
    call: int | str | None
    member: Member | None = None

    @property
    def label(self) -> str:
        """The name of its representation, if it has one: ``"relu@1"`` for a numbered call."""
        return self.label_of(self.call if isinstance(self.call, int) else None)

    def label_of(self, call: int | None) -> str:
        """Return the name of one call's representation: ``"block@1.output[0]"``."""
        number = "" if call is None else f"@{call}"
        return f"{self.name}{number}{self.member or ''}"


def glob_matches(pattern: str, name: str) -> bool:
    """Whether a dotted path fits a pattern.

    ``*`` stands for any characters but a dot, ``?`` for one of these, ``**`` for any characters.

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
    """Return the first pattern of ``options`` that fits one of a layer's names, and its value."""
    for pattern, value in options.items():
        if any(glob_matches(pattern, name) for name in names):
            return pattern, value
    return None


def fits(name: str, layers: Sequence[str]) -> bool:
    """Whether a path fits one of some names and patterns, and none of those behind ``!``."""
    bare = name.partition("@")[0]
    excluded = [entry[1:] for entry in layers if entry.startswith("!")]
    wanted = [entry for entry in layers if not entry.startswith("!")]
    return any(glob_matches(entry, bare) for entry in wanted) and not any(
        glob_matches(entry, bare) for entry in excluded
    )


def is_pattern(name: str) -> bool:
    """Whether a name holds ``*`` or ``?``."""
    return _MAGIC.search(name) is not None


def select_modules(model: torch.nn.Module, layers: Sequence[str]) -> list[SelectedModule]:
    """Return the modules that names and patterns mean.

    Parameters
    ----------
    model
        The network.
    layers
        Each a dotted path, a pattern of `glob_matches`, or either behind ``!``, which takes what
        it fits out of what the patterns gave. ``@1`` behind a path or pattern means its second
        call in a forward pass, ``@*`` each call. Patterns leave out containers without a forward
        method (``nn.ModuleList``). ``.output[1].hidden`` behind it means a member of what the
        module returns, ``.input[0]`` of what it is given (see `fastcka.capture.members`).

    Returns
    -------
    list of SelectedModule
        In the order of ``layers``, for each pattern in the order of the network, without repeats.

    Raises
    ------
    InputError
        If one fits nothing, or stands twice.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise InputError(f"layers must be a non-empty sequence of module paths, not {layers!r}")
    # A module that stands in two places has two names, and both are good.
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
                raise InputError(f"layers names {entry!r} twice, or also by a pattern before it")
            chosen.setdefault((name, call, member), selected)
    if not chosen:
        raise InputError(f"layers {list(layers)!r} leave no module: all are excluded")
    return list(chosen.values())


def check_match(path: str, found: Sequence[str], known: Sequence[str], owner: str) -> None:
    """Refuse a name or pattern that fits nothing, with near misses.

    Raises
    ------
    InputError
        If ``found`` is empty.
    """
    if found:
        return
    what = "no module that fits" if is_pattern(path) else "no module"
    hint = near_misses(path, known, heading="its modules")
    raise InputError(f"{owner} has {what} {path!r}{hint}")


def _parsed(
    entry: str, modules: Mapping[str, torch.nn.Module]
) -> tuple[str, int | str | None, Member | None]:
    # A module may be called "output", so what is a module's name is not read as a member.
    readings = [(entry, None), *split_members(entry)]
    for text, member in readings:
        path, call = _numbered(text, modules)
        if _fitting(path, modules):
            return path, call, member
    text, member = readings[-1]
    return *_numbered(text, modules), member


def check_patterns(option: str, given: object, layers: Sequence[Sequence[str]]) -> None:
    """Refuse a pattern of an option that fits none of the layers.

    Parameters
    ----------
    option
        Its name, for the message.
    given
        Its value: patterns are the keys of a mapping.
    layers
        The names of each layer.

    Raises
    ------
    InputError
        With near misses.
    """
    for pattern in given if isinstance(given, Mapping) else ():
        if not any(first_fit(names, {str(pattern): None}) for names in layers):
            hint = near_misses(str(pattern), [names[0] for names in layers], heading="the layers")
            raise InputError(f"{option}: {pattern!r} fits none of the layers{hint}")


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

    # What nn.Module defines for those that have none (ModuleList, ModuleDict): raises at a call.
    return type(module).forward is not torch.nn.Module.forward
