"""The probe set: fixed examples, each with an id, in the order in which every network sees them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.capture.digests import digest_of, text_digest
from fastcka.capture.torch_library import require_torch
from fastcka.errors import InputError
from fastcka.store.ids import checked_ids, position_names

if TYPE_CHECKING:
    import os

    import torch
    from numpy.typing import NDArray

    Array = torch.Tensor | NDArray[Any]

_COLUMN: Final = "column_"


class Probe:
    """Examples to run a network on; the same rows for every checkpoint, never shuffled.

    Parameters
    ----------
    inputs : tensor, ndarray, or mapping of str to these; each of shape (n_examples, ...)
        One array is given to the network as its only argument, a mapping as keyword arguments
        (``{"input_ids": ..., "attention_mask": ...}``).
    ids : sequence of str or int, optional
        One unique id for each example: text, bytes in UTF-8 or integers, as for `Store.write`.
        Without ids the examples are named by their positions, "0" to "n-1", and can be compared
        only with rows of as many examples that are named in the same way.
    mask : tensor or ndarray of shape (n_examples, n_tokens), optional
        1 or true where a token is real, 0 or false where it is padding. For pooling alone: what
        the network needs goes into ``inputs``, of which ``attention_mask`` is taken if None.
    columns : mapping of str to sequence, optional
        Further columns of the examples, for filters: labels, say.

    Attributes
    ----------
    ids : tuple of str
    positional_ids : bool
        Whether the ids only name positions, because none were given.
    mask : tensor, ndarray or None
    columns : dict of str to sequence

    Raises
    ------
    InputError
        If an array is missing, empty or of another length, an id cannot be used or repeats, or an
        example has no real token.

    Examples
    --------
    >>> import numpy as np
    >>> probe = Probe(np.zeros((2, 3), np.float32), ids=["a", "b"])
    >>> len(probe), probe.ids
    (2, ('a', 'b'))
    """

    def __init__(
        self,
        inputs: Array | Mapping[str, Array],
        ids: Sequence[str] | Sequence[int] | None = None,
        *,
        mask: Array | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self._keywords = isinstance(inputs, Mapping)
        self._inputs = dict(inputs) if isinstance(inputs, Mapping) else {"inputs": inputs}
        _check_inputs(self._inputs)
        self.positional_ids = ids is None
        self.ids = tuple(
            position_names(len(self)) if ids is None else checked_ids("ids", ids, len(self))
        )
        self.mask = self._inputs.get("attention_mask") if mask is None else mask
        self.columns = dict(columns or {})
        for name, values in self.columns.items():
            if len(values) != len(self):
                raise InputError(
                    f"columns[{name!r}]: expected {len(self)} values, one for each example, "
                    f"got {len(values)}"
                )
        if self.mask is not None:
            _check_mask(self.mask, self.ids)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in self._inputs.items())
        return f"Probe({shapes})"

    def __len__(self) -> int:
        return len(next(iter(self._inputs.values())))

    @cached_property
    def digest(self) -> str:
        """Changes with any input, id, column or mask, and with their order."""
        arrays = list(self._inputs.items())
        if self.mask is not None:
            arrays.append(("the mask for pooling", self.mask))
        columns = {name: [str(value) for value in values] for name, values in self.columns.items()}
        parts: tuple[object, ...] = (digest_of(arrays), self.ids, columns)
        if not self.positional_ids and list(self.ids) == position_names(len(self)):
            parts += ("ids that were given",)  # rows without ids are other rows, of the same names
        return text_digest(repr(parts))

    def batch(
        self, rows: slice, device: torch.device | None
    ) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        """Return copies of some examples as the arguments of a network: positional, keyword."""
        tensors = {name: _tensor(value, rows, device) for name, value in self._inputs.items()}
        return ([], tensors) if self._keywords else (list(tensors.values()), {})

    def real_tokens(self, rows: slice, device: torch.device) -> torch.Tensor | None:
        """Return the mask of some examples, bool, (n_rows, n_tokens); None if there is no mask."""
        return None if self.mask is None else _tensor(self.mask, rows, device) != 0

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Probe:
        """Read a probe set from a ``.npz`` file, as ``numpy.savez`` writes it.

        Its arrays are ``ids``, ``mask`` and ``column_<name>``, each optional, and the inputs: one
        called ``inputs``, or the network's keyword arguments by their names.

        Raises
        ------
        InputError
            If the file cannot be read, or its arrays are not as in `Probe`.
        """
        file = Path(path)
        try:
            with file.open("rb") as opened:  # NumPy would leave a damaged file open
                loaded = np.load(opened, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    raise ValueError("it holds a single array, without a name")
                arrays = {name: loaded[name] for name in loaded.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{file}: cannot be read as .npz: {error}") from error
        ids = arrays.pop("ids", None)
        mask = arrays.pop("mask", None)
        columns = {
            name.removeprefix(_COLUMN): arrays.pop(name).tolist()
            for name in list(arrays)
            if name.startswith(_COLUMN)
        }
        if "inputs" in arrays and len(arrays) > 1:
            others = sorted(set(arrays) - {"inputs"})
            raise InputError(
                f"{file}: holds inputs and also {', '.join(others)}; expected inputs alone or "
                f"keyword arguments alone (besides ids, mask and {_COLUMN}<name>)"
            )
        inputs = arrays.get("inputs", arrays)
        try:
            return cls(inputs, ids, mask=mask, columns=columns)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error


def _check_inputs(inputs: Mapping[str, Array]) -> None:
    torch = require_torch()
    if not inputs:
        raise InputError("inputs must hold at least one array; the mapping is empty")
    for name, value in inputs.items():
        if not isinstance(value, torch.Tensor | np.ndarray):
            raise InputError(
                f"{name} must be a torch tensor or a numpy array, not {type(value).__name__}"
            )
        if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
            raise InputError(f"{name}: expected numbers or booleans, got {value.dtype}")
        if value.ndim == 0 or len(value) == 0:
            raise InputError(
                f"{name} must hold at least one example along its first axis; its shape is "
                f"{tuple(value.shape)}"
            )
    lengths = {name: len(value) for name, value in inputs.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"inputs differ in their number of examples: {lengths}")


def _check_mask(mask: Array, ids: Sequence[str]) -> None:
    if mask.ndim != 2 or len(mask) != len(ids):
        raise InputError(
            f"mask: expected the shape (n_examples, n_tokens) with {len(ids)} examples, "
            f"got {tuple(mask.shape)}"
        )
    real = _tensor(mask, slice(None), None) != 0
    empty = (~real.any(dim=1)).nonzero()
    if len(empty):
        raise InputError(f"mask: example {ids[int(empty[0])]!r} has no real token")


def _tensor(value: Array, rows: slice, device: torch.device | None) -> torch.Tensor:
    import torch

    # A copy: the network may begin in place, and from_numpy takes neither negative strides nor,
    # without a warning, an array that is read-only.
    if isinstance(value, torch.Tensor):
        return value[rows].detach().clone().to(device)
    return torch.from_numpy(value[rows].copy()).to(device)
