"""Writing one file of a store so that a crash leaves the old state or the new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from h5py import h5f, h5fd, h5g, h5p

from fastcka.digests import new_digest
from fastcka.errors import StoreError, UnsyncedError, WriteError
from fastcka.files import new_file, replaced_file
from fastcka.store.file.checksums import (
    FIRST,
    SEAL,
    TABLE,
    Description,
    TableBuilder,
    chunk_checksums,
    seal_of,
)
from fastcka.store.file.dtypes import STORED_DTYPES
from fastcka.store.file.format import DIGEST_BYTES, FORMAT, FORMAT_VERSION, POSITIONAL
from fastcka.store.file.jsontext import dump_attribute
from fastcka.store.hdf5 import safety as safe
from fastcka.store.hdf5.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.store.file.layer_array import LayerArray

_CHUNK_BYTES: Final = 2 << 20  # between the 1 and 4 MiB that read fastest


@dataclass(frozen=True, slots=True)
class FileContent:
    """The content of one file; all is checked except that the values are finite."""

    model: str
    step: int
    factors: Mapping[str, Any]
    provenance: Mapping[str, Any]
    ids: NDArray[np.bytes_]
    positional_ids: bool
    columns: Mapping[str, NDArray[Any]]
    layers: Sequence[LayerArray]
    layer_attributes: Mapping[str, Mapping[str, str]]


def write_file(path: Path, content: FileContent, *, overwrite: bool) -> None:
    """Write a file under a temporary name, sync it to the disk, and rename it.

    Parameters
    ----------
    path
        Final name; its folder exists.
    content
        What to write.
    overwrite
        Replace a file of this name.

    Raises
    ------
    FileExistsError
        If the name is taken and `overwrite` is false; see `fastcka.files.new_file`.
    InputError
        If a layer holds NaN or infinities.
    StoreError
        If the file cannot be written: no space, no permission, a disk error.
    """
    # HDF5 does not survive a failed allocation either.
    chunk_bytes = max(
        chunk_rows(layer.n_examples, layer.row_bytes) * layer.row_bytes for layer in content.layers
    )
    safe.require_working_room(path, 4 * chunk_bytes)
    try:
        with (
            (replaced_file if overwrite else new_file)(path) as temporary,
            Sink(temporary) as sink,
        ):
            sink.fill(lambda: _write_hdf5(sink, content))
    except UnsyncedError as error:
        raise StoreError(
            f"{error}; once the disk works, write it again with overwrite=True"
        ) from error
    except WriteError as error:
        raise StoreError(str(error)) from error


def chunk_rows(n_rows: int, row_bytes: int) -> int:
    """Return the number of rows in a chunk: about 2 MiB, in chunks of equal height.

    HDF5 stores the last chunk at full size: 1,025 rows in chunks of 1,024 would take twice the
    space.
    """
    n_chunks = max(1, round(n_rows * row_bytes / _CHUNK_BYTES))
    return max(1, -(-n_rows // n_chunks))


def _write_hdf5(sink: Sink, content: FileContent) -> None:
    with _create(sink) as file:
        root: dict[str, str | int] = {
            "format_version": FORMAT_VERSION,
            "model": content.model,
            "step": content.step,
            "factors": dump_attribute("factors", content.factors),
            "provenance": dump_attribute("provenance", content.provenance),
        }
        checksums = TableBuilder()
        put_attributes(file, {"format": FORMAT, **root})
        examples = _make_group(file, "examples")
        marked = {POSITIONAL: int(content.positional_ids)}
        _put_column(examples, "id", content.ids, checksums, marked)
        for name, values in content.columns.items():
            _put_column(examples, name, values, checksums, {})
        layers = _make_group(file, "layers")
        for position, source in enumerate(content.layers):
            group = _make_group(layers, str(position))
            attributes = content.layer_attributes.get(source.name, {})
            _put_layer(group, source, attributes, checksums, sink)
        put_table(file, root, list(content.columns), len(content.layers), checksums)
        file.flush()
        sink.check()
        file.attrs["complete"] = np.int64(1)


def put_table(
    file: h5py.File,
    root: Mapping[str, str | int],
    columns: Sequence[str],
    n_layers: int,
    checksums: TableBuilder,
) -> None:
    """Write the table of checksums and the seal, the last parts of a file."""
    table = checksums.table()
    rows = chunk_rows(len(table), table.itemsize)
    file.create_dataset(TABLE, data=table, chunks=(rows,), fletcher32=True, track_times=False)
    put_attributes(file, {SEAL: seal_of(root, columns, n_layers, table)})


def driver_of(sink: Sink) -> h5p.PropFAID:
    """Return the HDF5 access properties for reading and writing a sink."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)  # checksums on all metadata
    access.set_fileobj_driver(h5fd.fileobj_driver, sink)
    return access


