"""Arrays in HDF5 files that fastcka did not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import h5py
import numpy as np
from h5py import h5o, h5z

from fastcka.errors import InputError, StoreError, UnsafeFileError
from fastcka.memory import require_memory
from fastcka.store.file.dtypes import float32_of_bfloat16
from fastcka.store.file.format import FORMAT
from fastcka.store.foreign.attributes import refuse_missing_values
from fastcka.store.foreign.hdf5_chunks import check_deflated
from fastcka.store.foreign.hdf5_texts import read_long_text
from fastcka.store.foreign.matlab import (
    INTERNAL_GROUPS,
    as_in_matlab,
    check_matlab_variable,
    matlab_class,
    refuse_matlab_sparse,
    vector_in_matlab,
    vector_shape_in_matlab,
)
from fastcka.store.foreign.naming import choose
from fastcka.store.foreign.numpy_files import SMALLER, check_expansion, numeric
from fastcka.store.foreign.texts import TextError
from fastcka.store.hdf5 import safety as safe
from fastcka.store.hdf5 import storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HDF5_SUFFIXES: Final = (".h5", ".hdf5", ".mat", ".nc")
"""Suffixes of HDF5 files, including MATLAB files from version 7.3 and netCDF from version 4."""

# Filters that are part of HDF5 and h5py; others would be loaded as plugins.
_FILTERS: Final = {
    h5z.FILTER_DEFLATE: "gzip",
    h5z.FILTER_SHUFFLE: "shuffle",
    h5z.FILTER_FLETCHER32: "fletcher32",
    h5z.FILTER_SZIP: "szip",
    h5z.FILTER_SCALEOFFSET: "scaleoffset",
    h5z.FILTER_LZF: "lzf",
}
_COMPRESSING: Final = set(_FILTERS) - {h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32}
_MAX_OBJECTS: Final = 10_000


def read_hdf5(path: Path, name: str | None) -> NDArray[Any]:
    """Read a dataset by its path, or the only dataset of the file.

    A dataset that MATLAB wrote has the axes that MATLAB shows; the file stores them reversed.

    Raises
    ------
    InputError
        If the dataset is missing, is not numeric, or its attributes mark values as missing.
    CorruptFileError, UnsafeFileError
        If the file is damaged, or its links, storage or filters are unsafe.
    """
    with safe.open_hdf5(path, follow_symlink=True) as file:
        if name is None:
            names = _dataset_names(path, file)
            name = choose(path, None, names)
        return _values(path, _find(path, file, name))


def is_matlab_variable(path: Path, name: str | None) -> bool:
    """Return whether MATLAB wrote a dataset, whose axes are then reversed in the file."""
    with safe.open_hdf5(path, follow_symlink=True) as file:
        chosen = choose(path, name, _dataset_names(path, file)) if name is None else name
        return matlab_class(path, _find(path, file, chosen)) is not None


def is_store_file(path: Path) -> bool:
    """Return whether a file is marked as a file of a store."""
    with safe.open_hdf5(path, follow_symlink=True) as file:
        return safe.text_attribute(path, file, "format") == FORMAT


def hdf5_names(path: Path) -> list[str]:
    """Return the sorted paths of all datasets and links; links are refused when they are read."""
    with safe.open_hdf5(path, follow_symlink=True) as file:
        return _dataset_names(path, file)


def read_chosen(
    path: Path,
    chosen: Callable[[str, tuple[int, ...], np.dtype[Any]], bool],
    left_out: dict[str, str] | None = None,
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the path and values of each dataset for which ``chosen(path, shape, dtype)`` is true.

    Variable-length text is converted to fixed-length bytes, and its dtype is passed as "S". MATLAB
    vectors of numbers have one axis. Datasets with a damaged structure, links, and MATLAB cells and
    text are skipped. `read_hdf5` refuses them. If ``left_out`` is given, the path of each dataset
    with text that is too long for a store is added to it, with the reason; otherwise such text is
    an error.
    """
    with safe.open_hdf5(path, follow_symlink=True) as file:
        try:
            names = _dataset_names(path, file)
        except UnsafeFileError:  # too many to list
            return
        for name in names:
            try:
                data = _find(path, file, name)
                shape = storage.simple_shape(path, data)
                matlab = matlab_class(path, data)
                if matlab is not None:
                    check_matlab_variable(path, data, matlab)
                    shape = vector_shape_in_matlab(shape)
                with safe.named_errors(path, name):
                    text = h5py.check_string_dtype(data.dtype)
                    dtype = data.dtype if text is None else np.dtype("S")
            except (InputError, StoreError):
                continue
            if not chosen(name, shape, dtype):
                continue
            _require_stored(path, f"{path}:{name}", data)
            check_deflated(path, data)
            if matlab is not None:
                yield name, vector_in_matlab(storage.read_all(path, data))
            elif text is None or text.length is not None:
                yield name, storage.read_all(path, data)
            else:
                try:
                    values = read_long_text(path, data)
                except TextError as error:
                    if left_out is None:
                        raise
                    left_out[name] = str(error)
                else:
                    yield name, values


