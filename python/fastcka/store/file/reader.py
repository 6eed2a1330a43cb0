"""Reading one file of a store; all its contents are checked before they are used."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from h5py import h5t

from fastcka.digests import new_digest
from fastcka.errors import CorruptFileError, InputError
from fastcka.store.file.checksums import SEAL, Description, Table, chunk_checksums, seal_of
from fastcka.store.file.chunks import LayerChunks
from fastcka.store.file.columns import ids_digest
from fastcka.store.file.datasets import Datasets
from fastcka.store.file.dtypes import STORED_DTYPES, non_finite
from fastcka.store.file.example_reader import ExampleReader
from fastcka.store.file.format import (
    DIGEST_BYTES,
    FORMAT,
    LAYER_ATTRIBUTES,
    FileHeader,
    LayerHeader,
    checked_version,
    safe_id,
    step_of_name,
)
from fastcka.store.file.jsontext import checked_factors, parse_object
from fastcka.store.hdf5 import safety as safe
from fastcka.store.hdf5 import storage

if TYPE_CHECKING:
    from pathlib import Path


SEALED_SINCE: Final = (1, 1)
"""Files of this format version and later have checksums of all their contents."""
_LAYER_TYPES: Final = {
    "float16": h5t.IEEE_F16LE,
    "bfloat16": h5t.STD_U16LE,
    "float32": h5t.IEEE_F32LE,
    "float64": h5t.IEEE_F64LE,
}


class StepReader:
    """An open file of a store, with checked root attributes and, from format 1.1, a checked seal.

    Attributes
    ----------
    path
        The file.
    file
        The file's descriptor, valid while the file is open.
    version
        Major and minor number of the file's format version.
    model, step
        Model and step according to the root attributes.
    examples
        Reader of the ids and columns of the examples.
    datasets
        The file's datasets and their checksums.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._root = file
        self.version = self._checked_format()
        self.model, self.step = self._identity()
        self.file = safe.descriptor(path, file)
        self._chunks: dict[int, LayerChunks] = {}
        self.datasets = Datasets(path, self.file)
        self.examples = ExampleReader(safe.subgroup(path, file, "examples"), self.datasets)
        self._layers = safe.subgroup(path, file, "layers")
        if self.version >= SEALED_SINCE:
            self._check_seal()

    @cached_property
    def factors(self) -> dict[str, Any]:
        """The model's factors according to the root attributes."""
        try:
            return checked_factors(self._json("factors"))
        except InputError as error:
            raise CorruptFileError(f"{self.path}: {error}") from error

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The origin of the representations according to the root attributes."""
        return self._json("provenance")

    def header(self) -> FileHeader:
        """Return the header of the file after checking ids, columns and layers."""
        columns = self.examples.column_names()
        for name in columns:
            self.examples.column(name)
        ids, positional = self.examples.ids()
        layers = tuple(self.layer(position) for position in range(self.count_layers()))
        if len({layer.name for layer in layers}) != len(layers):
            raise CorruptFileError(f"{self.path}: /layers: two layers have the same name")
        return FileHeader(
            self.model,
            self.step,
            self.factors,
            self.provenance,
            self.examples.n_examples,
            ids_digest(ids.tolist()),
            positional,
            tuple(columns),
            layers,
        )

    def layer(self, position: int) -> LayerHeader:
        """Return the header of a layer after checking it against the format."""
        chunks = self.chunks(position)
        group = self._layer_group(position)
        name = self._text(group, "name")
        digest = self._text(group, "digest")
        if len(digest) != 2 * DIGEST_BYTES or set(digest) - set("0123456789abcdef"):
            raise CorruptFileError(
                f"{self.path}: {group.name}: attribute 'digest': expected {2 * DIGEST_BYTES} "
                f"hexadecimal digits, got {digest[:80]!r}"
            )
        pooling, io = (safe.text_attribute(self.path, group, key) for key in LAYER_ATTRIBUTES)
        return LayerHeader(
            name,
            chunks.n_features,
            chunks.dtype,
            digest,
            chunks.rows,
            tuple(chunks.offsets.tolist()),
            None if chunks.checksums is None else tuple(chunks.checksums.tolist()),
            pooling,
            io,
        )

    def position(self, layer: str, hint: int = 0) -> int | None:
        """Return the position of a layer, or None if it is missing; try ``hint`` first."""
        count = self.count_layers()
        order: list[int] = [hint, *range(count)] if hint < count else list(range(count))
        for position in order:
            if self._text(self._layer_group(position), "name") == layer:
                return position
        return None

    def layer_names(self) -> list[str]:
        """Return the names of the layers in their order."""
        return [
            self._text(self._layer_group(position), "name")
            for position in range(self.count_layers())
        ]

    def chunks(self, position: int) -> LayerChunks:
        """Return the chunks of a layer after checking its dataset against the format."""
        if position not in self._chunks:
            self._chunks[position] = self._checked_chunks(position)
        return self._chunks[position]

    def check_values(self, position: int, layer: LayerHeader) -> list[int]:
        """Read a layer in full, compare it with its digest, and return its chunks' checksums.

        Raises
        ------
        CorruptFileError
            If the digest does not match, or a value is NaN or infinite.
        """
        digest = new_digest(DIGEST_BYTES)
        finite = True
        checksums: list[int] = []
        chunks = self.chunks(position)
        n = chunks.n_examples
        buffer = np.empty((min(chunks.rows, n), chunks.n_features), STORED_DTYPES[chunks.dtype])
        for start in range(0, n, chunks.rows):
            rows = np.arange(start, min(start + chunks.rows, n))
            values = buffer[: len(rows)]
            chunks.read(self.path, self.file, values, rows)
            digest.update(values.data)
            checksums += chunk_checksums(chunks.name, values, chunks.rows, start).tolist()
            finite = finite and not non_finite(values, layer.dtype).any()
        where = f"{self.path}: /layers/{position}/x ({layer.name})"
        if digest.hexdigest() != layer.digest:
            raise CorruptFileError(f"{where}: damaged: the values do not match their digest")
        if not finite:
            raise CorruptFileError(f"{where}: expected finite values, got NaN or infinities")
        return checksums

    def _checked_format(self) -> tuple[int, int]:
        path = self.path
        if self._root.userblock_size:
            raise CorruptFileError(
                f"{path}: expected HDF5 data from byte 0, got a user block of "
                f"{self._root.userblock_size} bytes"
            )
        name = safe.text_attribute(path, self._root, "format")
        if name != FORMAT:
            raise CorruptFileError(f"{path}: attribute 'format': expected {FORMAT!r}, got {name!r}")
        version = checked_version(self._text(self._root, "format_version"), str(path))
        if safe.integer_attribute(path, self._root, "complete") != 1:
            raise CorruptFileError(
                f"{path}: attribute 'complete': expected 1; the write was interrupted"
            )
        return version

    def _check_seal(self) -> None:
        """Check that the root's attributes and the table of checksums belong together."""
        seal = self._text(self._root, SEAL)
        table = self.datasets.read_table(self._root)
        names = self.examples.column_names()
        if seal_of(self.root_attributes(), names, self.count_layers(), table) != seal:
            raise CorruptFileError(
                f"{self.path}: damaged: the attributes and the table of checksums do not match "
                "their seal"
            )
        self.datasets.table = Table(self.path, table)

    def root_attributes(self) -> dict[str, str | int]:
        """Return the stored root attributes that the seal covers."""
        texts = ("format_version", "model", "factors", "provenance")
        return {name: self._text(self._root, name) for name in texts} | {"step": self.step}

    def _identity(self) -> tuple[str, int]:
        model = self._text(self._root, "model")
        if safe_id(model) != self.path.parent.name:
            raise CorruptFileError(
                f"{self.path}: the file contains model {model!r}, whose folder is "
                f"{safe_id(model)!r}"
            )
        step = safe.integer_attribute(self.path, self._root, "step")
        if step is None or step != step_of_name(self.path.name):
            raise CorruptFileError(
                f"{self.path}: the file contains step {step}, which does not match its name"
            )
        return model, step

    def _layer_group(self, position: int) -> h5py.Group:
        return safe.subgroup(self.path, self._layers, str(position))

    def _checked_chunks(self, position: int) -> LayerChunks:
        data = safe.dataset(self.path, self._layer_group(position), "x")
        where = f"{self.path}: {data.name}"
        shape = storage.simple_shape(self.path, data)
        if len(shape) != 2 or shape[1] < 1:
            raise CorruptFileError(f"{where}: expected shape (n, d), got {shape}")
        if shape[0] != self.examples.n_examples:
            raise CorruptFileError(
                f"{where}: {shape[0]} rows, but /examples/id has {self.examples.n_examples}"
            )
        logical = safe.text_attribute(self.path, data, "logical_dtype")
        with safe.named_errors(self.path, data):
            kind = data.id.get_type()
            dtype = next((name for name, known in _LAYER_TYPES.items() if kind == known), None)
            if dtype is None or logical != ("bfloat16" if dtype == "bfloat16" else None):
                raise CorruptFileError(
                    f"{where}: expected little-endian float16, float32, float64, or uint16 with "
                    f"logical_dtype 'bfloat16'; got {kind.dtype} with logical_dtype {logical!r}"
                )
        offsets = self.datasets.offsets(data)
        described = self.described(position, dtype, shape, int(data.chunks[0]))
        checksums = self.datasets.checksums(data, described)
        return LayerChunks(described.path, *shape, dtype, described.chunk_rows, offsets, checksums)

    def described(
        self, position: int, dtype: str, shape: tuple[int, ...], chunk_rows: int
    ) -> Description:
        """Return the description of a layer's dataset, with the attributes of its group."""
        group = self._layer_group(position)
        names = ("name", "digest", *LAYER_ATTRIBUTES)
        texts = {name: safe.text_attribute(self.path, group, name) for name in names}
        attributes = {name: text for name, text in texts.items() if text is not None}
        return Description(f"/layers/{position}/x", dtype, shape, chunk_rows, attributes)

    def count_layers(self) -> int:
        """Return the number of layers."""
        names = safe.member_names(self.path, self._layers)
        if not names or set(names) != {str(i) for i in range(len(names))}:
            raise CorruptFileError(
                f"{self.path}: /layers: expected groups '0', '1', ..., got {sorted(names)[:8]}"
            )
        return len(names)

    def _text(self, obj: h5py.Group | h5py.Dataset, name: str) -> str:
        value = safe.text_attribute(self.path, obj, name)
        if not value:
            raise CorruptFileError(f"{self.path}: {obj.name}: attribute {name!r} is missing")
        return value

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return parse_object(self._text(self._root, name))
        except ValueError as error:
            raise CorruptFileError(f"{self.path}: attribute {name!r}: {error}") from error
