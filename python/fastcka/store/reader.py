"""Reading one file of a store, checking everything it says before believing it."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from h5py import h5t, h5z

from fastcka.errors import CorruptFileError, InputError, UnsafeFileError
from fastcka.store import hdf5_safety as safe
from fastcka.store.chunks import LayerChunks
from fastcka.store.columns import MAX_TEXT_BYTES, decoded, ids_digest
from fastcka.store.dtypes import STORED_DTYPES, non_finite
from fastcka.store.format import (
    DIGEST_BYTES,
    FORMAT,
    LAYER_ATTRIBUTES,
    POSITIONAL,
    FileHeader,
    LayerHeader,
    check_version,
    is_column_name,
    safe_id,
    step_of_name,
)
from fastcka.store.ids import position_names
from fastcka.store.jsontext import checked_factors, parse_object
from fastcka.store.key import Examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_FLETCHER32_BYTES: Final = 4  # a checksum follows each chunk
_LAYER_TYPES: Final = {
    "float16": h5t.IEEE_F16LE,
    "bfloat16": h5t.STD_U16LE,
    "float32": h5t.IEEE_F32LE,
    "float64": h5t.IEEE_F64LE,
}
_COLUMN_TYPES: Final = {
    "int64": h5t.STD_I64LE,
    "float64": h5t.IEEE_F64LE,
    "bool": h5t.STD_U8LE,
}


class StepReader:
    """An open file of a store whose root attributes have been checked.

    Attributes
    ----------
    path
        The file.
    file
        Its descriptor, which lives as long as the reader.
    model, step
        What its root says.
    n_examples
        Length of the example ids, and so of everything else in the file.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._root = file
        self._check_format()
        self.model, self.step = self._identity()
        self.file = safe.descriptor(path, file)
        self._chunks: dict[int, LayerChunks] = {}
        self._examples = safe.subgroup(path, file, "examples")
        self._layers = safe.subgroup(path, file, "layers")
        ids = safe.dataset(path, self._examples, "id")
        shape = safe.simple_shape(path, ids)
        if len(shape) != 1 or shape[0] < 1:
            raise CorruptFileError(f"{path}: /examples/id: expected shape (n,), got {shape}")
        self.n_examples = shape[0]

    @cached_property
    def factors(self) -> dict[str, Any]:
        """What the root says of the model's factors."""
        try:
            return checked_factors(self._json("factors"))
        except InputError as error:
            raise CorruptFileError(f"{self.path}: {error}") from error

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What the root says of where the representations come from."""
        return self._json("provenance")

    def header(self) -> FileHeader:
        """Return all that the file says but the values; checks ids, columns and layers."""
        columns = self._column_names()
        for name in columns:
            self._column(name)
        ids, positional = self._ids()
        layers = tuple(self.layer(position) for position in range(self._count_layers()))
        if len({layer.name for layer in layers}) != len(layers):
            raise CorruptFileError(f"{self.path}: /layers: two layers of one name")
        return FileHeader(
            self.model,
            self.step,
            self.factors,
            self.provenance,
            self.n_examples,
            ids_digest(ids.tolist()),
            positional,
            tuple(columns),
            layers,
        )

    def layer(self, position: int) -> LayerHeader:
        """Return what the file says of one layer, once it is what the format allows."""
        chunks = self.chunks(position)
        group = self._layer_group(position)
        name = self._text(group, "name")
        digest = self._text(group, "digest")
        if len(digest) != 2 * DIGEST_BYTES or set(digest) - set("0123456789abcdef"):
            raise CorruptFileError(f"{self.path}: {group.name}: digest: got {digest[:80]!r}")
        pooling, io = (safe.text_attribute(self.path, group, key) for key in LAYER_ATTRIBUTES)
        return LayerHeader(
            name,
            chunks.n_features,
            chunks.dtype,
            digest,
            chunks.rows,
            tuple(chunks.offsets.tolist()),
            pooling,
            io,
        )

    def position(self, layer: str, hint: int = 0) -> int | None:
        """Return the position of a layer, looked for at the hint first; None if it has none."""
        count = self._count_layers()
        order: list[int] = [hint, *range(count)] if hint < count else list(range(count))
        for position in order:
            if self._text(self._layer_group(position), "name") == layer:
                return position
        return None

    def layer_names(self) -> list[str]:
        """Return the names of the layers in their order."""
        return [
            self._text(self._layer_group(position), "name")
            for position in range(self._count_layers())
        ]

    def chunks(self, position: int) -> LayerChunks:
        """Return where a layer's values lie, once its dataset is what the format allows."""
        if position not in self._chunks:
            self._chunks[position] = self._checked_chunks(position)
        return self._chunks[position]

    def examples(self) -> Examples:
        """Return the ids and columns of the examples."""
        ids, positional = self._ids()
        columns: dict[str, NDArray[Any]] = {}
        for name in self._column_names():
            data, kind = self._column(name)
            if kind == "text":
                columns[name] = self._read_text(name)
                continue
            values = safe.read_all(self.path, data)
            if kind == "bool" and values.max() > 1:
                raise CorruptFileError(f"{self.path}: {data.name}: expected 0 and 1 as booleans")
            columns[name] = values.astype(np.bool_) if kind == "bool" else values
        return Examples(ids, columns, positional)

    def columns_digest(self, names: Sequence[str]) -> str:
        """Return a digest of columns as they are stored; those that are not there are named."""
        present = self._column_names()
        digest = hashlib.blake2b(digest_size=16)
        for name in names:
            said = [name, "absent"]
            if name in present:
                data, kind = self._column(name)
                values = safe.read_all(self.path, data)
                said = [name, kind, values.dtype.str]
                digest.update(values.tobytes())
            digest.update(repr(said).encode())
        return digest.hexdigest()

    def check_values(self, position: int, layer: LayerHeader) -> None:
        """Read a layer in full and hold it against its digest.

        Raises
        ------
        CorruptFileError
            If the digest differs, or a value is NaN or infinite.
        """
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        finite = True
        chunks = self.chunks(position)
        n = chunks.n_examples
        buffer = np.empty((min(chunks.rows, n), chunks.n_features), STORED_DTYPES[chunks.dtype])
        for start in range(0, n, chunks.rows):
            rows = np.arange(start, min(start + chunks.rows, n))
            block = buffer[: len(rows)]
            chunks.read(self.path, self.file, block, rows)
            digest.update(block.data)
            finite = finite and not non_finite(block, layer.dtype).any()
        where = f"{self.path}: /layers/{position}/x ({layer.name})"
        if digest.hexdigest() != layer.digest:
            raise CorruptFileError(f"{where}: the values do not have the digest beside them")
        if not finite:
            raise CorruptFileError(f"{where}: NaN or infinite values")

    def _check_format(self) -> None:
        path = self.path
        if self._root.userblock_size:
            raise CorruptFileError(f"{path}: a user block stands before the HDF5 data")
        name = safe.text_attribute(path, self._root, "format")
        if name != FORMAT:
            raise CorruptFileError(f"{path}: attribute 'format': expected {FORMAT!r}, got {name!r}")
        check_version(self._text(self._root, "format_version"), str(path))
        if safe.integer_attribute(path, self._root, "complete") != 1:
            raise CorruptFileError(f"{path}: attribute 'complete' is not 1: writing was cut short")

    def _identity(self) -> tuple[str, int]:
        model = self._text(self._root, "model")
        if safe_id(model) != self.path.parent.name:
            raise CorruptFileError(
                f"{self.path}: it holds model {model!r}, whose folder is {safe_id(model)!r}"
            )
        step = safe.integer_attribute(self.path, self._root, "step")
        if step is None or step != step_of_name(self.path.name):
            raise CorruptFileError(f"{self.path}: it holds step {step}, which is not its file name")
        return model, step

    def _layer_group(self, position: int) -> h5py.Group:
        return safe.subgroup(self.path, self._layers, str(position))

    def _checked_chunks(self, position: int) -> LayerChunks:
        data = safe.dataset(self.path, self._layer_group(position), "x")
        where = f"{self.path}: {data.name}"
        shape = safe.simple_shape(self.path, data)
        if len(shape) != 2 or shape[1] < 1:
            raise CorruptFileError(f"{where}: expected shape (n, d), got {shape}")
        if shape[0] != self.n_examples:
            raise CorruptFileError(
                f"{where}: {shape[0]} rows, but /examples/id has {self.n_examples}"
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
        offsets = self._checked_offsets(data)
        return LayerChunks(data.name, *shape, dtype, int(data.chunks[0]), offsets)

    def _count_layers(self) -> int:
        names = safe.member_names(self.path, self._layers)
        if not names or set(names) != {str(i) for i in range(len(names))}:
            raise CorruptFileError(
                f"{self.path}: /layers: expected groups '0', '1', ..., got {sorted(names)[:8]}"
            )
        return len(names)

    def _column_names(self) -> list[str]:
        names = safe.member_names(self.path, self._examples)
        columns = [name for name in names if name != "id"]
        for name in columns:
            if not is_column_name(name):
                raise CorruptFileError(f"{self.path}: /examples: {name!r} cannot name a column")
        return columns

    def _column(self, name: str) -> tuple[h5py.Dataset, str]:
        """Return a column and its kind: "text", "int64", "float64" or "bool"."""
        data = safe.dataset(self.path, self._examples, name)
        where = f"{self.path}: {data.name}"
        shape = safe.simple_shape(self.path, data)
        if shape != (self.n_examples,):
            raise CorruptFileError(f"{where}: expected shape ({self.n_examples},), got {shape}")
        logical = safe.text_attribute(self.path, data, "logical_dtype")
        with safe.named_errors(self.path, data):
            kind = data.id.get_type()
            if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
                found = "text" if kind.get_size() <= MAX_TEXT_BYTES else None
            else:
                found = next((n for n, known in _COLUMN_TYPES.items() if kind == known), None)
            if found is None or logical != ("bool" if found == "bool" else None):
                raise CorruptFileError(
                    f"{where}: expected text of fixed length, int64, float64, or uint8 with "
                    f"logical_dtype 'bool'; got a {type(kind).__name__} of {kind.get_size()} bytes "
                    f"with logical_dtype {logical!r}"
                )
        self._checked_offsets(data)
        return data, found

    def _ids(self) -> tuple[NDArray[np.str_], bool]:
        """Return the ids, and whether they only name positions.

        Ids "0" to "n-1" count as positions if the file does not record whether they were given: a
        wrong value is worse than an error with a remedy.
        """
        ids = self._read_text("id")
        where = f"{self.path}: /examples/id"
        if len(set(ids.tolist())) != len(ids):
            raise CorruptFileError(f"{where}: ids are not unique")
        data = safe.dataset(self.path, self._examples, "id")
        marked = safe.integer_attribute(self.path, data, POSITIONAL)
        if marked not in (None, 0, 1):
            raise CorruptFileError(f"{where}: attribute {POSITIONAL!r}: expected 0 or 1")
        name_positions = ids.tolist() == position_names(len(ids))
        if marked == 1 and not name_positions:
            raise CorruptFileError(f"{where}: marked as positions, but not '0' to '{len(ids) - 1}'")
        return ids, name_positions and marked != 0

    def _read_text(self, name: str) -> NDArray[np.str_]:
        data, kind = self._column(name)
        if kind != "text":
            raise CorruptFileError(f"{self.path}: {data.name}: expected text, got {kind}")
        values = safe.read_all(self.path, data)
        with safe.named_errors(self.path, data):
            return decoded(values)

    def _checked_offsets(self, data: h5py.Dataset) -> NDArray[np.int64]:
        """Return where the chunks lie, if all do in the file and as the format says."""
        where = f"{self.path}: {data.name}"
        if safe.layout_name(self.path, data) != "chunked":
            raise CorruptFileError(f"{where}: expected chunked storage")
        filters = safe.filter_codes(self.path, data)
        if filters != [h5z.FILTER_FLETCHER32]:
            raise CorruptFileError(f"{where}: expected fletcher32 alone, got filters {filters}")
        with safe.named_errors(self.path, data):
            if data.maxshape != data.shape:
                raise CorruptFileError(f"{where}: expected a fixed shape, got {data.maxshape}")
            count, size = safe.chunk_grid(data)
            size += _FLETCHER32_BYTES
            declared = count * size
            available = os.fstat(self.file).st_size
            # In this order: a declared size beyond the file must not make HDF5 walk an index.
            if declared > available:
                raise UnsafeFileError(
                    f"{where}: {data.shape} declared, {declared} bytes in a file of {available}"
                )
        return safe.chunk_offsets(self.path, data, size, available)

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


@contextmanager
def open_step(path: Path) -> Iterator[StepReader]:
    """Open a file of a store for reading.

    Raises
    ------
    StoreError
        If it is not there, not safe to read, damaged, or of another format or version. Of a
        damaged file the message says how it is mended.
    """
    known: list[StepReader] = []

    def which() -> str:
        if not known:
            return f"the model's step {path.stem}"
        return f"model {known[0].model!r}, step {known[0].step},"

    with remedy(which), safe.open_hdf5(path) as file:
        known.append(StepReader(path, file))
        yield known[0]


@contextmanager
def remedy(which: Callable[[], str]) -> Iterator[None]:
    """Say of a damaged file how it is mended, by the name of what it holds."""
    try:
        yield
    except CorruptFileError as error:
        raise CorruptFileError(
            f"{error}; write {which()} again with overwrite=True, or delete the file"
        ) from error
