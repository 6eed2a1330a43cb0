"""Reading the example ids and columns of one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from h5py import h5t

from fastcka.digests import new_digest
from fastcka.errors import CorruptFileError
from fastcka.store.file.checksums import Description
from fastcka.store.file.columns import MAX_TEXT_BYTES, decoded
from fastcka.store.file.format import POSITIONAL, is_column_name
from fastcka.store.file.ids import position_names
from fastcka.store.file.key import Examples
from fastcka.store.hdf5 import safety as safe
from fastcka.store.hdf5 import storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py
    from numpy.typing import NDArray

    from fastcka.store.file.datasets import Datasets

_COLUMN_TYPES: Final = {
    "int64": h5t.STD_I64LE,
    "float64": h5t.IEEE_F64LE,
    "bool": h5t.STD_U8LE,
}


class ExampleReader:
    """The group ``/examples`` of an open file.

    Attributes
    ----------
    n_examples
        Number of ids, and of rows in all other datasets of the examples and layers.
    """

    def __init__(self, group: h5py.Group, datasets: Datasets) -> None:
        self._path = datasets.path
        self._group = group
        self._datasets = datasets
        shape = storage.simple_shape(self._path, safe.dataset(self._path, group, "id"))
        if len(shape) != 1 or shape[0] < 1:
            raise CorruptFileError(f"{self._path}: /examples/id: expected shape (n,), got {shape}")
        self.n_examples = shape[0]

    def column_names(self) -> list[str]:
        """Return the names of the columns without the ids."""
        names = safe.member_names(self._path, self._group)
        columns = [name for name in names if name != "id"]
        for name in columns:
            if not is_column_name(name):
                raise CorruptFileError(
                    f"{self._path}: /examples: expected names of columns, got {name!r}"
                )
        return columns

    def column(self, name: str) -> tuple[h5py.Dataset, Description]:
        """Return a column and its description after checking its dataset against the format."""
        data = safe.dataset(self._path, self._group, name)
        where = f"{self._path}: {data.name}"
        shape = storage.simple_shape(self._path, data)
        if shape != (self.n_examples,):
            raise CorruptFileError(f"{where}: expected shape ({self.n_examples},), got {shape}")
        logical = safe.text_attribute(self._path, data, "logical_dtype")
        with safe.named_errors(self._path, data):
            kind = data.id.get_type()
            if isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
                dtype = f"S{kind.get_size()}" if kind.get_size() <= MAX_TEXT_BYTES else None
            else:
                dtype = next((n for n, known in _COLUMN_TYPES.items() if kind == known), None)
            if dtype is None or logical != ("bool" if dtype == "bool" else None):
                raise CorruptFileError(
                    f"{where}: expected text of fixed length, int64, float64, or uint8 with "
                    f"logical_dtype 'bool'; got a {type(kind).__name__} of {kind.get_size()} bytes "
                    f"with logical_dtype {logical!r}"
                )
        self._datasets.offsets(data)
        marked = self._marked(data) if name == "id" else None
        attributes = {} if marked is None else {POSITIONAL: marked}
        described = Description(f"/examples/{name}", dtype, shape, int(data.chunks[0]), attributes)
        self._datasets.checksums(data, described)
        return data, described

    def ids(self) -> tuple[NDArray[np.str_], bool]:
        """Return the ids, and whether they are only row positions.

        If the file does not record whether the writer gave the ids, "0" to "n-1" count as
        positions: an error with a remedy is better than a wrong result.
        """
        data, described = self.column("id")
        ids = self._text(data, described)
        where = f"{self._path}: /examples/id"
        if len(set(ids.tolist())) != len(ids):
            raise CorruptFileError(f"{where}: expected unique ids, got repeated ones")
        marked = described.attributes.get(POSITIONAL)
        name_positions = ids.tolist() == position_names(len(ids))
        if marked == 1 and not name_positions:
            raise CorruptFileError(
                f"{where}: ids are marked as positions, but are not '0' to '{len(ids) - 1}'"
            )
        return ids, name_positions and marked != 0

    def examples(self) -> Examples:
        """Return the ids and columns of the examples."""
        ids, positional = self.ids()
        columns: dict[str, NDArray[Any]] = {}
        for name in self.column_names():
            data, described = self.column(name)
            if described.dtype.startswith("S"):
                columns[name] = self._text(data, described)
                continue
            values = self._datasets.values(data, described)
            boolean = described.dtype == "bool"
            if boolean and values.max() > 1:
                raise CorruptFileError(
                    f"{self._path}: {data.name}: expected 0 and 1 as booleans, got {values.max()}"
                )
            columns[name] = values.astype(np.bool_) if boolean else values
        return Examples(ids, columns, positional)

    def columns_digest(self, names: Sequence[str]) -> str:
        """Return a digest of stored columns; it also contains the names of missing columns."""
        present = self.column_names()
        digest = new_digest()
        for name in names:
            about = [name, "absent"]
            if name in present:
                data, described = self.column(name)
                values = self._datasets.values(data, described)
                kind = "text" if described.dtype.startswith("S") else described.dtype
                about = [name, kind, values.dtype.str]
                digest.update(values.tobytes())
            digest.update(repr(about).encode())
        return digest.hexdigest()

    def _marked(self, data: h5py.Dataset) -> int | None:
        marked = safe.integer_attribute(self._path, data, POSITIONAL)
        if marked not in (None, 0, 1):
            raise CorruptFileError(
                f"{self._path}: /examples/id: attribute {POSITIONAL!r}: expected 0 or 1, got "
                f"{marked}"
            )
        return marked

    def _text(self, data: h5py.Dataset, described: Description) -> NDArray[np.str_]:
        if not described.dtype.startswith("S"):
            raise CorruptFileError(
                f"{self._path}: {data.name}: expected text, got {described.dtype}"
            )
        values = self._datasets.values(data, described)
        with safe.named_errors(self._path, data):
            return decoded(values)
