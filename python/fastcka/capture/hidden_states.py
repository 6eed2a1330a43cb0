"""The hidden states that a Hugging Face model returns: its embeddings and each of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastcka.capture.listening import Listener, Sink
from fastcka.capture.modules import SelectedModule
from fastcka.capture.wrappers import bare_modules
from fastcka.errors import InputError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    import torch

    from fastcka.capture.members import ModuleSide

S = TypeVar("S", bound=Sink)

HIDDEN_STATES: Final = "hidden_states"
"""The entry of ``layers`` that selects all hidden states."""


@dataclass(frozen=True, slots=True)
class SelectedHiddenStates(SelectedModule):
    """A whole model, whose hidden states are captured instead of its output.

    Each hidden state is one "call": ``hidden_states.0`` is the output of the embeddings, and
    ``hidden_states.i`` the output of layer i, with layers counted from 1.
    """

    def label_of(self, call: int | None) -> str:
        """Return the name of one hidden state: ``"hidden_states.2"``."""
        return self.name if call is None else f"{self.name}.{call}"


class HiddenStatesListener(Listener[S]):
    """Asks a model for its hidden states, and passes each to a sink."""

    def attach(self, stack: contextlib.ExitStack) -> None:
        """Register the hooks on the model. The stack removes them when it exits."""
        model = self.selected.module
        stack.callback(model.register_forward_pre_hook(_ask, with_kwargs=True).remove)
        stack.callback(model.register_forward_hook(self._after).remove)

    def _after(self, model: torch.nn.Module, _args: Any, output: Any) -> None:
        states = output.get(HIDDEN_STATES) if isinstance(output, Mapping) else None
        if not states:
            fields = f" with {', '.join(output)}" if isinstance(output, Mapping) else ""
            raise InputError(
                f"layers: expected an output with {HIDDEN_STATES} from {type(model).__name__}, got "
                f"{type(output).__name__}{fields}; name the modules to capture instead of "
                f"{HIDDEN_STATES!r}"
            )
        for state in states:
            self.hear(state)


def selected_hidden_states(
    model: torch.nn.Module, layers: Sequence[str], side: ModuleSide
) -> list[SelectedModule]:
    """Return the hidden states of a model if ``layers`` contains their word; else an empty list.

    In a model that is not from Hugging Face, or that has a module of this name, the word is the
    name of a module.

    Raises
    ------
    InputError
        If ``side`` is "input".
    """
    config = getattr(model, "config", None)
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        return []  # select_modules refuses them
    if HIDDEN_STATES not in layers or not hasattr(config, "output_hidden_states"):
        return []
    if HIDDEN_STATES in bare_modules(model):
        return []
    if side != "output":
        raise InputError(f"side: expected 'output' for the layers {HIDDEN_STATES!r}, got {side!r}")
    return [SelectedHiddenStates(HIDDEN_STATES, model, "*")]


def listener_of(
    selected: SelectedModule, make_sink: Callable[[int], S], side: ModuleSide
) -> Listener[S]:
    """Return the listener of a module, or of the hidden states of a model."""
    hidden = isinstance(selected, SelectedHiddenStates)
    return (HiddenStatesListener if hidden else Listener)(selected, make_sink, side)


def _ask(
    _model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, {**kwargs, "output_hidden_states": True, "return_dict": True}
