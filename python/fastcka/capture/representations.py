"""Writing the representations of a network at one step to a store, unless it has them already."""

from __future__ import annotations

import math
import os
import tempfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.activations import captured_layers
from fastcka.capture.options import CaptureOptions
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

    from fastcka.capture.layer_rows import Values
    from fastcka.capture.masks import Masks
    from fastcka.capture.members import ModuleSide
    from fastcka.capture.options import BatchAxes, Pools
    from fastcka.capture.positions import RowKind

_ZEROS = 1 << 20
"""Bytes of zeros that are written at a time."""


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
    side: ModuleSide = "output",
    masks: Masks | None = None,
    batch_axis: BatchAxes = 0,
    batch_size: int = 256,
    check_rows: bool = True,
    rows: RowKind = "examples",
    factors: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> bool:
    """Run a network on the probe set and write the representations of its layers to a store.

    If the store already contains this model and step from the same weights, probe, layers, options
    and factors (see `fastcka.capture.provenance`), nothing is captured. If it contains this step
    but any of these differ, `KeyExistsError` is raised unless ``overwrite`` is True. Rows are
    collected in a temporary file in the store's folder, so memory holds one batch, however many
    examples and layers there are.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    probe : Probe, torch.Tensor or ndarray, shape (n_examples, ...)
        The inputs. Without ids, rows are named by position (see `Probe`).
    layers, pool, side, masks, batch_axis, batch_size, check_rows
        The modules, and how their activations are read: see `capture_activations`.
    rows : {"examples", "tokens", "positions"}, default "examples"
        What is a row, which is an example in the store: see `capture_rows`. Its id is the id of the
        text, ``:`` and the position, and its columns include those of `capture_rows`. Without ids
        in the probe, rows are named by position.
    store : Store or path
        A store that is open for writing, or a folder, which is created if it does not exist.
    model_name, step
        Name of the training run, and training step. With the layer, they are the key in the store.
    factors : mapping, optional
        Values that distinguish this model from others (family, seed, ...), equal at all its steps.
    source : mapping, optional
        A free description of the origin of the weights. It is stored, but ignored when deciding
        whether the store already contains these rows.
    overwrite : bool, default False
        Replace rows of this model and step that were made from different weights, probe, layers,
        options or factors.

    Returns
    -------
    bool
        True if rows were written, False if the store already contained them.

    Raises
    ------
    InputError
        As for `capture_activations`, or if a layer contains NaN or infinities.
    KeyExistsError
        If the store contains other rows for this model and step and ``overwrite`` is False. The
        message lists what has changed.
    MissingExtraError
        If PyTorch is not installed.
    """
    require_torch()
    if not isinstance(store, Store):
        store = create_store(store, exist_ok=True)
    if not isinstance(probe, Probe):
        probe = Probe(probe)
    options = CaptureOptions(layers, pool, side, masks, batch_axis, batch_size, check_rows, rows)
    model = unwrapped(model)
    key = capture_key(model, probe, options, factors)
    changed = _changed(store, model_name, step, key, overwrite=overwrite)
    if changed is not None and not changed:
        return False
    if changed and not overwrite:
        raise KeyExistsError(
            f"{store.path} already contains model {model_name!r} at step {step}, captured with "
            f"other {', '.join(changed)}; overwrite=True (--overwrite) replaces it"
        )
    root = store.path

    def on_disk(shape: tuple[int, ...], dtype: type[np.float32] | type[np.float64]) -> Values:
        with (
            write_errors(root, "rows cannot be collected here"),
            tempfile.TemporaryFile(dir=root) as file,  # the memory map keeps the closed file
        ):
            _reserve(file, dtype().itemsize * math.prod(shape))
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)

    positions = options.positions()
    captured = captured_layers(model, probe, options, positions, on_disk)
    ids: Sequence[str] | None = None if probe.positional_ids else probe.ids
    columns = probe.columns
    if positions is not None:
        ids, columns = positions.ids(probe), positions.columns(probe)
    store.write(
        model=model_name,
        step=step,
        layers={layer: layer_rows.whole() for layer, layer_rows in captured.items()},
        example_ids=ids,
        example_columns=columns,
        factors=factors,
        provenance={"capture": key, "source": dict(source or {})},
        layer_attributes={
            layer: {"pooling": layer_rows.reading.way, "io": side}
            for layer, layer_rows in captured.items()
        },
        overwrite=overwrite,
    )
    return True


def _reserve(file: IO[bytes], count: int) -> None:
    """Extend an empty file; otherwise a disk that becomes full would end the process by SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, count)
        return
    for start in range(0, count, _ZEROS):  # macOS
        file.write(bytes(min(_ZEROS, count - start)))
    file.flush()


def _changed(
    store: Store, model_name: str, step: int, key: dict[str, Any], *, overwrite: bool
) -> list[str] | None:
    """Return the parts of the key that differ from the stored ones; None if there are no rows."""
    try:
        return changed_parts(store.provenance(model_name, step).get("capture"), key)
    except UnknownKeyError:
        return None
    except StoreError:  # a damaged file
        if not overwrite:
            raise
        return list(key)
