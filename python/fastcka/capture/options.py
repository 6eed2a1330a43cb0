"""The options of a capture: which layers are read, and how their values become rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastcka.capture.hidden_states import HIDDEN_STATES, selected_hidden_states
from fastcka.capture.layer_reading import LayerReading
from fastcka.capture.masks import mask_of
from fastcka.capture.members import SIDES
from fastcka.capture.modules import check_patterns, first_fit, has_channels_first, select_modules
from fastcka.capture.pooling import POOLS, Pool
from fastcka.capture.positions import ROW_KINDS, Positions, RowKind
from fastcka.errors import InputError

if TYPE_CHECKING:
    import torch

    from fastcka.capture.masks import Masks
    from fastcka.capture.members import ModuleSide
    from fastcka.capture.modules import SelectedModule
    from fastcka.capture.probe_masks import ProbeMasks

Pools = Pool | Mapping[str, Pool]
"""One pooling for all layers, or a mapping of names and patterns; the first match counts."""

BatchAxes = int | Mapping[str, int]
"""The axis of the examples for all layers, or a mapping of names and patterns (0 if none match)."""


@dataclass(frozen=True)
class CaptureOptions:
    """The options that `capture_activations` and `capture_representations` share.

    `capture_activations` describes them.

    Raises
    ------
    InputError
        If ``pool``, ``side`` or ``rows`` is not one of its choices, or ``pool`` is given with rows
        that are not examples.
    """

    layers: Sequence[str]
    pool: Pools = "flatten"
    side: ModuleSide = "output"
    masks: Masks | None = None
    batch_axis: BatchAxes = 0
    batch_size: int = 256
    check_rows: bool = True
    rows: RowKind = "examples"

    def __post_init__(self) -> None:
        named = self.pool if isinstance(self.pool, Mapping) else {"": self.pool}
        for pattern, name in named.items():
            if name not in POOLS:
                where = f"pool[{pattern!r}]" if isinstance(self.pool, Mapping) else "pool"
                raise InputError(f"{where}: expected one of {', '.join(POOLS)}, got {name!r}")
        if self.side not in SIDES:
            raise InputError(f"side: expected one of {', '.join(SIDES)}, got {self.side!r}")
        if self.rows not in ROW_KINDS:
            raise InputError(f"rows: expected one of {', '.join(ROW_KINDS)}, got {self.rows!r}")
        if self.rows != "examples" and self.pool != "flatten":
            raise InputError(
                f"pool: with rows={self.rows!r} nothing is pooled, got {self.pool!r}; omit pool, "
                "or write rows='examples'"
            )

    def key(self) -> dict[str, Any]:
        """Return the options that decide the captured numbers, as JSON types."""
        return {
            "layers": list(self.layers),
            "pool": _in_order(self.pool),
            "side": self.side,
            "masks": _in_order(self.masks),
            "batch_axis": _in_order(self.batch_axis),
            "check_rows": self.check_rows,
            "rows": self.rows,
        }

    def positions(self) -> Positions | None:
        """Return the positions of a new capture; None if the rows are examples."""
        return None if self.rows == "examples" else Positions(self.rows)

    def modules(self, model: torch.nn.Module) -> list[SelectedModule]:
        """Return the modules that ``layers`` selects, the hidden states first.

        Raises
        ------
        InputError
            If a layer is not in the model or is on the other side, or if a pattern of another
            option matches no layer.
        """
        chosen = selected_hidden_states(model, self.layers, self.side)
        if not chosen:
            chosen = select_modules(model, self.layers)
        elif others := [entry for entry in self.layers if entry != HIDDEN_STATES]:
            chosen += select_modules(model, others)
        for selected in chosen:
            if selected.member is not None and selected.member.side != self.side:
                raise InputError(
                    f"layers: {selected.label!r} names the {selected.member.side}, but side is "
                    f"{self.side!r}; expected side={selected.member.side!r}"
                )
        names = [_names(selected) for selected in chosen]
        for option, given in (("masks", self.masks), ("batch_axis", self.batch_axis)):
            check_patterns(option, given, names)
        return chosen

    def reading(
        self, selected: SelectedModule, call: int, masks: ProbeMasks, positions: Positions | None
    ) -> LayerReading:
        """Return how the values of one call of a module become rows.

        All layers of a capture share the object ``positions``.

        Raises
        ------
        InputError
            If ``pool`` is a mapping without a match, the mask cannot be used, or the axis is not an
            integer of at least 0.
        """
        return LayerReading(
            selected.label if call == 0 else selected.label_of(call),
            self._pool(selected),
            mask_of(_names(selected), masks, self.masks),
            self._axis(selected),
            has_channels_first(selected.module),
            positions,
        )

    def _pool(self, selected: SelectedModule) -> Pool:
        if not isinstance(self.pool, Mapping):
            return self.pool
        if (match := first_fit(_names(selected), self.pool)) is not None:
            return match[1]
        raise InputError(
            f"pool: no pattern of {', '.join(self.pool) or 'the mapping'} matches layer "
            f"{selected.name!r}; expected a pooling for each layer ('**' matches all)"
        )

    def _axis(self, selected: SelectedModule) -> int | None:
        """Return the axis of the examples in a layer; None if the caller named no axis."""
        by_name = isinstance(self.batch_axis, Mapping)
        named = self.batch_axis if isinstance(self.batch_axis, Mapping) else {"**": self.batch_axis}
        match = first_fit(_names(selected), named)
        if match is None or (match[1] == 0 and not by_name):
            return None
        axis = match[1]
        if isinstance(axis, bool) or not isinstance(axis, int) or axis < 0:
            raise InputError(f"batch_axis: expected an axis, 0 or more, got {axis!r}")
        return axis


def _in_order(option: object) -> object:
    return list(map(list, option.items())) if isinstance(option, Mapping) else option


def _names(selected: SelectedModule) -> tuple[str, str]:
    """Return the names that a pattern may match: the module with its member, and the module."""
    return selected.label_of(None), selected.name
