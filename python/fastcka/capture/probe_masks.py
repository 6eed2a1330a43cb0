"""The masks of a probe set: which there are, whether they can be used, and which one is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fastcka.capture.batches import batch_tensor
from fastcka.errors import InputError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from fastcka.capture.batches import Array, Rows

MASK: Final = "mask"
"""The name of the mask that was given for pooling."""
_ATTENTION_MASK: Final = "attention_mask"
# Inputs that describe another input's tokens, and are no sequence themselves.
_COMPANIONS: Final = ("mask", "position", "token_type", "segment", "label", "bbox")


class ProbeMasks:
    """What may be a mask in a probe set.

    Parameters
    ----------
    inputs
        The inputs of the probe set. Those of shape (n_examples, n_tokens) with "mask" in their
        names may be masks.
    given
        The mask that was given for pooling, which is called ``"mask"``; or None.
    ids
        The examples, for messages.

    Attributes
    ----------
    given : tensor, ndarray or None
        The mask that was given for pooling.
    sequences : list of str
        The inputs that may be sequences of tokens: two axes or more, and no mask or the like.

    Raises
    ------
    InputError
        If the mask given for pooling, or ``attention_mask``, cannot be used (see `check`).
    """

    def __init__(
        self, inputs: Mapping[str, Array], given: Array | None, ids: Sequence[str]
    ) -> None:
        self.given = given
        self.sequences = [
            name
            for name, value in inputs.items()
            if value.ndim > 1 and not any(word in name.lower() for word in _COMPANIONS)
        ]
        self._ids = ids
        self._checked: set[str] = set()
        self._arrays = {
            name: value
            for name, value in inputs.items()
            if "mask" in name.lower() and value.ndim == 2
        }
        if given is not None:
            self._arrays[MASK] = given
            self.check(MASK)
        elif _ATTENTION_MASK in self._arrays:
            self.check(_ATTENTION_MASK)
        elif _ATTENTION_MASK in inputs:
            raise InputError(
                f"{_ATTENTION_MASK}: expected the shape (n_examples, n_tokens), got "
                f"{tuple(inputs[_ATTENTION_MASK].shape)}; for pooling, give a mask of that shape "
                "as mask"
            )

    @property
    def lengths(self) -> dict[str, int]:
        """The number of tokens of each."""
        return {name: value.shape[1] for name, value in self._arrays.items()}

    @property
    def only(self) -> str | None:
        """The mask that belongs to the only sequence of tokens; None if it is not clear.

        It is not clear if several inputs may be sequences (``input_ids`` and ``decoder_input_ids``,
        or ``pixel_values``), or if no mask was given for pooling and the inputs hold another than
        ``attention_mask``.
        """
        if len(self.sequences) > 1:
            return None
        if self.given is not None:
            return MASK
        return _ATTENTION_MASK if list(self._arrays) == [_ATTENTION_MASK] else None

    def real_tokens(self, name: str, rows: Rows, device: torch.device) -> torch.Tensor:
        """Return a mask of some examples, bool, (n_rows, n_tokens): true where a token is real.

        Parameters
        ----------
        name
            Which mask; ``!`` in front takes its opposite.
        rows
            Which examples.
        device
            Where the mask is needed.
        """
        values = batch_tensor(self._arrays[name.removeprefix("!")], rows, device) != 0
        return ~values if name.startswith("!") else values

    def check(self, name: str) -> None:
        """Refuse a mask that there is not, or that cannot be used.

        Raises
        ------
        InputError
            If there is no such mask, it has another shape than (n_examples, n_tokens) or holds
            something other than 0 and 1, or an example has no real token.
        """
        import torch

        if name in self._checked:
            return
        bare = name.removeprefix("!")
        if bare not in self._arrays:
            hint = near_misses(bare, list(self._arrays), heading="its masks")
            raise InputError(f"masks: the probe has no mask {bare!r}{hint}")
        mask = self._arrays[bare]
        if not isinstance(mask, torch.Tensor | np.ndarray):
            raise InputError(
                f"{name} must be a torch tensor or a numpy array, not {type(mask).__name__}"
            )
        if mask.ndim != 2 or len(mask) != len(self._ids):
            raise InputError(
                f"{name}: expected the shape (n_examples, n_tokens) with {len(self._ids)} "
                f"examples, got {tuple(mask.shape)}"
            )
        values = batch_tensor(mask, slice(None), None)
        if not ((values == 0) | (values == 1)).all():
            raise InputError(
                f"{name}: expected 1 where a token is real and 0 where it is padding, got other "
                f"values (from {values.min().item():g} to {values.max().item():g})"
            )
        empty = (values != (1 if name.startswith("!") else 0)).any(dim=1).logical_not().nonzero()
        if len(empty):
            raise InputError(
                f"{name}: example {self._ids[int(empty[0])]!r} has no real token (in masks, '!' in "
                "front of a name takes the opposite of a mask that is 1 at padding)"
            )
        self._checked.add(name)
