"""Example ids in files that fastcka did not write: text, or members with names for ids."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.errors import CorruptFileError, InputError, StoreError, UnsafeFileError
from fastcka.memory import require_memory
from fastcka.out_of_memory import named_shortage
from fastcka.store.file.key import Examples
from fastcka.store.file.opening import open_step
from fastcka.store.foreign.arrays import array_names, read_member, split_source
from fastcka.store.foreign.h5ad import h5ad_example_columns, h5ad_id_fields
from fastcka.store.foreign.hdf5 import HDF5_SUFFIXES, is_store_file, read_chosen
from fastcka.store.foreign.id_fields import IdField, found_ids, is_id_name
from fastcka.store.foreign.numpy_files import npz_names, read_npy_if, read_npz_if
from fastcka.store.foreign.parquet.examples import (
    parquet_example_columns,
    parquet_id_fields,
)
from fastcka.store.foreign.torch_files import Containers, load_pt
from fastcka.store.foreign.zarr_folders import zarr_example_columns, zarr_id_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_MAX_DEPTH: Final = 16  # pickles can hold themselves


def id_fields(path: Path, *, known: bool = False) -> dict[str, IdField]:
    """Return the members of a file that may be example ids, by name.

    In Parquet, AnnData and zarr files, the layout of the file may say which they are. Elsewhere, a
    member is included if it is text with one axis. It is also included if its name is one for ids
    (see `is_id_name`) and it has one axis, or a second axis of length 1. The array of a file
    without names has the name "". With ``known``, text of Parquet, AnnData and zarr files without a
    name for ids is left out.

    Raises
    ------
    InputError, StoreError
        If the file, or such a member, cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in _TABLES:
            return _TABLES[suffix](path, known=known)
        members = dict(_READERS[suffix](path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _fields(path, members)


def example_columns(
    path: Path, name: str | None = None
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the columns of an array's examples in its file, and columns left out -> why.

    Only Parquet, AnnData and zarr files have them. The first two contain one table for all arrays;
    in zarr, the columns are in the group of the array ``name``, or in a group around it. A missing
    value is None or NaN.

    Raises
    ------
    InputError, StoreError
        If the file cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".zarr":
            return zarr_example_columns(path, name), {}
        return _COLUMNS[suffix](path) if suffix in _COLUMNS else ({}, {})
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def id_fields_of_saved(path: Path, saved: object) -> dict[str, IdField]:
    """Do the same as `id_fields` for the loaded contents of a .pt file."""
    return _fields(path, dict(_in_saved(path, saved)))


def _fields(path: Path, members: Mapping[str, Any]) -> dict[str, IdField]:
    return {
        name: IdField(_last(path, name), f"{name!r} in {path}" if name else str(path), values)
        for name, values in members.items()
    }


def fields_near(fields: Mapping[str, IdField], path: Path, name: str) -> list[IdField]:
    """Return the id fields in the innermost group that encloses a member and has id fields."""
    if path.suffix.lower() in (".parquet", ".h5ad"):  # one table for all arrays
        return list(fields.values())
    separator = _separator(path)
    group = name.rpartition(separator)[0]
    while True:
        inside = [
            field for member, field in fields.items() if member.rpartition(separator)[0] == group
        ]
        if inside or not group:
            return inside
        group = group.rpartition(separator)[0]


@named_shortage("reading example ids")
def read_examples(source: str | os.PathLike[str], n_examples: int) -> Examples | None:
    """Return the examples of the array that ``read_array(source)`` returns, or None if unknown.

    A file of a store always contains the ids, even if they are only row positions. Another file
    contains them if it has a member with a name for ids and a usable id for each row of the array.

    Parameters
    ----------
    source
        The file and the name of the array, as for `read_array`.
    n_examples
        Number of rows of the array.

    Raises
    ------
    StoreError
        If a file of a store is damaged.
    InputError, CorruptFileError, UnsafeFileError
        If the ids in a Parquet, AnnData or zarr file cannot be read.
    """
    path, name = split_source(source)
    if path.suffix.lower() in HDF5_SUFFIXES and is_store_file(path):
        with open_step(path) as step:
            return step.examples.examples()
    name = (name or "").strip("/")
    if path.suffix.lower() in HDF5_SUFFIXES:  # which have absolute names
        name = f"/{name}"
    try:
        members = id_fields(path, known=True)
    except (InputError, StoreError):
        if path.suffix.lower() in _TABLES:  # whose layout says which values are the ids
            raise
        return None
    fields = {
        member: field
        for member, field in members.items()
        if field.known and len(field) == n_examples
    }
    try:
        ids, _ = found_ids(fields_near(fields, path, name))
    except (InputError, StoreError):  # unusable ids: rows are matched by position
        return None
    if ids is None:
        return None
    texts = ids.texts()
    longest = max(map(len, texts), default=0)
    require_memory(4 * longest * len(texts), f"reading {ids.source}", "shorten the longest ids")
    return Examples(np.array(texts), {})  # NumPy takes 4 bytes for each character


def _may_be_ids(where: str, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Return whether an array may be ids, judging by its name, shape and dtype."""
    text, named = dtype.kind in "SU", is_id_name(name)
    if len(shape) == 1 and named and dtype.hasobject:
        raise UnsafeFileError(
            f"{where}: expected text or integers, got pickled objects, which could run code when "
            f"loaded; save the ids as text (in NumPy with {name}.astype(str))"
        )
    flat = len(shape) == 1 or (named and shape[1:] == (1,) and dtype.kind in "SUiu")
    return flat and (text or (named and not dtype.hasobject))


def _last(path: Path, name: str) -> str:
    """Return the last part of a member's name; the file's name for a member without a name."""
    if not name:
        return path.stem
    return name.rpartition(_separator(path))[2]


def _separator(path: Path) -> str:
    """Return the separator between groups in the names of a file's members."""
    return "/" if path.suffix.lower() in (*HDF5_SUFFIXES, ".zarr") else "."


def _in_npy(path: Path) -> Iterator[tuple[str, Any]]:
    values = read_npy_if(path, partial(_may_be_ids, str(path), path.stem))
    if values is not None:
        yield "", values.reshape(-1)


def _in_npz(path: Path) -> Iterator[tuple[str, Any]]:
    for name in npz_names(path):
        chosen = partial(_may_be_ids, f"{path}:{name}", _last(path, name))
        try:
            values = read_npz_if(path, name, chosen)
        except CorruptFileError:
            if is_id_name(_last(path, name)):
                raise
            continue  # reported when the member is read as an array
        if values is not None:
            yield name, values.reshape(-1)


def _in_hdf5(path: Path) -> Iterator[tuple[str, Any]]:
    def chosen(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        return _may_be_ids(f"{path}:{name}", _last(path, name), shape, dtype)

    for name, values in read_chosen(path, chosen):
        yield name, values.reshape(-1)


def _in_safetensors(path: Path) -> Iterator[tuple[str, Any]]:
    for name in array_names(path):
        last = _last(path, name)
        if is_id_name(last):
            values = read_member(path, name)
            if _may_be_ids(f"{path}:{name}", last, values.shape, values.dtype):
                yield name, values.reshape(-1)


def _in_pt(path: Path) -> Iterator[tuple[str, Any]]:
    yield from _in_saved(path, load_pt(path))


def _in_saved(path: Path, saved: object) -> Iterator[tuple[str, Any]]:
    containers = Containers(path)
    waiting: list[tuple[str, Any, int]] = [("", saved, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        last = _last(path, name)
        if isinstance(value, dict | list | tuple):
            containers.meet(value)
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            inner = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
            waiting += [(key, item, depth + 1) for key, item in reversed(inner)]
        elif isinstance(value, list | tuple) and value:
            text = all(isinstance(item, str | bytes) for item in value)
            plain = all(isinstance(item, str | bytes | int | float | None) for item in value)
            if text or (plain and is_id_name(last)):
                yield name, list(value)
        elif hasattr(value, "untyped_storage") and is_id_name(last):  # a tensor
            shape = tuple(value.shape)
            whole = not value.is_floating_point() and not value.is_complex()
            if len(shape) == 1 or (whole and shape[1:] == (1,) and len(shape) == 2):
                yield name, value.reshape(-1).tolist()


_READERS: Final[dict[str, Callable[[Path], Iterator[tuple[str, Any]]]]] = {
    ".npy": _in_npy,
    ".npz": _in_npz,
    ".pt": _in_pt,
    ".safetensors": _in_safetensors,
    **dict.fromkeys(HDF5_SUFFIXES, _in_hdf5),
}

# Formats whose layout may say which values are the ids.
_TABLES: Final[dict[str, Callable[..., dict[str, IdField]]]] = {
    ".h5ad": h5ad_id_fields,
    ".parquet": parquet_id_fields,
    ".zarr": zarr_id_fields,
}
# Formats with one table of examples for all arrays.
_COLUMNS: Final[dict[str, Callable[[Path], tuple[dict[str, list[Any]], dict[str, str]]]]] = {
    ".h5ad": h5ad_example_columns,
    ".parquet": parquet_example_columns,
}
