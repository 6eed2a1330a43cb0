"""CKA of the layers of networks, batch by batch, without storing their representations."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcka.capture.activations import check_captured, listeners_for, sinks_of
from fastcka.capture.layer_rows import BatchRows
from fastcka.capture.listening import attached, batches_of
from fastcka.capture.options import CaptureOptions
from fastcka.capture.probe import Probe
from fastcka.capture.row_check import checked_examples
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.core import Accumulator
from fastcka.core.estimators import check_estimator
from fastcka.core.far_moments import FarMoments
from fastcka.errors import InputError, NetworkError, OutOfMemoryError
from fastcka.memory import parse_memory, size_text, usable_memory
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.batches import Rows
    from fastcka.capture.listening import Listener
    from fastcka.capture.masks import Masks
    from fastcka.capture.members import ModuleSide
    from fastcka.capture.options import BatchAxes, Pools
    from fastcka.capture.positions import Positions, RowKind
    from fastcka.core import Comparison
    from fastcka.core.estimators import Estimator


class LabelledNetwork(NamedTuple):
    """A network with the fields that precede the layer in its labels, and its inputs."""

    label: Mapping[str, Any]
    model: torch.nn.Module
    probe: Probe


@named_shortage("comparing layers", CAPTURE_REMEDY)
def compare_networks(
    networks: torch.nn.Module | Mapping[str, torch.nn.Module],
    inputs: Probe | torch.Tensor | NDArray[Any] | Mapping[str, torch.Tensor | NDArray[Any]],
    layers: Sequence[str],
    *,
    rows: RowKind = "examples",
    pool: Pools = "flatten",
    side: ModuleSide = "output",
    masks: Masks | None = None,
    batch_axis: BatchAxes = 0,
    batch_size: int = 256,
    check_rows: bool = True,
    estimator: Estimator = "unbiased",
    memory: int | str | None = None,
) -> Comparison:
    """Compare the layers of one network, or of several networks, on the same inputs.

    All networks run on a batch, and a `fastcka.Accumulator` adds the rows of the batch. Nothing is
    stored, and the memory does not depend on the number of examples: it is about 8 D^2 bytes for D
    features of all layers of all networks together. The values are those of `capture_activations`
    (or `capture_rows`) and `fastcka.compare`, in float64.

    Parameters
    ----------
    networks : torch.nn.Module, or mapping of str to torch.nn.Module
        A network, or name -> network. They may have different architectures.
    inputs, layers, pool, side, masks, batch_axis, batch_size, check_rows
        As for `capture_activations`, for each of the networks.
    rows : {"examples", "tokens", "positions"}, default "examples"
        What is an example of the comparison: see `capture_rows`. All layers of all networks must
        have the same rows.
    estimator : {"unbiased", "biased", "feature_corrected"}, default "unbiased"
        As for `fastcka.compare`.
    memory : int or str, optional
        The most bytes for the sums, as a number or a text ("2GB"). Default: 75 % of what is free.

    Returns
    -------
    Comparison
        The labels are ``{"layer": ...}``, preceded by ``"model"`` if the networks have names. There
        are no p-values and no intervals, which need the stored rows.

    Raises
    ------
    InputError
        As for `capture_activations` and `capture_rows`, or if a layer contains NaN or infinities.
    OutOfMemoryError
        If the sums need more than ``memory``, after the first batch; or if there is not enough
        memory for the forward passes.
    NetworkError
        If a network raises an exception.
    MissingExtraError
        If PyTorch is not installed.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    >>> compare_networks(model, torch.randn(100, 4), ["0", "1"], batch_size=32)
    Comparison(2 representations, 1 pairs, 100 examples, unbiased)
    """
    require_torch()
    options = CaptureOptions(layers, pool, side, masks, batch_axis, batch_size, check_rows, rows)
    probe = inputs if isinstance(inputs, Probe) else Probe(inputs)
    if isinstance(networks, Mapping):
        if not networks:
            raise InputError("networks: expected at least one network, got an empty mapping")
        named = [LabelledNetwork({"model": name}, each, probe) for name, each in networks.items()]
    else:
        named = [LabelledNetwork({}, networks, probe)]
    return compared(named, options, estimator=estimator, memory=memory)


def compared(
    networks: Sequence[LabelledNetwork],
    options: CaptureOptions,
    *,
    estimator: Estimator,
    memory: int | str | None,
    progress: Callable[[int, int], object] | None = None,
) -> Comparison:
    """Do the work of `compare_networks`; the probes of the networks have the same examples.

    ``progress`` is called with the number of examples done and the number of all examples.
    """
    check_estimator(estimator)
    budget = parse_memory(memory)
    accumulator = Accumulator()
    positions = options.positions()
    n_examples = len(networks[0].probe)
    observed = [_Observed(network, options, positions) for network in networks]
    with contextlib.ExitStack() as stack:
        for each in observed:
            each.attach(stack)
        for rows in batches_of(n_examples, options.batch_size):
            batch = [layer for each in observed for layer in each.run(rows)]
            labels, arrays = zip(*batch, strict=True)
            if accumulator.n_examples == 0:
                _require_memory([values.shape[1] for values in arrays], budget)
            accumulator.update(arrays, labels=labels)
            if progress is not None:
                progress(rows.stop, n_examples)
    for each in observed:
        each.check()
    return accumulator.result(estimator=estimator)


class _Observed:
    """A network, and the listeners of its layers."""

    def __init__(
        self, network: LabelledNetwork, options: CaptureOptions, positions: Positions | None
    ) -> None:
        self._label, self._probe, self._options = network.label, network.probe, options
        self._model = unwrapped(network.model)
        n_examples = len(self._probe)
        kept = set(checked_examples(n_examples))
        with self._named():
            self._listeners: list[Listener[BatchRows]] = listeners_for(
                self._model,
                self._probe,
                options,
                positions,
                lambda reading: BatchRows(reading, n_examples, kept),
            )

    def attach(self, stack: contextlib.ExitStack) -> None:
        """Prepare the network to run; the stack restores it."""
        with self._named():
            self._forward = stack.enter_context(attached(self._model, self._probe, self._listeners))

    def run(self, rows: Rows) -> list[tuple[dict[str, Any], Any]]:
        """Run the network on some examples; return the label and the rows of each layer."""
        with self._named():
            self._forward(rows)
        sinks = sinks_of(self._listeners)
        return [({**self._label, "layer": layer}, sink.batch) for layer, sink in sinks.items()]

    def check(self) -> None:
        """Check the rows, as `capture_activations` does."""
        with self._named():
            check_captured(self._model, self._probe, self._options, self._listeners)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Put the name of the network in front of errors."""
        try:
            yield
        except (InputError, NetworkError) as error:
            if not self._label:
                raise
            kind = NetworkError if isinstance(error, NetworkError) else InputError
            name, *steps = self._label.values()
            where = ", ".join([str(name), *(f"step {step}" for step in steps)])
            raise kind(f"{where}: {error}") from error


def _require_memory(widths: Sequence[int], budget: int | None) -> None:
    needed, usable = FarMoments.bytes_of(widths), usable_memory(budget)
    if needed > usable.bytes:
        raise OutOfMemoryError(
            f"the sums of {len(widths):,} layers with {sum(widths):,} features in all need "
            f"{size_text(needed)}, but {size_text(usable.bytes)} may be used ({usable.limit}): "
            "pool the layers (pool=), compare fewer layers or networks at once, or capture them "
            "into a store and compare them in a sweep (fastcka run)"
        )