def _create(sink: Sink) -> h5py.File:
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)  # the same content gives the same bytes
    return h5py.File(h5f.create(b"sink", h5f.ACC_TRUNC, fapl=driver_of(sink), fcpl=creation))


def _make_group(parent: h5py.Group, name: str) -> h5py.Group:
    creation = h5p.create(h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5g.create(parent.id, name.encode("utf-8"), gcpl=creation))


def put_attributes(obj: h5py.Group | h5py.Dataset, attributes: Mapping[str, str | int]) -> None:
    """Write attributes: integers, and texts of fixed length."""
    for name, value in attributes.items():
        if isinstance(value, int):
            obj.attrs[name] = np.int64(value)
            continue
        data = value.encode("utf-8")
        obj.attrs[name] = np.array(data, dtype=h5py.string_dtype("utf-8", len(data)))


def _put_column(
    group: h5py.Group,
    name: str,
    values: NDArray[Any],
    checksums: TableBuilder,
    attributes: Mapping[str, str | int],
) -> None:
    """Write a column of examples; booleans as bytes, because h5py would write an enumeration."""
    stored, dtype = values, values.dtype.name
    if values.dtype.kind == "S":
        dtype = f"S{values.dtype.itemsize}"
        stored = values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))
    elif values.dtype.kind == "b":
        stored = values.view(np.uint8)
    rows = chunk_rows(len(stored), stored.dtype.itemsize)
    column = group.create_dataset(
        name, data=stored, chunks=(rows,), fletcher32=True, track_times=False
    )
    if values.dtype.kind == "b":
        put_attributes(column, {"logical_dtype": "bool"})
    described = Description(f"/examples/{name}", dtype, stored.shape, rows, attributes)
    first = checksums.add(described, chunk_checksums(described.path, stored, rows).tolist())
    put_attributes(column, {**attributes, FIRST: first})


def _put_layer(
    group: h5py.Group,
    source: LayerArray,
    attributes: Mapping[str, str],
    checksums: TableBuilder,
    sink: Sink,
) -> None:
    """Write a layer chunk by chunk, so that no second copy of it is made."""
    rows = chunk_rows(source.n_examples, source.row_bytes)
    values = group.create_dataset(
        "x",
        shape=(source.n_examples, source.n_features),
        dtype=STORED_DTYPES[source.dtype],
        chunks=(rows, source.n_features),
        fletcher32=True,
        track_times=False,
    )
    if source.dtype == "bfloat16":
        put_attributes(values, {"logical_dtype": source.dtype})
    path = str(values.name)
    digest = new_digest(DIGEST_BYTES)
    chunks: list[int] = []
    for start in range(0, source.n_examples, rows):
        stop = min(start + rows, source.n_examples)
        sink.check()
        block = source.rows(start, stop)
        digest.update(block.data)
        chunks += chunk_checksums(path, block, rows, start).tolist()
        values[start:stop] = block
    known = {"name": source.name, **attributes, "digest": digest.hexdigest()}
    put_attributes(group, known)
    described = Description(path, source.dtype, values.shape, rows, known)
    put_attributes(values, {FIRST: checksums.add(described, chunks)})