def _find(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    parts = [part for part in name.split("/") if part]
    current: h5py.Group | h5py.Dataset = file
    for part in parts:
        with safe.named_errors(path, name):
            missing = not isinstance(current, h5py.Group) or (
                part == "." or not current.id.links.exists(part.encode("utf-8"))
            )
        if missing:
            choose(path, name, _dataset_names(path, file))
            raise InputError(f"{path}: {name!r}: {part!r} does not exist")
        current = safe.member(path, current, part)
        if isinstance(current, h5py.Group):
            refuse_matlab_sparse(path, current)
    if not isinstance(current, h5py.Dataset):
        choose(path, name, _dataset_names(path, file))
        raise InputError(f"{path}: {name!r}: expected a dataset, got a group")
    return current


def _dataset_names(path: Path, file: h5py.File) -> list[str]:
    """Return the paths of all datasets and links; links are listed so that none is lost."""
    names: list[str] = []
    with safe.named_errors(path):
        seen = {h5o.get_info(file.id).addr}
    waiting: list[h5py.Group] = [file]
    while waiting:
        group = waiting.pop()
        for name in safe.member_names(path, group):
            if group.name == "/" and name in INTERNAL_GROUPS:
                continue
            full = f"{group.name.rstrip('/')}/{name}"
            try:
                member = safe.member(path, group, name)
            except UnsafeFileError:
                names.append(full)  # a link, which is refused when it is read
                continue
            if isinstance(member, h5py.Dataset):
                names.append(full)
                continue
            with safe.named_errors(path, full):
                address = h5o.get_info(member.id).addr
            if address not in seen:  # hard links can form a cycle
                seen.add(address)
                waiting.append(member)
            if len(names) + len(seen) > _MAX_OBJECTS:
                raise UnsafeFileError(
                    f"{path}: expected at most {_MAX_OBJECTS} objects, got more; add :PATH to read "
                    "one dataset"
                )
    return sorted(names)


def _values(path: Path, data: h5py.Dataset) -> NDArray[Any]:
    layout = _checked_layout(path, data)
    matlab = matlab_class(path, data)
    require_memory(data.size * layout.dtype.itemsize, f"reading {path}:{data.name}", SMALLER)
    check_deflated(path, data)
    values = storage.read_all(path, data).reshape(layout.shape)
    refuse_missing_values(path, data, values)
    if matlab is not None:
        return as_in_matlab(values, matlab)
    return float32_of_bfloat16(values) if layout.bfloat16 else values


class DatasetLayout(NamedTuple):
    """A dataset that can be read by rows; `dtype` is the stored one."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bfloat16: bool


def dataset_layout(path: Path, name: str | None) -> DatasetLayout | None:
    """Return the layout of a dataset after checking it as `read_hdf5`; None for MATLAB's."""
    with safe.open_hdf5(path, follow_symlink=True) as file:
        if name is None:
            name = choose(path, None, _dataset_names(path, file))
        data = _find(path, file, name)
        return None if matlab_class(path, data) is not None else _checked_layout(path, data)


def read_dataset_rows(path: Path, layout: DatasetLayout, start: int, stop: int) -> NDArray[Any]:
    """Return rows of a dataset whose layout was checked."""
    with safe.open_hdf5(path, follow_symlink=True) as file:
        data = _find(path, file, layout.name)
        check_deflated(path, data, start, stop)
        with safe.named_errors(path, data):
            values = np.asarray(data[start:stop])
        whole = (start, stop) == (0, layout.shape[0])
        refuse_missing_values(path, data, values, "" if whole else f"[{start}:{stop}]")
        return float32_of_bfloat16(values) if layout.bfloat16 else values


def _checked_layout(path: Path, data: h5py.Dataset) -> DatasetLayout:
    where = f"{path}:{data.name}"
    shape = storage.simple_shape(path, data)
    matlab = matlab_class(path, data)
    if matlab is not None:
        check_matlab_variable(path, data, matlab)
    with safe.named_errors(path, data.name):
        dtype = data.dtype
    if not isinstance(dtype, np.dtype) or h5py.check_dtype(ref=dtype) is not None:
        raise UnsafeFileError(f"{where}: object references are not followed")
    numeric(where, np.empty(0, dtype=dtype))
    _require_stored(path, where, data)
    logical = safe.text_attribute(path, data, "logical_dtype") if dtype == np.uint16 else None
    return DatasetLayout(str(data.name), shape, dtype, logical == "bfloat16")


def _require_stored(path: Path, where: str, data: h5py.Dataset) -> None:
    """Refuse filters that are plugins, and a declared size that the file does not contain."""
    layout = storage.layout_name(path, data)
    codes = storage.filter_codes(path, data)
    unknown = [code for code in codes if code not in _FILTERS]
    if unknown:
        raise UnsafeFileError(
            f"{where}: expected filters among {sorted(_FILTERS.values())}, got {unknown}, which "
            "need a plugin; write the dataset again without them"
        )
    with safe.named_errors(path, data.name):
        _check_size(path, where, data, layout, compressed=bool(_COMPRESSING & set(codes)))


def _check_size(
    path: Path, where: str, data: h5py.Dataset, layout: str, *, compressed: bool
) -> None:
    """Compare the declared size of a dataset with the bytes that the file stores for it."""
    available = path.stat().st_size
    declared = int(np.prod([int(n) for n in data.shape], dtype=object)) * data.dtype.itemsize
    if layout == "chunked":
        # Whole chunks are in memory while they are read; the last one may be mostly padding.
        count, chunk_bytes = storage.chunk_grid(data)
        declared = count * chunk_bytes
        check_expansion(where, declared, available)
        if not compressed and declared > available:
            raise UnsafeFileError(
                f"{where}: the declared shape {data.shape} needs {declared} bytes, but the file "
                f"has {available}"
            )
        stored_chunks = data.id.get_num_chunks()
        if stored_chunks != count:
            raise UnsafeFileError(
                f"{where}: expected {count} stored chunks, got {stored_chunks}; HDF5 would replace "
                "missing chunks by fill values"
            )
        storage.check_chunks(path, data, available)
    stored = min(int(data.id.get_storage_size()), available)
    if compressed:
        check_expansion(where, declared, stored)
    elif stored < declared:
        raise UnsafeFileError(
            f"{where}: the declared shape {data.shape} of {data.dtype} needs {declared} bytes, but "
            f"{stored} are stored"
        )
