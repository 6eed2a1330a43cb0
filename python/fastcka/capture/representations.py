"""A network at one step into the store, unless the store has the same already."""

from __future__ import annotations

import math
import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.activations import captured_layers, check_choices
from fastcka.capture.probe import Probe
from fastcka.capture.provenance import capture_key, changed_parts
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.errors import KeyExistsError, StoreError, UnknownKeyError
from fastcka.files import write_errors
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage
from fastcka.store import Store, create_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.activations import BatchAxes, Pools
    from fastcka.capture.masks import Masks
    from fastcka.capture.members import Side
    from fastcka.capture.pooled_rows import Values


@named_shortage("capturing representations", CAPTURE_REMEDY)
def capture_representations(
    model: torch.nn.Module,
    probe: Probe | torch.Tensor | NDArray[Any],
    *,
    layers: Sequence[str],
    store: Store | str | os.PathLike[str],
    model_name: str,
    step: int,
    pool: Pools = "flatten",
    side: Side = "output",
    masks: Masks | None = None,
    batch_axis: BatchAxes = 0,
    batch_size: int = 256,
    check_rows: bool = True,
    factors: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> bool:
    """Run a network on the probe set and write what its layers gave out to a store.

    Rows that the store holds for this model and step are left alone if they come from the same
    weights, probe, layers, options and factors (see `fastcka.capture.provenance`), and are
    refused otherwise, unless ``overwrite`` replaces them. Rows are collected in an unnamed file
    beside the store, so that memory holds one batch, however many examples and layers there are.

    Parameters
    ----------
    model, probe, layers, pool, side, masks, batch_axis, batch_size, check_rows
        As for `capture_activations`. The rows of an array, and of a probe set without ids,
        are named by position (see `Probe`).
    store : Store or path
        Open for writing; a path is made if need be.
    model_name, step
        Name of the training run and its training step, under which the store holds it.
    factors : mapping, optional
        What tells this model from others (family, seed, ...), the same at all its steps.
    source : mapping, optional
        Where the weights come from, for people: noted in the provenance, not compared.
    overwrite : bool, default False
        Replace rows of this model and step that come from something else.

    Returns
    -------
    bool
        True if rows were written, False if the store had them already.

    Raises
    ------
    InputError
        As by `capture_activations`, or if a layer holds NaN or infinities.
    KeyExistsError
        If the store holds other rows for this model and step and `overwrite` is false. The message
        says what has changed.
    MissingExtraError
        If PyTorch is not installed.
    """
    require_torch()
    if not isinstance(store, Store):
        store = create_store(store, exist_ok=True)
    if not isinstance(probe, Probe):
        probe = Probe(probe)
    check_choices(pool, side)
    model = unwrapped(model)
    key = capture_key(
        model,
        probe,
        layers=layers,
        pool=pool,
        side=side,
        masks=masks,
        batch_axis=batch_axis,
        check_rows=check_rows,
        factors=factors,
    )
    changed = _changed(store, model_name, step, key, overwrite=overwrite)
    if changed is not None and not changed:
        return False
    if changed and not overwrite:
        raise KeyExistsError(
            f"{store.path} holds model {model_name!r} at step {step} from other "
            f"{', '.join(changed)}; overwrite=True (--overwrite) replaces it"
        )
    root = store.path

    def on_disk(shape: tuple[int, ...], dtype: type[np.float32] | type[np.float64]) -> Values:
        with (
            write_errors(root, "rows cannot be collected here"),
            tempfile.TemporaryFile(dir=root) as file,  # the mapping keeps it until it is let go
        ):
            # Else a disk that becomes full would end the process by SIGBUS.
            os.posix_fallocate(file.fileno(), 0, dtype().itemsize * math.prod(shape))
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)

    captured = captured_layers(
        model,
        probe,
        layers,
        pool=pool,
        side=side,
        masks=masks,
        batch_axis=batch_axis,
        batch_size=batch_size,
        check_rows=check_rows,
        allocate=on_disk,
    )
    store.write(
        model=model_name,
        step=step,
        layers={layer: rows.whole() for layer, rows in captured.items()},
        example_ids=None if probe.positional_ids else probe.ids,
        example_columns=probe.columns,
        factors=factors,
        provenance={"capture": key, "source": dict(source or {})},
        layer_attributes={
            layer: {"pooling": rows.reading.pool, "io": side} for layer, rows in captured.items()
        },
        overwrite=overwrite,
    )
    return True


def _changed(
    store: Store, model_name: str, step: int, key: dict[str, Any], *, overwrite: bool
) -> list[str] | None:
    """Which parts of the key differ from those of the rows there; None if there are no rows."""
    try:
        return changed_parts(store.provenance(model_name, step).get("capture"), key)
    except UnknownKeyError:
        return None
    except StoreError:  # a damaged file
        if not overwrite:
            raise
        return list(key)
