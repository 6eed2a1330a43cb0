"""The masks of a probe set: their names, whether they can be used, and the default mask."""

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
"""The name of the pooling mask, `Probe`'s argument."""
_ATTENTION_MASK: Final = "attention_mask"
# Inputs that describe the tokens of another input and are no sequences of tokens.
_COMPANIONS: Final = ("mask", "position", "token_type", "segment", "label", "bbox")


class ProbeMasks:
    """The arrays of a probe set that may be masks.

    Parameters
    ----------
    inputs
        The inputs of the probe set. An input of shape (n_examples, n_tokens) with "mask" in its
        name may be a mask.
    given
        The pooling mask, whose name is ``"mask"``; or None.
    ids
        The ids of the examples, for messages.

    Attributes
    ----------
    given : tensor, ndarray or None
        The pooling mask.
    sequences : list of str
        The inputs that may be sequences of tokens: at least two axes, and no mask or similar input.

    Raises
    ------
    InputError
        If the pooling mask, or ``attention_mask``, cannot be used (see `check`).
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
                f"{tuple(inputs[_ATTENTION_MASK].shape)}; for pooling, pass a mask of the expected "
                "shape as mask"
            )

    @property
    def lengths(self) -> dict[str, int]:
        """Mask -> number of tokens."""
        return {name: value.shape[1] for name, value in self._arrays.items()}

    @property
    def only(self) -> str | None:
        """The mask that belongs to the only sequence of tokens; None if it is unclear.

        It is unclear if several inputs may be sequences (``input_ids`` and ``decoder_input_ids``,
        or ``pixel_values``), or if there is no pooling mask and the inputs contain any other mask
        than ``attention_mask``.
        """
        if len(self.sequences) > 1:
            return None
        if self.given is not None:
            return MASK
        return _ATTENTION_MASK if list(self._arrays) == [_ATTENTION_MASK] else None

    def real_tokens(self, name: str, rows: Rows, device: torch.device) -> torch.Tensor:
        """Return where the tokens of some examples are real: bool, (n_rows, n_tokens).

        Parameters
        ----------
        name
            The name of the mask; ``!`` in front inverts the mask.
        rows
            Positions of the examples.
        device
            Device of the result.
        """
        values = batch_tensor(self._arrays[name.removeprefix("!")], rows, device) != 0
        return ~values if name.startswith("!") else values

    def check(self, name: str) -> None:
        """Check that a mask exists and can be used.

        Raises
        ------
        InputError
            If the mask does not exist, its shape is not (n_examples, n_tokens), it contains
            anything except 0 and 1, or an example has no real token.
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
                f"{name}: expected a torch tensor or a numpy array, got {type(mask).__name__}"
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
                f"{name}: expected a real token in each example, got none in "
                f"{self._ids[int(empty[0])]!r} (if the mask is 1 at padding, invert it with '!' in "
                "front of its name in masks)"
            )
        self._checked.add(name)
