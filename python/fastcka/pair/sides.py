"""One side of a pair: the steps of a model at a layer, read from a checkpoint tree or a store."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastcka.errors import ImportRefusedError, InputError
from fastcka.near_misses import near_misses
from fastcka.store import Examples, Key, Store, open_store
from fastcka.store.dtypes import float32_of_bfloat16
from fastcka.store.format import MARKER
from fastcka.store.importing import CityTables, checkpoint_folders, layer_of, read_checkpoint
from fastcka.store.importing.checkpoint import incomplete
from fastcka.store.importing.example_table import POSITION, ExampleTable
from fastcka.store.source import layer_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fastcka.pair.config import PairSide


@dataclass(frozen=True, slots=True, eq=False)
class SideStep:
    """A model's layer at a step.

    Attributes
    ----------
    values
        (n_examples, n_features), finite.
    examples
        Their ids and columns.
    id_field
        What the ids were taken from; "position" if there are none. None where it is not known.
    """

    values: NDArray[Any]
    examples: Examples
    id_field: str | None


class Side(Protocol):
    """A model at one layer.

    Attributes
    ----------
    steps
        The steps that can be read, in increasing order; never empty.
    left_out
        What else stands there and cannot be read, a sentence each.
    """

    steps: list[int]
    left_out: list[str]

    def read(self, step: int) -> SideStep:
        """Read one of the steps."""
        ...


@contextmanager
def opened_side(side: PairSide, layer: int | str) -> Iterator[Side]:
    """Open a side's checkpoint folder or store.

    Raises
    ------
    InputError, StoreError
        If there is nothing to read; the message names the folder and what it should hold.
    """
    if is_store(side.repr_dir):
        with open_store(side.repr_dir) as store:
            yield StoreSide(store, side.name, str(layer))
    else:
        yield TreeSide(side.repr_dir, layer)


def is_store(folder: Path) -> bool:
    """Whether a folder is a store rather than one of checkpoints."""
    return (folder / MARKER).is_file()


class TreeSide:
    """The ``checkpoint-<step>`` in a folder ``.../<task>_..._l<layer>/representations``."""

    def __init__(self, folder: Path, layer: int | str) -> None:
        if not isinstance(layer, int):
            raise InputError(f"layer: expected the number of a layer of {folder}, came {layer!r}")
        named = layer_of(folder.resolve().parent.name)
        if named not in (None, layer):
            raise InputError(
                f"{folder}: the folder is of layer {named}, the configuration says layer: {layer}"
            )
        self._layer = layer
        self._tables = CityTables()
        self._examples: tuple[ExampleTable, Examples] | None = None
        try:
            folders = checkpoint_folders(folder)
        except OSError as error:
            raise InputError(
                f"repr_dir: {folder} cannot be read: {error.strerror or error}"
            ) from error
        lacking = {step: incomplete(path) for step, path in folders.items()}
        self._folders = {step: path for step, path in folders.items() if lacking[step] is None}
        self.steps = list(self._folders)
        self.left_out = [f"incomplete checkpoint: {why}" for why in lacking.values() if why]
        if (folder / "final").exists():
            self.left_out.append(f"{folder / 'final'}: not read: it is no checkpoint-<step>")
        if not self.steps:
            inner = folder / "representations"
            hint = f"; did you mean {inner}?" if inner.is_dir() else ""
            said = "; ".join(["holds no complete checkpoint-<step>", *self.left_out[:3]])
            raise InputError(f"repr_dir: {folder} {said}{hint}")

    def read(self, step: int) -> SideStep:
        """Read one of the steps."""
        folder = self._folders[step]
        found = read_checkpoint(folder, layer=self._layer, step=step, tables=self._tables)
        try:
            source = layer_source(str(self._layer), found.values)
            values = source.block(0, source.n_examples)
        except InputError as error:
            raise ImportRefusedError("not a representation", f"{folder}: {error}") from None
        if source.dtype == "bfloat16":
            values = float32_of_bfloat16(values)
        return SideStep(values, self._of_table(found.table), found.table.id_field)

    def _of_table(self, table: ExampleTable) -> Examples:
        # The same object for the same table, so that the pair is aligned once for all its steps.
        if self._examples is None or self._examples[0] is not table:
            columns = {name: np.array(own, dtype=object) for name, own in table.columns.items()}
            ids = np.array(table.ids)
            self._examples = table, Examples(ids, columns, table.id_field == POSITION)
        return self._examples[1]


class StoreSide:
    """A model's layer in a store."""

    def __init__(self, store: Store, model: str, layer: str) -> None:
        keys, unreadable = store.inventory()
        self._store = store
        self._model = model
        self._layer = layer
        self.left_out = [f"unreadable file: {own.error}" for own in unreadable if own.is_of(model)]
        layers = {key.layer for key in keys if key.model == model}
        self.steps = sorted(key.step for key in keys if (key.model, key.layer) == (model, layer))
        if not layers:
            models = list(dict.fromkeys(key.model for key in keys))
            hint = near_misses(model, models, heading="it has")
            raise InputError(f"{store.path}: no model {model!r}{hint}")
        if not self.steps:
            hint = near_misses(layer, sorted(layers), heading="it has")
            raise InputError(f"{store.path}: model {model!r} has no layer {layer!r}{hint}")

    def read(self, step: int) -> SideStep:
        """Read one of the steps."""
        key = Key(self._model, step, self._layer)
        return SideStep(self._store.read(key), self._store.examples(key), None)
