"""The activations of named modules of a network, for a fixed set of inputs, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fastcka.capture.hidden_states import listener_of
from fastcka.capture.layer_rows import CollectedRows, LayerRows
from fastcka.capture.listening import run_on_probe
from fastcka.capture.options import CaptureOptions
from fastcka.capture.probe import Probe
from fastcka.capture.row_check import check_rows_alone
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.layer_reading import LayerReading
    from fastcka.capture.layer_rows import Allocate, Values
    from fastcka.capture.listening import Listener
    from fastcka.capture.masks import Masks
    from fastcka.capture.members import ModuleSide
    from fastcka.capture.modules import SelectedModule
    from fastcka.capture.options import BatchAxes, Pools
    from fastcka.capture.positions import Positions

T = TypeVar("T", bound=LayerRows)


@named_shortage("capturing activations", CAPTURE_REMEDY)
def capture_activations(
    model: torch.nn.Module,
    inputs: Probe | torch.Tensor | NDArray[Any] | Mapping[str, torch.Tensor | NDArray[Any]],
    layers: Sequence[str],
    *,
    pool: Pools = "flatten",
    side: ModuleSide = "output",
    masks: Masks | None = None,
    batch_axis: BatchAxes = 0,
    batch_size: int = 256,
    check_rows: bool = True,
    allocate: Allocate | None = None,
) -> dict[str, Values]:
    """Run ``model`` on ``inputs`` and return the outputs, or inputs, of the named modules.

    Each example is a row; `capture_rows` makes each token or position a row.

    The model runs in eval mode and inference mode, batch by batch in the order of the inputs.
    Afterwards, also after an exception, all hooks are removed, and the ``training`` flags and
    random number generators have their former states. Each output is pooled and copied as soon as
    the module returns it. A later in-place operation (``nn.ReLU(inplace=True)``) therefore cannot
    change it, and memory holds at most one batch of unpooled outputs.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(batch)``, or with the keyword arguments of the probe. Batches are moved
        to the device of its first parameter.
    inputs : Probe, torch.Tensor or ndarray, shape (n_examples, ...), or mapping of str to these
        The probe set. The first axis is the examples. A mapping contains keyword arguments.
    layers : sequence of str
        Dotted module paths as in ``model.named_modules()`` (``"encoder.layers.0"``), or patterns:
        ``*`` matches anything without a dot, ``**`` matches anything, ``!`` in front excludes. A
        module that is called several times has one representation for each call: ``"relu@0"``,
        ``"relu@1"``, or ``"relu@*"`` for all. ``"block.output[1]"``,
        ``"block.output.last_hidden_state"`` and ``"block.input[0]"`` (with ``side="input"``) select
        one member of a module's output or input. Patterns may have these endings too.
        ``"hidden_states"`` selects all hidden states that a Hugging Face model returns, under the
        names ``"hidden_states.0"`` (the embeddings), ``"hidden_states.1"`` (after the first layer)
        and so on; they precede the modules.
    pool : str or mapping of pattern to str, default "flatten"
        ``"none"`` keeps all axes; ``"flatten"`` flattens the axes after the first. Both set padding
        to zero in a layer with at least three axes and a mask. ``"mean_tokens"``,
        ``"last_token"`` and ``"cls"`` take the mean, last and first real token; ``"spatial_mean"``
        takes the mean of each channel.
    side : {"output", "input"}, default "output"
        Whether to capture the outputs or the inputs of the modules.
    masks : str or mapping of pattern to str or None, optional
        The mask of each layer: ``{"decoder**": "decoder_attention_mask"}``. A mask is an input of
        the probe, or ``"mask"`` for the probe's pooling mask. ``!`` in front inverts it (for a
        ``key_padding_mask``); None means that the layer has no padding. A layer without a match
        uses the probe's only mask, if the probe has one sequence of tokens and one mask, and the
        layer has the same number of tokens.
    batch_axis : int or mapping of pattern to int, default 0
        The axis of a layer that counts examples: 1 for the layers of an ``nn.LSTM`` or
        ``nn.TransformerEncoder`` with ``batch_first=False``. For such inputs see `Probe`.
    batch_size : int, default 256
        Examples in one forward pass; the last batch may be smaller.
    check_rows : bool, default True
        Run a few examples again, in other batches, and refuse a layer whose rows differ by more
        than round-off (see `fastcka.capture.row_check`).
    allocate : callable, optional
        Called with a shape and a dtype (`numpy.float32` or `numpy.float64`); returns the array for
        a layer's rows. Default `numpy.empty`.

    Returns
    -------
    dict of str to ndarray of float32 or float64, shape (n_examples, n_features)
        One entry for each layer, in the order of ``layers``; more axes with ``pool="none"``. The
        rows of a float64 layer are float64. All others are float32, which loses no digits. If a
        module returns a tuple, list, mapping or dataclass, the representation is its only tensor of
        floating-point numbers, or ``last_hidden_state``, or the first member of a recurrent or
        attention module of PyTorch.

    Raises
    ------
    InputError
        If a layer is not in the model, is never called, or is called several times and no call is
        selected; if a layer does not return one row for each example with a constant number of
        features; if its shape does not fit the pooling; if several tensors or masks fit a layer and
        none is named; if a row depends on other examples; or if the dtypes of the probe and the
        weights differ.
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
    options = CaptureOptions(layers, pool, side, masks, batch_axis, batch_size, check_rows)
    captured = captured_layers(unwrapped(model), probe, options, None, allocate or np.empty)
    return {name: rows.whole() for name, rows in captured.items()}


def captured_layers(
    model: torch.nn.Module,
    probe: Probe,
    options: CaptureOptions,
    positions: Positions | None,
    allocate: Allocate,
) -> dict[str, CollectedRows]:
    """Do the work of `capture_activations`; return each layer's rows and how they were read.

    ``positions``, from `CaptureOptions.positions`, is filled in.
    """
    listeners = listeners_for(
        model,
        probe,
        options,
        positions,
        lambda reading: CollectedRows(reading, len(probe), allocate),
    )
    run_on_probe(model, probe, listeners, batch_size=options.batch_size)
    check_captured(model, probe, options, listeners)
    return sinks_of(listeners)


def sinks_of(listeners: Sequence[Listener[T]]) -> dict[str, T]:
    """Return layer -> sink, in the order of the listeners."""
    return {name: sink for each in listeners for name, sink in each.named_sinks().items()}


def check_captured(
    model: torch.nn.Module, probe: Probe, options: CaptureOptions, listeners: Sequence[Listener[T]]
) -> None:
    """Check the axes of all layers and, unless it is turned off, that rows are independent."""
    for rows in sinks_of(listeners).values():
        rows.require_axes()
    if options.check_rows:
        check_rows_alone(model, probe, listeners, batch_size=options.batch_size)


def listeners_for(
    model: torch.nn.Module,
    probe: Probe,
    options: CaptureOptions,
    positions: Positions | None,
    make_rows: Callable[[LayerReading], T],
) -> list[Listener[T]]:
    """Return a listener for each layer; ``make_rows`` returns the sink of a call."""

    def listener(selected: SelectedModule) -> Listener[T]:
        options.reading(selected, 0, probe.masks, positions)  # raises before the network runs
        return listener_of(
            selected,
            lambda call: make_rows(options.reading(selected, call, probe.masks, positions)),
            options.side,
        )

    return [listener(selected) for selected in options.modules(model)]
