"""Choosing one tensor in a nested value: the only suitable one, or one selected by name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch.nn.utils.rnn import PackedSequence

    NamedTensor = tuple[tuple[Any, ...], torch.Tensor | PackedSequence]

ModuleSide = Literal["input", "output"]
SIDES: tuple[ModuleSide, ...] = get_args(ModuleSide)

_ENDING: Final = re.compile(r"\.(input|output)(?=[.\[])")
_STEP: Final = re.compile(r'\[(\d+)\]|\["([^"]+)"\]|\.([^.\[\]"]+)')
_PLAIN: Final = re.compile(r'[^.\[\]"]+')
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a module's output or input.

    Attributes
    ----------
    side : {"input", "output"}
    steps : tuple of int and str
        The positions and names that lead to the member, from the outside in.

    Examples
    --------
    >>> str(Member("output", (0, "features")))
    '.output[0].features'
    """

    side: ModuleSide
    steps: tuple[int | str, ...]

    def __str__(self) -> str:
        return f".{self.side}{_text(self.steps)}"


def split_members(entry: str) -> list[tuple[str, Member]]:
    """Return all ways to split a text into a module path and a member, the longest path first.

    Examples
    --------
    >>> split_members("block.output[1].hidden")
    [('block', Member(side='output', steps=(1, 'hidden')))]
    """
    splits: list[tuple[str, Member]] = []
    for ending in reversed(list(_ENDING.finditer(entry))):
        rest, position = entry[ending.end() :], 0
        steps: list[int | str] = []
        while step := _STEP.match(rest, position):
            steps.append(int(step[1]) if step[1] else step[2] or step[3])
            position = step.end()
        if position == len(rest) and ending.start():
            member = Member(cast("ModuleSide", ending[1]), tuple(steps))
            splits.append((entry[: ending.start()], member))
    return splits


def chosen_tensor(
    value: Any, *, module: torch.nn.Module, layer: str, side: ModuleSide, member: Member | None
) -> torch.Tensor:
    """Return the tensor in a module's output (or input) that is its representation.

    Tuples, lists, mappings and dataclasses are searched depth first, in order. A tensor is suitable
    if it has floating-point numbers and at least one axis; booleans and integers (masks, indices)
    never are. There must be exactly one suitable tensor, with two exceptions:

    - of a mapping or dataclass with ``last_hidden_state``, this member is chosen;
    - of ``nn.LSTM``, ``nn.GRU``, ``nn.RNN`` and ``nn.MultiheadAttention``, the first member is
      chosen, which PyTorch documents as the output.

    Parameters
    ----------
    value
        The module's output; or its input, as a mapping of the positions and names of the arguments
        to the arguments.
    module
        The module.
    layer
        The layer's name without the member, for messages.
    side
        Whether ``value`` is the input or the output.
    member
        The member that the caller selected; None for the whole value.

    Raises
    ------
    InputError
        If the member does not exist, if no tensor or several tensors are suitable, or if the tensor
        is complex or ragged. The message lists the tensors by the names that select them.
    """
    import torch

    steps: tuple[int | str, ...] = () if member is None else member.steps
    for number, step in enumerate(steps):
        fields = _fields(value)
        if fields is None or step not in fields:
            here = f"{layer}.{side}{_text(steps[:number])}"
            known = ", ".join(_text((key,)) for key in list(fields or ())[:_SHOWN])
            raise InputError(
                f"layers: {here!r} has no member {_text((step,))!r}; its type is {_kind(value)}"
                + (f" with {known}" if known else "")
            )
        value = fields[step]
    if side == "output" and member is None and _gives_output_first(value, module):
        value, steps = value[0], (0,)
    fields = _fields(value) or {}
    if fields.get("last_hidden_state") is not None:
        value, steps = fields["last_hidden_state"], (*steps, "last_hidden_state")
    tensors = list(_tensors(value, steps))
    label = layer if member is None else f"{layer}{member}"
    verb = "returned" if side == "output" else "received"
    suitable: dict[int, NamedTensor] = {}  # an object with two names is one tensor
    for path, tensor in tensors:
        if _is_suitable(tensor):
            suitable.setdefault(id(tensor), (path, tensor))
    if len(suitable) > 1:
        listed = _listed(iter(suitable.values()), f"{layer}.{side}")
        raise InputError(
            f"layer {label!r} {verb} several tensors that may be its representation: {listed}. "
            f"In layers, replace {label!r} by one of these names; a pattern may have the same "
            "ending"
        )
    if not suitable:
        raise _nothing(value, label, _listed(iter(tensors), f"{layer}.{side}"), side)
    tensor = next(iter(suitable.values()))[1]
    if not isinstance(tensor, torch.Tensor):
        raise InputError(
            f"layer {label!r} {verb} a PackedSequence, whose rows are tokens sorted by length and "
            "not examples; expected a padded tensor: capture a layer after pad_packed_sequence"
        )
    if tensor.is_complex() or tensor.is_nested or str(tensor.layout) != "torch.strided":
        raise InputError(
            f"layer {label!r}: expected a dense tensor of real numbers, got "
            f"{_described(tensor)} ({tensor.layout})"
        )
    return tensor


def _gives_output_first(value: Any, module: torch.nn.Module) -> bool:
    from torch import nn

    return isinstance(value, tuple) and isinstance(module, nn.RNNBase | nn.MultiheadAttention)


def _fields(value: Any) -> dict[Any, Any] | None:
    """Return the members of a container by position or name; None if ``value`` is no container."""
    from torch.nn.utils.rnn import PackedSequence

    if isinstance(value, PackedSequence):
        return None
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True)) | dict(enumerate(value))
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _is_suitable(value: torch.Tensor | PackedSequence) -> bool:
    import torch

    if not isinstance(value, torch.Tensor):
        return True
    return (value.is_floating_point() or value.is_complex()) and value.ndim > 0


def _tensors(value: Any, steps: tuple[Any, ...]) -> Iterator[NamedTensor]:
    import torch
    from torch.nn.utils.rnn import PackedSequence

    if isinstance(value, torch.Tensor | PackedSequence):
        yield steps, value
        return
    fields = _fields(value) or {}
    named = isinstance(value, tuple) and hasattr(value, "_fields")
    for step, inner in fields.items():
        if not (named and isinstance(step, int)):  # this member also has a name
            yield from _tensors(inner, (*steps, step))


def _nothing(value: Any, layer: str, listed: str, side: ModuleSide) -> InputError:
    verb = "returned" if side == "output" else "received"
    return InputError(
        f"layer {layer!r} {verb} {listed or _kind(value)}; expected a tensor of floating-point "
        "numbers, or a tuple, list, mapping or dataclass that contains one (booleans, integers "
        "and single numbers are never used)"
    )


def _listed(tensors: Iterator[NamedTensor], prefix: str) -> str:
    texts = [f"'{prefix}{_text(steps)}' ({_described(tensor)})" for steps, tensor in tensors]
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _described(tensor: torch.Tensor | PackedSequence) -> str:
    import torch

    if not isinstance(tensor, torch.Tensor):
        return type(tensor).__name__
    shape = "ragged" if tensor.is_nested else tuple(tensor.shape)
    return f"{str(tensor.dtype).removeprefix('torch.')}, {shape}"


def _kind(value: Any) -> str:
    import torch

    return _described(value) if isinstance(value, torch.Tensor) else type(value).__name__


def _text(steps: tuple[Any, ...]) -> str:
    return "".join(
        (f".{step}" if _PLAIN.fullmatch(step) else f'["{step}"]')
        if isinstance(step, str)
        else f"[{step!r}]"
        for step in steps
    )
