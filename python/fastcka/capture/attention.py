"""Attention weights on the probe set: their entropy, their mean map, and optionally all weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.attention_listening import hugging_face_listeners, multihead_listeners
from fastcka.capture.batches import examples_of
from fastcka.capture.listening import run_on_probe
from fastcka.capture.masks import mask_of
from fastcka.capture.modules import check_match, check_patterns, fits
from fastcka.capture.probe import Probe
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.errors import InputError
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fastcka.capture.attention_listening import AttentionListener
    from fastcka.capture.batches import Rows
    from fastcka.capture.layer_rows import Values
    from fastcka.capture.masks import LayerMask, Masks


@dataclass(frozen=True, eq=False)
class Attention:
    """The attention of the heads of one layer.

    Padded queries, by the layer's mask, are not counted (see `capture_attention`).

    Attributes
    ----------
    entropy : ndarray of float64, shape (n_examples, n_heads)
        -sum p ln p over the keys, in nats, averaged over the real queries of an example. It is 0 if
        each query attends to one token, and ln(n) if each attends equally to n tokens.
    mean_map : ndarray of float64, shape (n_heads, n_queries, n_keys)
        The weights, averaged over the examples in which the query is real; NaN if there are none.
    weights : ndarray of float32 or float64, (n_examples, n_heads, n_queries, n_keys), or None
        All weights with ``keep_weights=True``, else None. They are float64 if the network's weights
        are. The rows of padded queries are unchanged.
    """

    entropy: NDArray[np.float64]
    mean_map: NDArray[np.float64]
    weights: Values | None


@named_shortage("capturing attention", CAPTURE_REMEDY)
def capture_attention(
    model: torch.nn.Module,
    inputs: torch.Tensor | NDArray[Any] | Probe,
    layers: Sequence[str] = ("**",),
    *,
    masks: Masks | None = None,
    keep_weights: bool = False,
    batch_size: int = 64,
) -> dict[str, Attention]:
    """Run ``model`` on ``inputs`` and return the attention of its heads.

    Each ``nn.MultiheadAttention`` computes its weights, even if its caller (such as
    ``nn.TransformerEncoderLayer``) does not request them. A Hugging Face model returns its
    ``attentions`` from the eager implementation, because other implementations compute no weights.
    In all other respects the model runs, and is restored, as in `capture_activations`.

    Parameters
    ----------
    model : torch.nn.Module
        The network, or a module that contains it.
    inputs : Probe, torch.Tensor or ndarray, shape (n_examples, ...)
        The probe set.
    layers : sequence of str, default ("**",)
        Paths of ``nn.MultiheadAttention`` modules (``"layers.0.self_attn"``), or of the attentions
        of a Hugging Face model (``"attentions.0"``, ``"decoder_attentions.0"``; preceded by the
        model's path if another module contains it); or patterns, as in `capture_activations`.
    masks : str or mapping of pattern to str or None, optional
        The mask that marks the real queries of each layer, as in `capture_activations`:
        ``{"encoder_attentions.*": "attention_mask", "**": "decoder_attention_mask"}``.
    keep_weights : bool, default False
        Return all weights: 4 n_examples n_heads n_queries n_keys bytes for each layer. Otherwise
        memory holds at most one batch of weights.
    batch_size : int, default 64
        Examples in one forward pass.

    Returns
    -------
    dict of str to Attention
        Layer -> attention. A module that is called several times has one entry for each call:
        ``"attn@0"``, ``"attn@1"``.

    Raises
    ------
    InputError
        If a path or pattern matches no attention layer, if weights are not finite, or if it is
        unclear which mask belongs to a layer.
    MissingExtraError
        If PyTorch is not installed.
    """
    require_torch()
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise InputError(f"layers: expected a non-empty sequence of paths, got {layers!r}")
    probe = inputs if isinstance(inputs, Probe) else Probe(inputs)
    model = unwrapped(model)

    def make_sink(layer: str) -> _Heads:
        mask = mask_of((layer, layer.partition("@")[0]), probe.masks, masks)
        wanted = fits(layer, layers)
        return _Heads(layer, probe, mask, wanted=wanted, keep_weights=keep_weights)

    listeners: list[AttentionListener[_Heads]] = [
        *hugging_face_listeners(model, make_sink),
        *multihead_listeners(model, make_sink),
    ]
    run_on_probe(model, probe, listeners, batch_size=batch_size)
    heads = {name: sink for listener in listeners for name, sink in listener.named_sinks().items()}
    for entry in layers:
        path = entry.removeprefix("!")
        matches = [name for name in heads if fits(name, [path])]
        check_match(path, matches, list(heads), f"{type(model).__name__}'s attention")
    check_patterns("masks", masks, [(name, name.partition("@")[0]) for name in heads])
    return {name: sink.summary() for name, sink in heads.items() if sink.wanted}


class _Heads:
    """The running sums of one layer."""

    def __init__(
        self, layer: str, probe: Probe, mask: LayerMask, *, wanted: bool, keep_weights: bool
    ) -> None:
        self.layer = layer
        self.wanted = wanted
        self._probe = probe
        self._mask = mask
        self._keep = keep_weights
        self._entropy = np.empty((0, 0))
        self._sum_map = np.empty((0, 0, 0))
        self._n_real = np.empty(0, np.int64)
        self._weights: Values | None = None

    def take(self, values: torch.Tensor, rows: Rows) -> None:
        """Add the weights of one batch, (n_rows, n_heads, n_queries, n_keys)."""
        import torch

        if not self.wanted:
            return
        examples = examples_of(rows)
        n_rows = len(examples)
        if values.ndim != 4 or len(values) != n_rows:
            raise InputError(
                f"attention {self.layer!r}: expected weights of shape ({n_rows}, n_heads, "
                f"n_queries, n_keys) for {n_rows} examples, got {tuple(values.shape)}"
            )
        shape = values.shape[1:]
        if examples[0] == 0:
            self._begin(shape, np.float64 if values.dtype == torch.float64 else np.float32)
        elif shape != self._sum_map.shape:
            raise InputError(
                f"attention {self.layer!r}: expected weights of the same shape for all examples, "
                f"got {tuple(shape)} for example {examples[0]} and {self._sum_map.shape} for "
                "example 0; pad the inputs to one length"
            )
        real = self._real_queries(values, rows)
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        counted = values.masked_fill(~real[:, None, :, None], 0)
        if not torch.isfinite(counted).all():
            raise InputError(
                f"attention {self.layer!r}: expected finite weights, got NaN or Inf among examples "
                f"{examples[0]} to {examples[-1]}; if padded queries attend to nothing, give the "
                "probe a mask"
            )
        entropy = torch.special.entr(counted).sum(dim=(2, 3), dtype=torch.float64)
        self._entropy[rows] = (entropy / real.sum(dim=1, keepdim=True)).cpu().numpy()
        self._sum_map += counted.sum(dim=0, dtype=torch.float64).cpu().numpy()
        self._n_real += real.sum(dim=0).cpu().numpy()
        if self._weights is not None:
            self._weights[rows] = values.cpu().numpy()

    def summary(self) -> Attention:
        """Return the averages."""
        n_real = np.where(self._n_real > 0, self._n_real, np.nan)
        return Attention(self._entropy, self._sum_map / n_real[None, :, None], self._weights)

    def _begin(self, shape: torch.Size, dtype: type[np.float32] | type[np.float64]) -> None:
        n_examples, (n_heads, n_queries, _) = len(self._probe), shape
        self._entropy = np.empty((n_examples, n_heads))
        self._sum_map = np.zeros(shape)
        self._n_real = np.zeros(n_queries, np.int64)
        if self._keep:
            self._weights = np.empty((n_examples, *shape), dtype)

    def _real_queries(self, values: torch.Tensor, rows: Rows) -> torch.Tensor:
        import torch

        n_rows, _, n_queries, _ = values.shape
        real = self._mask.real_tokens(rows, n_queries, values.device, needed=False, certain=True)
        if real is None:
            return torch.ones((n_rows, n_queries), dtype=torch.bool, device=values.device)
        return real
