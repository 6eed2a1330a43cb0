"""Which of the probe's masks belongs to which layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.capture.selection import first_fit
from fastcka.errors import InputError

if TYPE_CHECKING:
    import torch

    from fastcka.capture.batches import Rows
    from fastcka.capture.probe_masks import ProbeMasks

Masks = str | Mapping[str, str | None]
"""The name of a mask for all layers, or one for each name or pattern; the first that fits counts.
None: the layer has no padding. ``!`` in front of a name takes its opposite."""


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
        The key of `Masks` that names the mask; None if none fits the layer.
    name
        The mask that it names; None if it says that there is no padding.
    """

    layer: str
    masks: ProbeMasks
    pattern: str | None
    name: str | None

    def real_tokens(
        self, rows: Rows, n_tokens: int, device: torch.device, *, needed: bool, certain: bool
    ) -> torch.Tensor | None:
        """Return where the tokens of some examples are real, (n_rows, n_tokens), or None.

        A mask that `Masks` names must have the layer's number of tokens. Without a name,
        the probe's only mask is taken where it has this number, if it is clear that it belongs to
        all layers (see `ProbeMasks.only`).

        Parameters
        ----------
        rows
            Which examples.
        n_tokens
            How many tokens the layer gave for each.
        device
            Where the mask is needed.
        needed
            Whether the layer is pooled over tokens, so that a mask of another length is an error.
        certain
            Whether it is certain that ``n_tokens`` counts tokens, and not heads or channels.

        Raises
        ------
        InputError
            If it is not clear which mask belongs to the layer, or the mask has another length.
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
                f"layer {self.layer!r} gave {n_tokens} tokens, but the mask of the probe has "
                f"{real.shape[1]} ({name}); expected the mask of what this layer gives out, named "
                f"with masks={{{self.layer!r}: NAME}}, or {{{self.layer!r}: None}} if it has no "
                "padding"
            )
        if not certain and self.pattern in (None, "*", "**"):
            raise InputError(
                f"layer {self.layer!r} has {n_tokens} entries along its second axis, as many as "
                f"the mask {name} has tokens, but they may be heads or channels. If they are "
                f"tokens, write masks={{{self.layer!r}: {name!r}}}; if not, "
                f"{{{self.layer!r}: None}}"
            )
        return real

    def _unclear(self) -> InputError:
        lengths = self.masks.lengths
        masks = ", ".join(f"{name} ({length} tokens)" for name, length in lengths.items())
        return InputError(
            f"layer {self.layer!r}: it is not clear which mask belongs to it. The probe has the "
            f"masks {masks} and the inputs {', '.join(self.masks.sequences) or 'none'}. Name one "
            f"of the masks with masks={{{self.layer!r}: NAME}}, with '!' in front of a mask that "
            f"is 1 at padding; {{{self.layer!r}: None}} means that the layer has no padding. A "
            "pattern may name several layers"
        )


def mask_of(names: Sequence[str], probe_masks: ProbeMasks, masks: Masks | None) -> LayerMask:
    """Return the mask of a layer.

    Parameters
    ----------
    names
        The layer's name, and its module's, either of which a pattern may fit.
    probe_masks
        The masks of the probe set.
    masks
        Which mask belongs to which layer; None if nothing was said.

    Raises
    ------
    InputError
        If ``masks`` is not a name or a mapping of patterns to names, or names a mask that the probe
        does not have or one that cannot be used.
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
                f"masks[{pattern!r}]: expected the name of a mask, got {type(name).__name__} (give "
                "the probe the mask itself)"
            )
        probe_masks.check(name)
    return LayerMask(names[0], probe_masks, pattern, name)
