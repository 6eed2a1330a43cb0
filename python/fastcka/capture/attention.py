"""What attention heads attend to on the probe set: entropy, mean map, and all weights on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.attention_listening import hugging_face_listeners, multihead_listeners
from fastcka.capture.batches import examples_of
from fastcka.capture.listening import run_on_probe
from fastcka.capture.masks import mask_of
from fastcka.capture.probe import Probe
from fastcka.capture.selection import check_match, check_patterns, fits
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.errors import InputError
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fastcka.capture.attention_listening import AttentionListener
    from fastcka.capture.batches import Rows
    from fastcka.capture.masks import LayerMask, Masks
    from fastcka.capture.pooled_rows import Values


@dataclass(frozen=True, eq=False)
class Attention:
    """What the heads of one layer attend to.

    Padding counts nowhere. It is that of the layer's mask, see `capture_attention`.

    Attributes
    ----------
    entropy : ndarray of float64, shape (n_examples, n_heads)
        -sum p ln p over the keys, in nats, averaged over an example's real queries: 0 if each
        attends to one token, ln(n) if to n tokens alike.
    mean_map : ndarray of float64, shape (n_heads, n_queries, n_keys)
        Averaged over the examples in which the query is real; NaN where there is none.
    weights : ndarray of float32 or float64, (n_examples, n_heads, n_queries, n_keys), or None
        All of them, if they were asked for; float64 where the network gave float64. Rows of padded
        queries are as the network gave them.
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
    """Run ``model`` on ``inputs`` and return what its attention heads attend to.

    Each ``nn.MultiheadAttention`` is asked for its weights, also where its caller (such as
    ``nn.TransformerEncoderLayer``) does not want them; a model of Hugging Face transformers is
    asked for its ``attentions``, with the eager implementation, as the others make no weights.
    Otherwise the model runs, and is left, as by `capture_activations`.

    Parameters
    ----------
    model : torch.nn.Module
        The network, or one that has it inside.
    inputs : Probe, torch.Tensor or ndarray, shape (n_examples, ...)
        The probe set.
    layers : sequence of str, default ("**",)
        Paths of ``nn.MultiheadAttention`` modules (``"layers.0.self_attn"``), or of a Hugging Face
        model's attentions (``"attentions.0"``, ``"decoder_attentions.0"``; behind the model's own
        path, where it is inside another); or patterns, as in `capture_activations`.
    masks : str or mapping of pattern to str or None, optional
        Which mask of the probe says which queries of a layer are real, as in `capture_activations`:
        ``{"encoder_attentions.*": "attention_mask", "**": "decoder_attention_mask"}``.
    keep_weights : bool, default False
        Return all weights: 4 n_examples n_heads n_queries n_keys bytes a layer. Else no more than
        one batch of them is in memory.
    batch_size : int, default 64
        Examples in one forward pass.

    Returns
    -------
    dict of str to Attention
        A module called more than once gives an entry a call: ``"attn@0"``, ``"attn@1"``.

    Raises
    ------
    InputError
        If a path or pattern fits no attention layer, weights are not finite, or it is not clear
        which mask belongs to a layer.
    MissingExtraError
        If PyTorch is not installed.
    """
    require_torch()
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise InputError(f"layers must be a non-empty sequence of paths, not {layers!r}")
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
    heads = {name: sink for own in listeners for name, sink in own.named_sinks().items()}
    for entry in layers:
        path = entry.removeprefix("!")
        found = [name for name in heads if fits(name, [path])]
        check_match(path, found, list(heads), f"{type(model).__name__}'s attention")
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
                f"attention {self.layer!r} gave weights of shape {tuple(values.shape)} for a batch "
                f"of {n_rows} examples; expected ({n_rows}, n_heads, n_queries, n_keys)"
            )
        shape = values.shape[1:]
        if examples[0] == 0:
            self._begin(shape, np.float64 if values.dtype == torch.float64 else np.float32)
        elif shape != self._sum_map.shape:
            raise InputError(
                f"attention {self.layer!r} gave weights of shape {tuple(shape)} for example "
                f"{examples[0]} and {self._sum_map.shape} for example 0; expected the same for "
                "all: pad the inputs to one length"
            )
        real = self._real_queries(values, rows)
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        counted = values.masked_fill(~real[:, None, :, None], 0)
        if not torch.isfinite(counted).all():
            raise InputError(
                f"attention {self.layer!r} gave NaN or Inf among examples {examples[0]} to "
                f"{examples[-1]}; padding that attends to nothing needs a mask in the probe"
            )
        entropy = torch.special.entr(counted).sum(dim=(2, 3), dtype=torch.float64)
        self._entropy[rows] = (entropy / real.sum(dim=1, keepdim=True)).cpu().numpy()
        self._sum_map += counted.sum(dim=0, dtype=torch.float64).cpu().numpy()
        self._n_real += real.sum(dim=0).cpu().numpy()
        if self._weights is not None:
            self._weights[rows] = values.cpu().numpy()

    def summary(self) -> Attention:
        """Return what the sums amount to."""
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
