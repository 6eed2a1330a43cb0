"""Where the two models of a pair are read from: a folder of checkpoints, or a store."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.errors import ImportRefusedError, InputError
from fastcka.near_misses import near_misses
from fastcka.store import Examples, Key, ids_digest, open_store
from fastcka.store.file.dtypes import float32_of_bfloat16
from fastcka.store.file.format import MARKER
from fastcka.store.file.layer_array import as_layer_array
from fastcka.store.importing import CityTables, checkpoint_folders, layer_of, read_checkpoint
from fastcka.store.importing.checkpoint import incomplete

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fastcka.pair.config import PairSide
    from fastcka.store import Store
    from fastcka.store.importing.checkpoint import Checkpoint
    from fastcka.sweep.planning.source import Source


@dataclass(frozen=True, slots=True)
class PairModel:
    """One of the two models, at the layer of the pair.

    Attributes
    ----------
    name, layer
        Its names in the source.
    source
        Where it is read from.
    steps
        The steps that can be read, in increasing order; never empty.
    left_out
        What else is there and cannot be read, a sentence each.
    """

    name: str
    layer: str
    source: Source
    steps: list[int]
    left_out: list[str]

    def key(self, step: int) -> Key:
        """Return the key of the model at a step."""
        return Key(self.name, step, self.layer)


@contextmanager
def opened_model(side: PairSide, layer: int | str) -> Iterator[PairModel]:
    """Open the checkpoints or the store of a model.

    Raises
    ------
    InputError, StoreError
        There is nothing to read; the message names the folder and what it should contain.
    """
    if is_store(side.repr_dir):
        with open_store(side.repr_dir) as store:
            yield _stored_model(store, side.name, str(layer))
    else:
        yield _checkpoint_model(side, layer)


def is_store(folder: Path) -> bool:
    """Whether a folder is a store rather than one of checkpoints."""
    return (folder / MARKER).is_file()


def _stored_model(store: Store, name: str, layer: str) -> PairModel:
    keys, unreadable = store.inventory()
    layers = {key.layer for key in keys if key.model == name}
    steps = sorted(key.step for key in keys if (key.model, key.layer) == (name, layer))
    if not layers:
        models = list(dict.fromkeys(key.model for key in keys))
        hint = near_misses(name, models, heading="it has")
        raise InputError(f"{store.path}: no model {name!r}{hint}")
    if not steps:
        hint = near_misses(layer, sorted(layers), heading="it has")
        raise InputError(f"{store.path}: model {name!r} has no layer {layer!r}{hint}")
    left_out = [f"unreadable file: {file.error}" for file in unreadable if file.is_of(name)]
    return PairModel(name, layer, store, steps, left_out)


def _checkpoint_model(side: PairSide, layer: int | str) -> PairModel:
    folder = side.repr_dir
    if not isinstance(layer, int):
        raise InputError(f"layer: expected the number of a layer of {folder}, got {layer!r}")
    named = layer_of(folder.resolve().parent.name)
    if named not in (None, layer):
        raise InputError(
            f"{folder}: the folder is of layer {named}, the configuration says layer: {layer}"
        )
    try:
        folders = checkpoint_folders(folder)
    except OSError as error:
        raise InputError(f"repr_dir: {folder} cannot be read: {error.strerror or error}") from error
    lacking = {step: incomplete(path) for step, path in folders.items()}
    complete = {step: path for step, path in folders.items() if lacking[step] is None}
    left_out = [f"incomplete checkpoint: {reason}" for reason in lacking.values() if reason]
    if (folder / "final").exists():
        left_out.append(f"{folder / 'final'}: not read: it is no checkpoint-<step>")
    if not complete:
        inner = folder / "representations"
        hint = f"; did you mean {inner}?" if inner.is_dir() else ""
        reasons = "; ".join(["contains no complete checkpoint-<step>", *left_out[:3]])
        raise InputError(f"repr_dir: {folder} {reasons}{hint}")
    return PairModel(side.name, str(layer), CheckpointTree(complete), list(complete), left_out)


@dataclass(frozen=True, slots=True)
class CheckpointRows:
    """What is known of the rows of a checkpoint; see `fastcka.store.LayerInfo`."""

    key: Key
    n_examples: int
    examples_digest: str
    positional_ids: bool


class CheckpointTree:
    """The checkpoints of one model at one layer as a source: step -> ``checkpoint-<step>``."""

    def __init__(self, folders: Mapping[int, Path]) -> None:
        self._folders = folders
        self._tables = CityTables()
        self._last: tuple[Key, Checkpoint] | None = None

    def info(self, key: Key) -> CheckpointRows:
        """Describe the rows of a checkpoint."""
        table = self._checkpoint(key).table
        return CheckpointRows(key, len(table.ids), ids_digest(table.ids), table.positional_ids)

    def id_field(self, key: Key) -> str | None:
        """Return the field that the ids were taken from; None if they only name positions."""
        table = self._checkpoint(key).table
        return None if table.positional_ids else table.id_field

    def examples(self, key: Key) -> Examples:
        """Return the ids and columns of a checkpoint's rows."""
        table = self._checkpoint(key).table
        columns = {name: np.array(column, dtype=object) for name, column in table.columns.items()}
        return Examples(np.array(table.ids), columns, table.positional_ids)

    def examples_fingerprint(self, key: Key, columns: Sequence[str]) -> str:
        """Return a digest: equal only for the same ids in order with the same ``columns``."""
        table = self._checkpoint(key).table
        text = repr([(name, table.columns.get(name)) for name in columns])
        return (
            f"{ids_digest(table.ids)}-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"
        )

    def read(self, key: Key, *, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Return the values of a checkpoint, (n_examples, n_features), all of them finite."""
        try:
            source = as_layer_array(key.layer, self._checkpoint(key).values)
            values = source.rows(0, source.n_examples)
        except InputError as error:
            folder = self._folders[key.step]
            raise ImportRefusedError("not a representation", f"{folder}: {error}") from None
        if source.dtype == "bfloat16":
            values = float32_of_bfloat16(values)
        return values if rows is None else values[rows]

    def _checkpoint(self, key: Key) -> Checkpoint:
        """Return a checkpoint, its values mapped from the file; the last one is remembered."""
        if self._last is None or self._last[0] != key:
            folder, layer = self._folders[key.step], int(key.layer)
            checkpoint = read_checkpoint(folder, layer=layer, step=key.step, tables=self._tables)
            self._last = key, checkpoint
        return self._last[1]
