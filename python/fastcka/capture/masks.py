"""Choosing the probe's mask for each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.capture.modules import first_fit
from fastcka.errors import InputError

if TYPE_CHECKING:
    import torch

    from fastcka.capture.batches import Rows
    from fastcka.capture.probe_masks import ProbeMasks

Masks = str | Mapping[str, str | None]
"""The name of a mask for all layers, or a mapping of names and patterns; the first match counts.
None means that the layer has no padding. ``!`` in front of a name inverts the mask."""


@dataclass(frozen=True, slots=True)
class LayerMask:
    """The mask of one layer.

    Attributes
    ----------
    layer
        The layer's name, for messages.
    masks
        The masks of the probe set.
    pattern
        The key of `Masks` that matches the layer; None if no key matches.
    name
        The name of the mask; None if the layer has no padding.
    """

    layer: str
    masks: ProbeMasks
    pattern: str | None
    name: str | None

    def real_tokens(
        self, rows: Rows, n_tokens: int, device: torch.device, *, needed: bool, certain: bool
    ) -> torch.Tensor | None:
        """Return where the tokens of some examples are real, (n_rows, n_tokens); None without mask.

        A mask that the caller named must have the layer's number of tokens. If the caller named
        none, the probe's only mask is used, provided that it has this number of tokens and clearly
        belongs to all layers (see `ProbeMasks.only`).

        Parameters
        ----------
        rows
            Positions of the examples.
        n_tokens
            Number of tokens of the layer for each example.
        device
            Device of the result.
        needed
            Whether the layer is pooled over tokens, so that a mask of another length is an error.
        certain
            Whether ``n_tokens`` certainly counts tokens, and not heads or channels.

        Raises
        ------
        InputError
            If it is unclear which mask belongs to the layer, or the mask has another length.
        """
        name = self.name
        if self.pattern is None:
            lengths = self.masks.lengths
            if not lengths or not (needed or n_tokens in lengths.values()):
                return None
            name = self.masks.only
            if name is None:
                raise self._unclear()
        if name is None:
            return None
        real = self.masks.real_tokens(name, rows, device)
        if real.shape[1] != n_tokens:
            raise InputError(
                f"layer {self.layer!r}: expected a mask for {n_tokens} tokens, got {name} with "
                f"{real.shape[1]}; name the layer's mask with masks={{{self.layer!r}: NAME}}, or "
                f"write {{{self.layer!r}: None}} if it has no padding"
            )
        if not certain and self.pattern in (None, "*", "**"):
            raise InputError(
                f"layer {self.layer!r}: its second axis has {n_tokens} entries, as many as the "
                f"mask {name} has tokens, but they may be heads or channels. If they are tokens, "
                f"write masks={{{self.layer!r}: {name!r}}}; if not, write {{{self.layer!r}: None}}"
            )
        return real

    def _unclear(self) -> InputError:
        lengths = self.masks.lengths
        masks = ", ".join(f"{name} ({length} tokens)" for name, length in lengths.items())
        return InputError(
            f"layer {self.layer!r}: it is unclear which mask belongs to this layer. The probe has "
            f"the masks {masks} and the inputs {', '.join(self.masks.sequences) or 'none'}. Name "
            f"one of the masks with masks={{{self.layer!r}: NAME}}, with '!' in front of a mask "
            f"that is 1 at padding; {{{self.layer!r}: None}} means that the layer has no padding. "
            "A pattern may name several layers"
        )


def mask_of(names: Sequence[str], probe_masks: ProbeMasks, masks: Masks | None) -> LayerMask:
    """Return the mask of a layer.

    Parameters
    ----------
    names
        The names of the layer and of its module. A pattern may match either.
    probe_masks
        The masks of the probe set.
    masks
        The caller's choice of masks; None without a choice.

    Raises
    ------
    InputError
        If ``masks`` is neither a name nor a mapping of patterns to names, or names a mask that does
        not exist or cannot be used.
    """
    named = {"**": masks} if isinstance(masks, str) else {} if masks is None else masks
    if not isinstance(named, Mapping):
        raise InputError(
            "masks: expected the name of a mask, or a mapping of patterns to names, got "
            f"{type(named).__name__}"
        )
    pattern, name = first_fit(names, named) or (None, None)
    if name is not None:
        if not isinstance(name, str):
            raise InputError(
                f"masks[{pattern!r}]: expected the name of a mask, got {type(name).__name__}; pass "
                "the array to the probe and name it here"
            )
        probe_masks.check(name)
    return LayerMask(names[0], probe_masks, pattern, name)
