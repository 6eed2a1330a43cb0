"""Positions of the examples as rows: which positions are rows, and the ids and columns of the rows.

A position is a token of a text, or a place in an image or another signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.capture.batches import Rows
    from fastcka.capture.probe import Probe

RowKind = Literal["examples", "tokens", "positions"]
ROW_KINDS: tuple[RowKind, ...] = get_args(RowKind)

#: Kind of rows -> the column that contains the id of the example of each row.
EXAMPLE_COLUMNS: Final = {"tokens": "text_id", "positions": "example_id"}


class Positions:
    """The positions that are rows, which are the same in all layers of a capture.

    The rows are in the order of the examples, and within an example in the order of its positions.

    Parameters
    ----------
    kind : {"tokens", "positions"}
        The kind of rows.

    Attributes
    ----------
    kind : {"tokens", "positions"}
    real : ndarray of bool, shape (n_examples, n_positions)
        Whether a position is a row. It is not a row if it is padding.
    """

    def __init__(self, kind: RowKind) -> None:
        self.kind = kind
        self.real: NDArray[np.bool_] = np.empty((0, 0), np.bool_)
        self._layer: str | None = None

    def settle(self, layer: str, real: NDArray[np.bool_]) -> None:
        """Accept the positions of a layer.

        Raises
        ------
        InputError
            If an earlier layer has other positions.
        """
        if self._layer is None:
            self.real, self._layer = real, layer
        elif real.shape[1] != self.real.shape[1]:
            raise InputError(
                f"layer {layer!r}: expected {self.real.shape[1]} {self.kind} in each example as in "
                f"layer {self._layer!r}, got {real.shape[1]}; {self._remedy}"
            )
        elif not np.array_equal(real, self.real):
            example = int(np.flatnonzero((real != self.real).any(axis=1))[0])
            raise InputError(
                f"layer {layer!r}: expected the mask of layer {self._layer!r}, got one that marks "
                f"other tokens of example {example} as real; {self._remedy}"
            )

    @property
    def _remedy(self) -> str:
        return (
            f"with rows={self.kind!r} all layers must have the same rows. Capture these layers "
            "separately, each into another store, or pool them with rows='examples'"
        )

    @property
    def starts(self) -> NDArray[np.int64]:
        """(n_examples + 1,) the first row of each example, and the number of rows."""
        return np.concatenate([[0], np.cumsum(self.real.sum(axis=1, dtype=np.int64))])

    def real_in(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which positions of some examples are rows, (n_rows, n_positions)."""
        return self.real[rows]

    def ids(self, probe: Probe) -> list[str] | None:
        """Return ``<id of the example>:<position>`` for each row; None if the probe has no ids.

        Ids of examples without ids would pretend that the rows of two probe sets are the same.
        """
        if probe.positional_ids:
            return None
        examples, numbers = self._numbers()
        pairs = zip(examples.tolist(), numbers.tolist(), strict=True)
        return [f"{probe.ids[example]}:{number}" for example, number in pairs]

    def columns(self, probe: Probe) -> dict[str, Sequence[Any]]:
        """Return the columns of the rows.

        They are the columns of the probe; the id of the example (`EXAMPLE_COLUMNS`); the position,
        which counts from the first real one; and the id of the token if the probe has exactly one
        input that can be the ids of these tokens (see `Probe.token_ids`).

        Raises
        ------
        InputError
            If the probe has a column with one of these names.
        """
        examples, numbers = self._numbers()
        columns: dict[str, Sequence[Any]] = {
            EXAMPLE_COLUMNS[self.kind]: [probe.ids[example] for example in examples.tolist()],
            "position": numbers.tolist(),
        }
        tokens = probe.token_ids(self.real.shape[1]) if self.kind == "tokens" else None
        if tokens is not None:
            columns["token_id"] = tokens[self.real].tolist()
        for name, values in probe.columns.items():
            if name in columns:
                raise InputError(
                    f"columns: the probe has a column {name!r}, but with rows={self.kind!r} the "
                    "capture adds a column of this name; rename the column of the probe"
                )
            columns[name] = [values[example] for example in examples.tolist()]
        return columns

    def _numbers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the example and the position of each row."""
        examples, positions = np.nonzero(self.real)
        return examples, positions - self.real.argmax(axis=1)[examples]
