"""Writing one file of a store so that a crash leaves the old state or the new one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from h5py import h5f, h5fd, h5g, h5p

from fastcka.errors import StoreError
from fastcka.files import UnsyncedError, new_file, replaced_file
from fastcka.store import hdf5_safety as safe
from fastcka.store.dtypes import STORED_DTYPES
from fastcka.store.format import DIGEST_BYTES, FORMAT, FORMAT_VERSION, POSITIONAL
from fastcka.store.jsontext import dump_attribute
from fastcka.store.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.store.source import LayerSource

_CHUNK_BYTES: Final = 2 << 20  # between the 1 and 4 MiB that read fastest


@dataclass(frozen=True, slots=True)
class FileContent:
    """All that goes into one file, checked but for the finiteness of values."""

    model: str
    step: int
    factors: Mapping[str, Any]
    provenance: Mapping[str, Any]
    ids: NDArray[np.bytes_]
    positional_ids: bool
    columns: Mapping[str, NDArray[Any]]
    layers: Sequence[LayerSource]
    layer_attributes: Mapping[str, Mapping[str, str]]


def write_file(path: Path, content: FileContent, *, overwrite: bool) -> None:
    """Write a file beside its final name, bring it to the disk, and give it the name.

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
    rows = max(chunk_rows(own.n_examples, own.row_bytes) * own.row_bytes for own in content.layers)
    safe.require_working_room(path, 4 * rows)
    try:
        with (
            (replaced_file if overwrite else new_file)(path) as beside,
            Sink(beside) as sink,
        ):
            sink.fill(lambda: _write_hdf5(sink, content))
    except FileExistsError:
        raise
    except UnsyncedError as error:
        raise StoreError(
            f"{path}: {error.strerror}; once the disk works, write it again with overwrite=True"
        ) from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def chunk_rows(n_rows: int, row_bytes: int) -> int:
    """Return the rows of a chunk: about 2 MiB, in chunks of equal height.

    Equal, because HDF5 stores the last chunk at full size: 1,025 rows in chunks of 1,024 would
    take twice the space.
    """
    n_chunks = max(1, round(n_rows * row_bytes / _CHUNK_BYTES))
    return max(1, -(-n_rows // n_chunks))


def _write_hdf5(sink: Sink, content: FileContent) -> None:
    with _create(sink) as file:
        _put_text(file, "format", FORMAT)
        _put_text(file, "format_version", FORMAT_VERSION)
        _put_text(file, "model", content.model)
        file.attrs["step"] = np.int64(content.step)
        _put_text(file, "factors", dump_attribute("factors", content.factors))
        _put_text(file, "provenance", dump_attribute("provenance", content.provenance))
        examples = _make_group(file, "examples")
        _put_column(examples, "id", content.ids)
        examples["id"].attrs[POSITIONAL] = np.int64(content.positional_ids)
        for name, values in content.columns.items():
            _put_column(examples, name, values)
        layers = _make_group(file, "layers")
        for position, source in enumerate(content.layers):
            group = _make_group(layers, str(position))
            _put_text(group, "name", source.name)
            for name, text in content.layer_attributes.get(source.name, {}).items():
                _put_text(group, name, text)
            _put_text(group, "digest", _put_values(group, source, sink))
        file.flush()
        sink.check()
        file.attrs["complete"] = np.int64(1)


def _create(sink: Sink) -> h5py.File:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)  # checksums on all metadata
    access.set_fileobj_driver(h5fd.fileobj_driver, sink)
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)  # the same content gives the same bytes
    return h5py.File(h5f.create(b"sink", h5f.ACC_TRUNC, fapl=access, fcpl=creation))


def _make_group(parent: h5py.Group, name: str) -> h5py.Group:
    creation = h5p.create(h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5g.create(parent.id, name.encode("utf-8"), gcpl=creation))


def _put_text(obj: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    data = text.encode("utf-8")
    obj.attrs[name] = np.array(data, dtype=h5py.string_dtype("utf-8", len(data)))


def _put_column(group: h5py.Group, name: str, values: NDArray[Any]) -> None:
    """Write a column of examples; booleans as bytes, since HDF5 would make them an enumeration."""
    stored = values
    if values.dtype.kind == "S":
        stored = values.astype(h5py.string_dtype("utf-8", values.dtype.itemsize))
    elif values.dtype.kind == "b":
        stored = values.view(np.uint8)
    column = group.create_dataset(
        name,
        data=stored,
        chunks=(chunk_rows(len(stored), stored.dtype.itemsize),),
        fletcher32=True,
        track_times=False,
    )
    if values.dtype.kind == "b":
        _put_text(column, "logical_dtype", "bool")


def _put_values(group: h5py.Group, source: LayerSource, sink: Sink) -> str:
    """Write a layer chunk by chunk, so that no second copy of it is made; return its digest."""
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
        _put_text(values, "logical_dtype", source.dtype)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for start in range(0, source.n_examples, rows):
        stop = min(start + rows, source.n_examples)
        sink.check()
        block = source.block(start, stop)
        digest.update(block.data)
        values[start:stop] = block
    return digest.hexdigest()
