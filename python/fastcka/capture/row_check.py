"""Checking that each row depends only on its example: a few examples run in other batches."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from fastcka.capture.batches import examples_of
from fastcka.capture.hidden_states import listener_of
from fastcka.capture.layer_rows import LayerRows
from fastcka.capture.listening import is_scripted, run_on_probe
from fastcka.errors import InputError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.batches import Rows
    from fastcka.capture.listening import Listener, ProbeListener
    from fastcka.capture.probe import Probe

T = TypeVar("T", bound=LayerRows)

CHECKED: Final = 4
"""Number of examples that run again."""


def checked_examples(n_examples: int) -> list[int]:
    """Return the positions of the examples that run again, in order."""
    return sorted({round(i * (n_examples - 1) / (CHECKED - 1)) for i in range(CHECKED)})


def check_rows_alone(
    model: torch.nn.Module,
    probe: Probe,
    listeners: Sequence[Listener[T]],
    *,
    batch_size: int,
) -> None:
    """Run a few examples again and refuse a layer whose rows differ from the captured ones.

    Four examples, spread over the probe set, run together in reverse order. Then the first and the
    last of them run, each in a batch of two copies, because some networks cannot run on a batch of
    one. With ``batch_size=1`` each example runs in its one batch.

    Rows may differ by round-off, because the order of summation in matrix products depends on the
    batch size. The distance between two rows is divided by the length of the row (or by the typical
    length in the layer, if that is larger). At most sqrt(eps) is allowed, where eps is the machine
    epsilon of the coarsest dtype of any module's output: 1.5e-8 for float64, 3.5e-4 for float32,
    0.09 for bfloat16. This reserves half of the digits for round-off that grows along the network.
    Rows that depend on other examples differ in their first digits.

    Parameters
    ----------
    model, probe, batch_size
        As for `run_on_probe`.
    listeners
        The listeners that captured the rows. Their sinks are `LayerRows`, which contain at least
        the rows of `checked_examples`.

    Raises
    ------
    InputError
        If a row differs. The message names the first such layer in the order of the forward pass.
    """
    spread = checked_examples(len(probe))
    copies = [spread[0], spread[0], spread[-1], spread[-1]]
    observer = _Observer(model)
    again = [_again(listener, observer) for listener in listeners]
    listening: list[ProbeListener] = [observer, *again]
    try:
        run_on_probe(
            model, probe, listening, batch_size=min(batch_size, CHECKED), examples=spread[::-1]
        )
        if batch_size > 1:
            run_on_probe(model, probe, listening, batch_size=2, examples=copies)
    except (InputError, NetworkError) as error:
        raise InputError(
            f"{error}. This happened when a few examples ran again in smaller batches, so the rows "
            f"depend on other examples. {_REMEDY}"
        ) from error
    for rows in observer.rows:
        distance, example = rows.worst()
        tolerance = math.sqrt(max(observer.eps, rows.eps))
        if not distance <= tolerance:
            raise InputError(
                f"layer {rows.reading.layer!r}: the row of example {probe.ids[example]!r} depends "
                "on other examples. In another batch, the row differs by "
                f"{distance:.2g} times its length; round-off explains at most {tolerance:.1g}. "
                f"{_REMEDY}"
            )


_REMEDY: Final = (
    "Possible causes are batch statistics (BatchNorm without running statistics), examples sorted "
    "or mixed inside the model, a table without an axis for examples, a sequence-first module that "
    "reads examples as tokens (batch_first=False; see batch_axis of Probe), random draws, a state "
    "kept between calls, and quantization by the range of a batch. Capture another layer, or turn "
    "this check off with check_rows=False (in YAML: check_rows: false); the provenance records this"
)


class _Observer:
    """Observes the coarsest dtype of the modules, and the rows in the order of the layers."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.rows: list[_RowsAgain] = []
        self._model = model
        self.eps = max((_eps(parameter) for parameter in model.parameters()), default=0.0)

    def attach(self, stack: contextlib.ExitStack) -> None:
        for module in self._model.modules():
            if is_scripted(module):
                continue
            stack.callback(module.register_forward_hook(self._observe).remove)

    def begin(self, rows: Rows) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def _observe(self, _module: Any, _args: Any, output: Any) -> None:
        import torch

        if isinstance(output, torch.Tensor):
            self.eps = max(self.eps, _eps(output))


class _RowsAgain:
    """Compares the rows of a layer with the captured rows."""

    def __init__(self, captured: LayerRows) -> None:
        self.reading = captured.reading
        self.eps = float(np.finfo(captured.dtype).eps)
        self._captured = captured
        self._distances: dict[int, float] = {}
        self._lengths: list[float] = []

    def take(self, values: torch.Tensor, rows: Rows) -> None:
        """Compare the rows of one batch."""
        got = self._captured.by_example(values, rows)
        for example, row in zip(examples_of(rows), got, strict=True):
            expected = self._expected(example)
            # Equal NaN or Inf are no difference here. The store refuses them with another message.
            odd = ~(np.isfinite(row) & np.isfinite(expected))
            if not np.array_equal(row[odd], expected[odd], equal_nan=True):
                distance = math.inf
            else:
                distance = float(np.linalg.norm(row[~odd] - expected[~odd]))
                self._lengths.append(float(np.linalg.norm(expected[~odd])))
            self._distances[example] = max(distance, self._distances.get(example, 0.0))

    def worst(self) -> tuple[float, int]:
        """Return the largest relative distance and its example."""
        typical = float(np.sqrt(np.mean(np.square(self._lengths)))) if self._lengths else 0.0
        relative = {}
        for example, distance in self._distances.items():
            length = max(typical, float(np.linalg.norm(self._expected(example))))
            relative[example] = distance / length if length > 0 and distance else distance
        example = max(relative, key=lambda position: relative[position])
        return relative[example], example

    def _expected(self, example: int) -> NDArray[np.float64]:
        return self._captured.example(example).astype(np.float64).ravel()


def _again(listener: Listener[T], observer: _Observer) -> Listener[_RowsAgain]:
    def make_sink(call: int) -> _RowsAgain:
        captured = listener.sinks.get(call)
        if captured is None:
            raise InputError(
                f"layer {listener.selected.name!r}: expected {len(listener.sinks)} calls as in "
                f"larger batches, got at least {call + 1}"
            )
        rows = _RowsAgain(captured)
        observer.rows.append(rows)
        return rows

    return listener_of(listener.selected, make_sink, listener.side)


def _eps(value: torch.Tensor) -> float:
    import torch

    if not value.is_floating_point():
        return 0.0
    # On a GPU, float32 products may run in TF32, which has the precision of float16.
    tensor_float = value.is_cuda and value.dtype == torch.float32
    return float(torch.finfo(torch.float16 if tensor_float else value.dtype).eps)
