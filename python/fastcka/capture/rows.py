"""The activations of named modules of a network with tokens, or other positions, as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastcka.capture.activations import captured_layers
from fastcka.capture.options import CaptureOptions
from fastcka.capture.probe import Probe
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.errors import InputError
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.layer_rows import Values
    from fastcka.capture.masks import Masks
    from fastcka.capture.members import ModuleSide
    from fastcka.capture.options import BatchAxes


@dataclass(frozen=True, eq=False)
class CapturedRows:
    """The rows of layers, and what is known about each row.

    Attributes
    ----------
    layers : dict of str to ndarray of float32 or float64, shape (n_rows, n_features)
        Layer -> rows. All layers have the same rows in the same order.
    ids : list of str or None
        ``<id of the text>:<position>``; None if the probe has no ids.
    columns : dict of str to sequence
        ``text_id`` (with ``rows="positions"``: ``example_id``), the id of the text of each row;
        ``position``; ``token_id`` if the probe has exactly one input of token ids; and the columns
        of the probe.
    """

    layers: dict[str, Values]
    ids: list[str] | None
    columns: dict[str, Sequence[Any]]


@named_shortage("capturing activations", CAPTURE_REMEDY)
def capture_rows(
    model: torch.nn.Module,
    inputs: Probe | torch.Tensor | NDArray[Any] | Mapping[str, torch.Tensor | NDArray[Any]],
    layers: Sequence[str],
    *,
    rows: Literal["tokens", "positions"] = "tokens",
    side: ModuleSide = "output",
    masks: Masks | None = None,
    batch_axis: BatchAxes = 0,
    batch_size: int = 256,
    check_rows: bool = True,
) -> CapturedRows:
    """Run ``model`` on ``inputs`` and return a row for each token, or other position, of a layer.

    The rows are in the order of the examples and their positions. Padding has no rows. The rows of
    one text depend on each other, so that intervals need the texts as blocks:
    ``compare(captured.layers, inference=Inference(blocks=captured.columns["text_id"]))``.

    Parameters
    ----------
    model, inputs, layers, side, masks, batch_axis, batch_size, check_rows
        As for `capture_activations`.
    rows : {"tokens", "positions"}, default "tokens"
        ``"tokens"``: layers have the shape (n_examples, n_tokens, n_features), and a row is a real
        token, by the mask of the layer. ``"positions"``: layers have the shape (n_examples,
        n_channels, ...), as those of a convolutional network, and a row has the channels of one
        position; the positions of further axes are numbered in C order.

    Returns
    -------
    CapturedRows
        Positions count from the first real token of a text, so padding on the left does not change
        them.

    Raises
    ------
    InputError
        As for `capture_activations`; if the layers do not have the same positions and masks; or if
        the probe has a column with the name of an added one.
    NetworkError
        If the network raises an exception.
    OutOfMemoryError
        If there is not enough memory for a forward pass or for the rows.
    MissingExtraError
        If PyTorch is not installed.
    """
    require_torch()
    if rows not in ("tokens", "positions"):
        raise InputError(
            f"rows: expected tokens or positions, got {rows!r}; for one row for each example use "
            "capture_activations"
        )
    probe = inputs if isinstance(inputs, Probe) else Probe(inputs)
    options = CaptureOptions(
        layers,
        side=side,
        masks=masks,
        batch_axis=batch_axis,
        batch_size=batch_size,
        check_rows=check_rows,
        rows=rows,
    )
    positions = options.positions()
    captured = captured_layers(unwrapped(model), probe, options, positions, np.empty)
    assert positions is not None  # noqa: S101
    return CapturedRows(
        {layer: layer_rows.whole() for layer, layer_rows in captured.items()},
        positions.ids(probe),
        positions.columns(probe),
    )
