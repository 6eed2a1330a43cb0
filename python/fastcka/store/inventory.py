"""The contents of a store according to the headers of its files; no values are read."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

from fastcka.errors import StoreError, UnknownKeyError
from fastcka.near_misses import near_misses
from fastcka.out_of_memory import named_shortage
from fastcka.store.file.format import FileHeader, step_path
from fastcka.store.file.jsontext import factor_difference
from fastcka.store.file.key import Key, LayerInfo
from fastcka.store.file.opening import open_step
from fastcka.store.headers import HeaderCache, UnreadableFile, unknown_layer
from fastcka.store.listing import step_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Inventory:
    """The representations of a store without their values.

    Attributes
    ----------
    path
        The store's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._headers = HeaderCache(path)

    def keys(self) -> list[Key]:
        """Return the keys of all representations, by model, step and position of the layer.

        Raises
        ------
        StoreError
            If a file is damaged. `verify` lists all damaged files; `inventory` skips them.
        """
        keys, unreadable = self.inventory()
        if unreadable:
            raise unreadable[0].error
        return keys

    @named_shortage("reading the headers of a store")
    def inventory(self) -> tuple[list[Key], list[UnreadableFile]]:
        """Return the keys of all representations in readable files, and the unreadable files."""
        headers, unreadable = self._headers.scan()
        keys = [
            Key(header.model, header.step, layer.name)
            for header in headers
            for layer in header.layers
        ]
        return keys, unreadable

    def models(self) -> list[str]:
        """Return the names of all models, sorted."""
        return list(dict.fromkeys(key.model for key in self.keys()))

    def steps(self, model: str) -> list[int]:
        """Return the steps of a model, in increasing order."""
        headers, errors = self._of_model(model)
        if errors:
            raise errors[0]
        return [header.step for header in headers]

    def factors(self, model: str) -> dict[str, Any]:
        """Return the factors of a model: name -> scalar or list of scalars.

        The factors are the same at all steps of a model, so one readable file is enough.

        Raises
        ------
        StoreError
            If the model's files contain different factors, or none can be read.
        """
        headers, errors = self._of_model(model)
        if not headers:
            raise errors[0]
        first, *others = headers
        for header in others:
            difference = factor_difference(first.factors, header.factors)
            if difference is not None:
                name, one, other = difference
                raise StoreError(
                    f"{self.path}: model {model!r}: factor {name!r} is {one} at step "
                    f"{first.step} and {other} at step {header.step}"
                )
        return copy.deepcopy(first.factors)

    def provenance(self, model: str, step: int) -> dict[str, Any]:
        """Return the provenance that was written with a model's step."""
        return copy.deepcopy(self._headers.of_file(self._existing(model, step)).provenance)

    @named_shortage("reading the headers of a store")
    def info(self, key: Key) -> LayerInfo:
        """Return shape, dtype, digest and file of a representation without reading its values."""
        path = self._existing(key.model, key.step)
        header = self._headers.of_file(path)
        for layer in header.layers:
            if layer.name == key.layer:
                return LayerInfo(
                    Key(*key),
                    header.n_examples,
                    header.examples_digest,
                    layer.n_features,
                    layer.dtype,
                    layer.digest,
                    path,
                    header.positional_ids,
                    layer.pooling,
                    layer.io,
                )
        raise unknown_layer(key, [layer.name for layer in header.layers])

    def examples_fingerprint(self, key: Key, columns: Sequence[str]) -> str:
        """Return a digest of the examples' ids and of some columns, without decoding them.

        Two digests are equal only if the ids, their order and the values in ``columns`` are equal.
        A missing column counts as a value.
        """
        path = self._existing(key.model, key.step)
        ids = self._headers.of_file(path).examples_digest
        if not columns:
            return ids
        with open_step(path) as reader:
            return f"{ids}-{reader.examples.columns_digest(columns)}"

    def _of_model(self, model: str) -> tuple[list[FileHeader], list[StoreError]]:
        headers, errors = self._headers.of_model(model)
        if not headers and not errors:
            raise self._unknown_model(model)
        return headers, errors

    def _existing(self, model: str, step: int) -> Path:
        path = step_path(self.path, model, step)
        if os.path.lexists(path):
            return path
        steps = [file.step for file in step_files(self.path, model)]
        if not steps:
            raise self._unknown_model(model)
        nearest = sorted(sorted(steps, key=lambda other: abs(other - step))[:8])
        raise UnknownKeyError(
            f"{self.path}: model {model!r} has no step {step}; the nearest of its {len(steps)} "
            f"steps are {nearest}"
        )

    def _unknown_model(self, model: str) -> UnknownKeyError:
        models = list(dict.fromkeys(key.model for key in self.inventory()[0]))
        return UnknownKeyError(
            f"{self.path}: no model {model!r}{near_misses(model, models, heading='it has')}"
        )
