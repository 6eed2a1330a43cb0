"""The activations of named modules of a network, for a fixed set of inputs, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.listening import Listener, run_on_probe
from fastcka.capture.masks import mask_of
from fastcka.capture.members import SIDES
from fastcka.capture.pooled_rows import LayerReading, PooledRows
from fastcka.capture.pooling import POOLS, Pool
from fastcka.capture.probe import Probe
from fastcka.capture.row_check import check_rows_alone
from fastcka.capture.selection import (
    check_patterns,
    first_fit,
    has_channels_first,
    select_modules,
)
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.errors import InputError
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fastcka.capture.masks import Masks
    from fastcka.capture.members import Side
    from fastcka.capture.pooled_rows import Allocate, Values
    from fastcka.capture.selection import SelectedModule

Pools = Pool | Mapping[str, Pool]
"""One pooling for all layers, or one for each name or pattern; the first that fits counts."""

BatchAxes = int | Mapping[str, int]
"""The axis of the examples for all layers, or for each name or pattern; 0 where none fits."""


@named_shortage("capturing activations", CAPTURE_REMEDY)
def capture_activations(
    model: torch.nn.Module,
    inputs: Probe | torch.Tensor | NDArray[Any] | Mapping[str, torch.Tensor | NDArray[Any]],
    layers: Sequence[str],
    *,
    pool: Pools = "flatten",
    side: Side = "output",
    masks: Masks | None = None,
    batch_axis: BatchAxes = 0,
    batch_size: int = 256,
    check_rows: bool = True,
    allocate: Allocate | None = None,
) -> dict[str, Values]:
    """Run ``model`` on ``inputs`` and return what the named modules gave out, or were given.

    The model runs in eval mode and inference mode, one batch after the other in the order of the
    inputs. Afterwards, and after an exception too, no hook is left on it, each submodule has the
    ``training`` flag that it came with, and the random number generators are where they were. Each
    output is pooled and copied the moment the module returns it, so that an in-place operation
    further down (``nn.ReLU(inplace=True)``) does not reach it, and no more than one batch of what
    is not pooled is in memory.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(batch)``, or with the keyword arguments of the probe. Batches are moved
        to the device of its first parameter.
    inputs : Probe, or what one is made of: torch.Tensor or ndarray of shape (n_examples, ...)
        The probe set; the first axis is the examples. A mapping gives keyword arguments.
    layers : sequence of str
        Dotted module paths, as ``model.named_modules()`` gives them (``"encoder.layers.0"``), or
        patterns: ``*`` for anything without a dot, ``**`` for anything, ``!`` in front to leave
        out. A module that is called more than once has a representation a call:
        ``"relu@0"``, ``"relu@1"``, or ``"relu@*"`` for all. ``"block.output[1]"``,
        ``"block.output.last_hidden_state"`` and ``"block.input[0]"`` (with ``side="input"``) name a
        member of what a module returns or is given; patterns may end in this way too.
    pool : str or mapping of pattern to str, default "flatten"
        ``"none"`` keeps all axes, ``"flatten"`` flattens those after the first (both with zeros
        where the mask says padding, in a layer with three axes or more), ``"mean_tokens"``,
        ``"last_token"`` and ``"cls"`` take the mean, last and first real token, ``"spatial_mean"``
        the mean of each channel.
    side : {"output", "input"}, default "output"
        What the modules give out, or what they are given.
    masks : str or mapping of pattern to str or None, optional
        Which mask of the probe belongs to a layer: ``{"decoder**": "decoder_attention_mask"}``. A
        mask is an input of the probe, or ``"mask"`` for the one given for pooling; ``!`` in front
        takes its opposite (for a ``key_padding_mask``), and None says that the layer has no
        padding. A layer that nothing names takes the probe's only mask, if there is one sequence of
        tokens and one mask, and the layer has as many tokens.
    batch_axis : int or mapping of pattern to int, default 0
        Which axis of a layer is the examples: 1 for the layers of an ``nn.LSTM`` or
        ``nn.TransformerEncoder`` with ``batch_first=False``. See `Probe` for such inputs.
    batch_size : int, default 256
        Examples in one forward pass; the last batch may be smaller.
    check_rows : bool, default True
        Run a few examples again, in other batches, and refuse a layer whose rows are not the same
        within round-off (see `fastcka.capture.row_check`).
    allocate : callable, optional
        Makes the array of a given shape and dtype (`numpy.float32` or `numpy.float64`) that a layer
        is written to; `numpy.empty` if None.

    Returns
    -------
    dict of str to ndarray of float32 or float64, shape (n_examples, n_features)
        One entry a layer, in the order of ``layers``; more axes with ``pool="none"``. A layer that
        gives float64 stays float64; any other is float32, which has all of its digits. Of a tuple,
        list, mapping or dataclass, the only tensor of floating numbers is taken, or
        ``last_hidden_state``, or the first member of a recurrent or attention module of PyTorch.

    Raises
    ------
    InputError
        If a layer is not in the model, is called never, or more than once without a number, or
        gives something other than one row an example with a constant number of features, or than
        its pooling is for; if several tensors or masks fit a layer and none is named; if rows do
        not depend on their example alone; or if the probe's dtype is not that of the weights.
    NetworkError
        If the network raises an exception.
    OutOfMemoryError
        If there is not enough memory for a forward pass or for the rows.
    MissingExtraError
        If PyTorch is not installed.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU(inplace=True))
    >>> capture_activations(model, torch.tensor([[-1.0, 2.0]]), ["0", "1"])
    {'0': array([[-1.,  2.]], dtype=float32), '1': array([[0., 2.]], dtype=float32)}
    """
    require_torch()
    probe = inputs if isinstance(inputs, Probe) else Probe(inputs)
    captured = captured_layers(
        unwrapped(model),
        probe,
        layers,
        pool=pool,
        side=side,
        masks=masks,
        batch_axis=batch_axis,
        batch_size=batch_size,
        check_rows=check_rows,
        allocate=allocate,
    )
    return {name: rows.whole() for name, rows in captured.items()}


def captured_layers(
    model: torch.nn.Module,
    probe: Probe,
    layers: Sequence[str],
    *,
    pool: Pools,
    side: Side,
    masks: Masks | None,
    batch_axis: BatchAxes,
    batch_size: int,
    check_rows: bool,
    allocate: Allocate | None,
) -> dict[str, PooledRows]:
    """Do the work of `capture_activations`, and return how each layer was read beside its rows."""
    check_choices(pool, side)
    chosen = select_modules(model, layers)
    for selected in chosen:
        if selected.member is not None and selected.member.side != side:
            raise InputError(
                f"layers: {selected.label!r} names the {selected.member.side}, but side is "
                f"{side!r}; expected side={selected.member.side!r}"
            )
    names = [_names(selected) for selected in chosen]
    for option, given in (("masks", masks), ("batch_axis", batch_axis)):
        check_patterns(option, given, names)

    def reading(selected: SelectedModule, call: int) -> LayerReading:
        label = selected.label if call == 0 else selected.label_of(call)
        fits = _names(selected)
        return LayerReading(
            label,
            pool_of(selected, pool),
            mask_of(fits, probe.masks, masks),
            axis_of(fits, batch_axis),
            has_channels_first(selected.module),
        )

    def listener(selected: SelectedModule) -> Listener[PooledRows]:
        reading(selected, 0)  # refuse what does not fit before the network runs
        return Listener(
            selected,
            lambda call: PooledRows(reading(selected, call), len(probe), allocate or np.empty),
            side,
        )

    listeners = [listener(selected) for selected in chosen]
    run_on_probe(model, probe, listeners, batch_size=batch_size)
    captured: dict[str, PooledRows] = {}
    for own in listeners:
        captured |= own.named_sinks()
    for rows in captured.values():
        rows.whole()  # refuses what may be turned
    if check_rows:
        check_rows_alone(model, probe, listeners, batch_size=batch_size)
    return captured


def check_choices(pool: Pools, side: Side) -> None:
    """Refuse a pooling or side that there is not.

    Raises
    ------
    InputError
        Naming the argument and its choices.
    """
    named = pool if isinstance(pool, Mapping) else {"": pool}
    for pattern, name in named.items():
        if name not in POOLS:
            where = f"pool[{pattern!r}]" if isinstance(pool, Mapping) else "pool"
            raise InputError(f"{where}: expected one of {', '.join(POOLS)}, got {name!r}")
    if side not in SIDES:
        raise InputError(f"side: expected one of {', '.join(SIDES)}, got {side!r}")


def pool_of(selected: SelectedModule, pool: Pools) -> Pool:
    """Return the pooling of a layer.

    Raises
    ------
    InputError
        If ``pool`` is a mapping in which nothing fits.
    """
    if not isinstance(pool, Mapping):
        return pool
    if (found := first_fit(_names(selected), pool)) is not None:
        return found[1]
    raise InputError(
        f"pool: nothing in {', '.join(pool) or 'it'} fits layer {selected.name!r}; expected a "
        "pooling for each layer ('**' fits all)"
    )


def axis_of(names: Sequence[str], batch_axis: BatchAxes) -> int | None:
    """Return the axis of the examples of a layer; None if nothing was said.

    Raises
    ------
    InputError
        If it is not an integer of at least 0.
    """
    named = batch_axis if isinstance(batch_axis, Mapping) else {"**": batch_axis}
    found = first_fit(names, named)
    if found is None or (found[1] == 0 and not isinstance(batch_axis, Mapping)):
        return None
    axis = found[1]
    if isinstance(axis, bool) or not isinstance(axis, int) or axis < 0:
        raise InputError(f"batch_axis: expected an axis, 0 or more, got {axis!r}")
    return axis


def _names(selected: SelectedModule) -> tuple[str, str]:
    """What a pattern of an option may fit: the module with its member, or the module."""
    return selected.label_of(None), selected.name
