"""Whether rows depend on their example alone: a few examples run again, in other company."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.capture.batches import examples_of
from fastcka.capture.listening import Listener, is_scripted, run_on_probe
from fastcka.errors import InputError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from fastcka.capture.batches import Rows
    from fastcka.capture.listening import ProbeListener
    from fastcka.capture.pooled_rows import LayerReading, PooledRows, Values
    from fastcka.capture.probe import Probe

CHECKED: Final = 4
"""How many examples run again."""


def check_rows_alone(
    model: torch.nn.Module,
    probe: Probe,
    listeners: Sequence[Listener[PooledRows]],
    *,
    batch_size: int,
) -> None:
    """Run a few examples again and refuse a layer whose rows are not those captured.

    Four examples, spread over the probe set, run together in reverse order, and the first and
    last of them run alone: each in a batch of two copies of itself, as some networks cannot take a
    batch of one. With ``batch_size=1`` each runs by itself.

    Rows may differ by round-off, because matrix products are summed in another order for another
    batch size. The distance of two rows, relative to the length of the row (or to the typical
    length in the layer, if that is larger), may be sqrt(eps), where eps is the machine epsilon of
    the coarsest dtype that any module of the network gave: 1.5e-8 for float64, 3.5e-4 for float32,
    0.09 for bfloat16.
    That leaves half of the digits to the growth of round-off along the network. Rows that depend on
    other examples differ in their first digits.

    Parameters
    ----------
    model, probe, batch_size
        As for `run_on_probe`.
    listeners
        What listened when the rows were captured.

    Raises
    ------
    InputError
        Naming the first layer, in the order of the forward pass, with other rows.
    """
    last = len(probe) - 1
    spread = sorted({round(i * last / (CHECKED - 1)) for i in range(CHECKED)})
    copies = [spread[0], spread[0], spread[-1], spread[-1]]
    noted = _Noted(model)
    again = [_again(listener, noted) for listener in listeners]
    listening: list[ProbeListener] = [noted, *again]
    try:
        run_on_probe(
            model, probe, listening, batch_size=min(batch_size, CHECKED), examples=spread[::-1]
        )
        if batch_size > 1:
            run_on_probe(model, probe, listening, batch_size=2, examples=copies)
    except (InputError, NetworkError) as error:
        raise InputError(
            f"{error}. This happened when a few examples ran again in smaller batches, so that the "
            f"rows do not depend on their example alone. {_REMEDY}"
        ) from error
    for rows in noted.rows:
        distance, example = rows.worst()
        tolerance = math.sqrt(max(noted.eps, rows.eps))
        if not distance <= tolerance:
            raise InputError(
                f"layer {rows.reading.layer!r}: the row of example {probe.ids[example]!r} does not "
                "depend on this example alone. Run again, in another batch, the row differs by "
                f"{distance:.2g} times its length; round-off explains at most {tolerance:.1g}. "
                f"{_REMEDY}"
            )


_REMEDY: Final = (
    "The causes are batch statistics (BatchNorm without running statistics), examples sorted or "
    "mixed inside the model, a table without an axis of examples, a sequence-first module that "
    "reads examples as tokens (batch_first=False; see batch_axis of Probe), random draws, a state "
    "kept between calls, and quantization by the range of a batch. Capture another layer, or turn "
    "this check off with check_rows=False (in YAML: check_rows: false), which the provenance "
    "records"
)


class _Noted:
    """Which dtypes the modules give, and the rows in the order in which layers are heard."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.rows: list[_RowsAgain] = []
        self._model = model
        self.eps = max((_eps(own) for own in model.parameters()), default=0.0)

    def attach(self, stack: contextlib.ExitStack) -> None:
        for module in self._model.modules():
            if is_scripted(module):
                continue
            stack.callback(module.register_forward_hook(self._note).remove)

    def begin(self, rows: Rows) -> None:
        """Nothing to do."""

    def end(self) -> None:
        """Nothing to refuse."""

    def _note(self, _module: Any, _args: Any, output: Any) -> None:
        import torch

        if isinstance(output, torch.Tensor):
            self.eps = max(self.eps, _eps(output))


class _RowsAgain:
    """Compares the rows of a layer with those that were captured."""

    def __init__(self, captured: Values, reading: LayerReading) -> None:
        self.reading = reading
        self.eps = float(np.finfo(captured.dtype).eps)
        self._captured = captured
        self._distances: dict[int, float] = {}
        self._lengths: list[float] = []

    def take(self, values: torch.Tensor, rows: Rows) -> None:
        """Compare the rows of one batch."""
        got = self.reading.rows(values, rows).cpu().double().flatten(1).numpy()
        for example, row in zip(examples_of(rows), got, strict=True):
            expected = self._captured[example].astype(np.float64).ravel()
            if row.shape != expected.shape:
                raise InputError(
                    f"layer {self.reading.layer!r} gave {row.size} features for an example that "
                    f"had {expected.size}"
                )
            # The same NaN or Inf is no difference: the store refuses it, with its reason.
            odd = ~(np.isfinite(row) & np.isfinite(expected))
            if not np.array_equal(row[odd], expected[odd], equal_nan=True):
                distance = math.inf
            else:
                distance = float(np.linalg.norm(row[~odd] - expected[~odd]))
                self._lengths.append(float(np.linalg.norm(expected[~odd])))
            self._distances[example] = max(distance, self._distances.get(example, 0.0))

    def worst(self) -> tuple[float, int]:
        """Return the largest relative distance, and its example."""
        typical = float(np.sqrt(np.mean(np.square(self._lengths)))) if self._lengths else 0.0
        relative = {}
        for example, distance in self._distances.items():
            length = max(typical, float(np.linalg.norm(self._captured[example].astype(np.float64))))
            relative[example] = distance / length if length > 0 and distance else distance
        example = max(relative, key=lambda own: relative[own])
        return relative[example], example


def _again(listener: Listener[PooledRows], noted: _Noted) -> Listener[_RowsAgain]:
    def make_sink(call: int) -> _RowsAgain:
        captured = listener.sinks.get(call)
        if captured is None:
            raise InputError(
                f"layer {listener.selected.name!r} was called {call + 1} times or more, and "
                f"{len(listener.sinks)} times in larger batches"
            )
        rows = _RowsAgain(captured.whole(), captured.reading)
        noted.rows.append(rows)
        return rows

    return Listener(listener.selected, make_sink, listener.side)


def _eps(value: torch.Tensor) -> float:
    import torch

    if not value.is_floating_point():
        return 0.0
    # On a GPU float32 products may run in TF32, with the digits of float16.
    tensor_float = value.is_cuda and value.dtype == torch.float32
    return float(torch.finfo(torch.float16 if tensor_float else value.dtype).eps)
