"""Hooks that make a network compute and return the attention weights of its heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from fastcka.capture.listening import Listener, ProbeListener, Sink
from fastcka.capture.modules import EVERY_CALL, SelectedModule
from fastcka.errors import InputError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable

    import torch

    from fastcka.capture.batches import Rows

S = TypeVar("S", bound=Sink)

# The parameters of nn.MultiheadAttention.forward, for calls with positional arguments.
_MULTIHEAD: Final = (
    *("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask"),
    *("average_attn_weights", "is_causal"),
)
# Fields of a Hugging Face model's output. Each is a tuple with one entry for each layer.
_FIELDS: Final = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")


class AttentionListener(ProbeListener, Protocol[S]):
    """A listener that learns the names of its layers during the forward pass."""

    def named_sinks(self) -> dict[str, S]:
        """Return layer -> sink."""


def multihead_listeners(
    model: torch.nn.Module, make_sink: Callable[[str], S]
) -> list[_Multihead[S]]:
    """Return a listener for each ``nn.MultiheadAttention``."""
    from torch import nn

    return [
        _Multihead(SelectedModule(name, module, EVERY_CALL), make_sink)
        for name, module in model.named_modules()
        if isinstance(module, nn.MultiheadAttention)
    ]


def hugging_face_listeners(
    model: torch.nn.Module, make_sink: Callable[[str], S]
) -> list[_HuggingFace[S]]:
    """Return a listener for each outermost model of Hugging Face transformers."""
    listeners: list[_HuggingFace[S]] = []
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        # Models are recognised by their attributes, because this file does not import transformers.
        is_model = hasattr(module, "get_input_embeddings") and hasattr(
            getattr(module, "config", None), "output_attentions"
        )
        if is_model and not prefix.startswith(tuple(outer.prefix for outer in listeners)):
            listeners.append(_HuggingFace(prefix, module, make_sink))
    return listeners


class _Multihead(Listener[S]):
    """Requests the weights of each head from a module, and returns to the caller what it wanted."""

    def __init__(self, selected: SelectedModule, make_sink: Callable[[str], S]) -> None:
        super().__init__(selected, lambda _: make_sink(selected.name))
        self._wanted = (True, True)

    def attach(self, stack: contextlib.ExitStack) -> None:
        module = self.selected.module
        stack.callback(module.register_forward_pre_hook(self._request, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(self._answer).remove)

    def end(self) -> None:
        """Accept any number of calls. A module that is never called has no sink."""

    def _request(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        named = dict(zip(_MULTIHEAD, args, strict=False)) | kwargs
        self._wanted = (named.get("need_weights", True), named.get("average_attn_weights", True))
        return (), named | {"need_weights": True, "average_attn_weights": False}

    def _answer(self, _module: Any, _args: Any, output: tuple[Any, Any]) -> Any:
        values, weights = output
        self.hear(weights)
        need_weights, averaged = self._wanted
        if not need_weights:
            return values, None
        return values, weights.mean(dim=-3) if averaged else weights


class _HuggingFace(Generic[S]):
    """Requests the attentions of all layers from a model, with the eager implementation."""

    def __init__(self, prefix: str, module: torch.nn.Module, make_sink: Callable[[str], S]) -> None:
        self.prefix = prefix
        self._module = module
        self._make_sink = make_sink
        self._sinks: dict[str, S] = {}
        self._rows: Rows = slice(0, 0)
        self._calls = 0

    def attach(self, stack: contextlib.ExitStack) -> None:
        for module in self._module.modules():
            config: Any = getattr(module, "config", None)
            if hasattr(config, "_attn_implementation"):
                stack.callback(setattr, config, "_attn_implementation", config._attn_implementation)
                config._attn_implementation = "eager"
        module = self._module
        stack.callback(module.register_forward_pre_hook(_request_all, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(self._answer).remove)

    def begin(self, rows: Rows) -> None:
        self._rows = rows
        self._calls = 0

    def end(self) -> None:
        if self._calls != 1 or not self._sinks:
            name = self.prefix.removesuffix(".") or "the model"
            given = "no attentions" if self._calls == 1 else f"{self._calls} forward passes"
            raise InputError(
                f"{name} ({type(self._module).__name__}): expected one forward pass with attention "
                f"weights for each batch, got {given}; load the model with "
                "attn_implementation='eager'"
            )

    def named_sinks(self) -> dict[str, S]:
        return self._sinks

    def _answer(self, _module: Any, _args: Any, output: Any) -> None:
        self._calls += 1
        for field in _FIELDS:
            for number, weights in enumerate(getattr(output, field, None) or ()):
                if weights is None or self._calls > 1:
                    continue  # end() reports this
                name = f"{self.prefix}{field}.{number}"
                if name not in self._sinks:
                    self._sinks[name] = self._make_sink(name)
                self._sinks[name].take(weights.detach(), self._rows)


def _request_all(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args, kwargs | {"output_attentions": True}
