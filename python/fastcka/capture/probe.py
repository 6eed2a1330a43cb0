"""The probe set: fixed examples with ids, which every network receives in the same order."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.capture.batches import batch_tensor
from fastcka.capture.probe_masks import ProbeMasks
from fastcka.capture.torch_library import require_torch
from fastcka.digests import arrays_digest, text_digest
from fastcka.errors import InputError
from fastcka.near_misses import near_misses
from fastcka.store.file.ids import checked_ids, position_names

if TYPE_CHECKING:
    import os

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.batches import Array, Rows

_COLUMN: Final = "column_"


class Probe:
    """Examples to run a network on: the same rows for every checkpoint, never shuffled.

    Parameters
    ----------
    inputs : tensor, ndarray, or mapping of str to these; each of shape (n_examples, ...)
        A single array is the only argument of the network. A mapping contains keyword arguments
        (``{"input_ids": ..., "attention_mask": ...}``).
    ids : sequence of str or int, optional
        One unique id for each example: text, UTF-8 bytes or integers, as for `Store.write`.
        Without ids, examples are named by position, "0" to "n-1". They can then be compared only
        with the same number of rows that are also named by position.
    mask : tensor or ndarray of shape (n_examples, n_tokens), optional
        1 or true where a token is real, 0 or false where it is padding. This mask is only for
        pooling; masks for the network belong in ``inputs``. Default: the input ``attention_mask``.
    columns : mapping of str to sequence, optional
        Further columns of the examples, such as labels, for filters.
    batch_axis : int or mapping of str to int, default 0
        The axis along which the network expects the examples, for all inputs or by the input's
        name: 1 for an ``nn.LSTM`` or ``nn.TransformerEncoder`` with ``batch_first=False``. The
        arrays that you pass always have the examples first.

    Attributes
    ----------
    ids : tuple of str
    positional_ids : bool
        Whether the ids are only positions, because you gave none.
    mask : tensor, ndarray or None
    masks : fastcka.capture.probe_masks.ProbeMasks
        This mask, and the inputs that may be masks.
    columns : dict of str to sequence

    Raises
    ------
    InputError
        If an array is missing, is empty or has another length; if an id cannot be used or repeats;
        if an example has no real token; or if a mask contains anything except 0 and 1.

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
        batch_axis: int | Mapping[str, int] = 0,
    ) -> None:
        self._keywords = isinstance(inputs, Mapping)
        self._inputs = dict(inputs) if isinstance(inputs, Mapping) else {"inputs": inputs}
        _check_inputs(self._inputs)
        self._axes = _checked_axes(batch_axis, self._inputs)
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
        self.masks = ProbeMasks(self._inputs, mask, self.ids)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in self._inputs.items())
        return f"Probe({shapes})"

    def __len__(self) -> int:
        return len(next(iter(self._inputs.values())))

    @cached_property
    def digest(self) -> str:
        """Digest of the inputs, ids, columns and mask, and of their order."""
        arrays = [
            (f"{name} along axis {axis}" if (axis := self._axes[name]) else name, value)
            for name, value in self._inputs.items()
        ]
        if self.mask is not None:
            arrays.append(("the mask for pooling", self.mask))
        columns = {name: [str(value) for value in values] for name, values in self.columns.items()}
        parts: tuple[object, ...] = (arrays_digest(arrays), self.ids, columns)
        if not self.positional_ids and list(self.ids) == position_names(len(self)):
            parts += ("ids that were given",)  # positional ids have the same names
        return text_digest(repr(parts))

    def batch(
        self, rows: Rows, device: torch.device | None
    ) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        """Return copies of some examples as positional and keyword arguments of a network."""
        tensors = {
            name: batch_tensor(value, rows, device).movedim(0, self._axes[name])
            for name, value in self._inputs.items()
        }
        return ([], tensors) if self._keywords else (list(tensors.values()), {})

    def token_ids(self, n_tokens: int) -> NDArray[np.int64] | None:
        """Return the ids of the tokens, (n_examples, n_tokens).

        None unless exactly one input of integers has this shape. Masks, positions, segments and
        labels are not counted.
        """
        fitting = [
            np.asarray(batch_tensor(value, slice(None), None).cpu())
            for value in map(self._inputs.__getitem__, self.masks.sequences)
            if tuple(value.shape) == (len(self), n_tokens)
        ]
        ids = [values for values in fitting if values.dtype.kind in "iu"]
        return ids[0].astype(np.int64) if len(ids) == 1 else None

    def first(self) -> Probe:
        """Return the first example as a probe set, without ids and columns."""
        inputs = {name: value[:1] for name, value in self._inputs.items()}
        mask = self.masks.given
        return Probe(
            inputs if self._keywords else inputs["inputs"],
            mask=None if mask is None else mask[:1],
            batch_axis={name: axis for name, axis in self._axes.items() if axis},
        )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, batch_axis: int | Mapping[str, int] = 0
    ) -> Probe:
        """Read a probe set from a ``.npz`` file that ``numpy.savez`` wrote.

        The file contains the inputs: one array named ``inputs``, or the network's keyword arguments
        by name. It may also contain ``ids``, ``mask`` and ``column_<name>``.

        Raises
        ------
        InputError
            If the file cannot be read, or `Probe` refuses its arrays.
        """
        file = Path(path)
        try:
            with file.open("rb") as opened:  # NumPy would leave a damaged file open
                loaded = np.load(opened, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    raise ValueError("it contains a single array without a name")
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
                f"{file}: expected either inputs or keyword arguments (with ids, mask and "
                f"{_COLUMN}<name>), got inputs and {', '.join(others)}"
            )
        inputs = arrays.get("inputs", arrays)
        try:
            return cls(inputs, ids, mask=mask, columns=columns, batch_axis=batch_axis)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error


def _check_inputs(inputs: Mapping[str, Array]) -> None:
    torch = require_torch()
    if not inputs:
        raise InputError("inputs: expected at least one array, got an empty mapping")
    for name, value in inputs.items():
        if not isinstance(value, torch.Tensor | np.ndarray):
            raise InputError(
                f"{name}: expected a torch tensor or a numpy array, got {type(value).__name__}"
            )
        if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":
            raise InputError(f"{name}: expected numbers or booleans, got {value.dtype}")
        if isinstance(value, np.ndarray) and value.dtype == np.longdouble:
            raise InputError(
                f"{name}: PyTorch has no dtype {value.dtype}; convert with {name}.astype('float32')"
            )
        if value.ndim == 0 or len(value) == 0:
            raise InputError(
                f"{name}: expected at least one example along the first axis, got the shape "
                f"{tuple(value.shape)}"
            )
    lengths = {name: len(value) for name, value in inputs.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"inputs: expected equal numbers of examples, got {lengths}")


def _checked_axes(
    batch_axis: int | Mapping[str, int], inputs: Mapping[str, Array]
) -> dict[str, int]:
    given = batch_axis if isinstance(batch_axis, Mapping) else dict.fromkeys(inputs, batch_axis)
    if unknown := [name for name in given if name not in inputs]:
        hint = near_misses(str(unknown[0]), list(inputs), heading="the inputs")
        raise InputError(f"batch_axis: the probe has no input {unknown[0]!r}{hint}")
    axes = {name: given.get(name, 0) for name in inputs}
    for name, axis in axes.items():
        n_axes = inputs[name].ndim
        if isinstance(axis, bool) or not isinstance(axis, int) or not 0 <= axis < n_axes:
            raise InputError(
                f"batch_axis: expected an axis of {name}, from 0 to {n_axes - 1}, got {axis!r}"
            )
    return axes
