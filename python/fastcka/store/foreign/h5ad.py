"""Representations, observation names and columns in AnnData files (.h5ad), which are HDF5.

`obs` is a table with a row for each example. `X`, `layers` and `obsm` contain arrays with these
rows, dense or as a sparse matrix (CSR or CSC).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from h5py import h5a, h5t

from fastcka.errors import CorruptFileError, InputError, MissingExtraError
from fastcka.memory import require_memory
from fastcka.store.foreign.hdf5 import hdf5_names, read_chosen, read_hdf5
from fastcka.store.foreign.id_fields import IdField, is_id_name
from fastcka.store.foreign.naming import choose
from fastcka.store.foreign.numpy_files import SMALLER, named_errors
from fastcka.store.hdf5 import safety as safe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SPARSE: Final = ("data", "indices", "indptr")
_UNNAMED: Final = ("_index", "index")
_OLD_CATEGORIES: Final = "__categories"  # of anndata before 0.8


def h5ad_names(path: Path) -> list[str]:
    """Return the names of the representations: ``X``, ``layers/...``, ``obsm/...``, ``raw/X``."""
    names: dict[str, None] = {}
    for full in hdf5_names(path):
        parts = full.strip("/").split("/")
        if parts[0] == "X" or parts[:2] == ["raw", "X"]:
            names["/".join(parts[: 1 + (parts[0] == "raw")])] = None
        elif parts[0] in ("layers", "obsm") and len(parts) > 1:
            names["/".join(parts[:2])] = None
    return list(names)


def read_h5ad(path: Path, name: str | None) -> NDArray[Any]:
    """Read a representation by its name, (n_obs, ...); a sparse matrix becomes a dense array.

    Raises
    ------
    InputError
        If there is no such representation, or it is a table.
    CorruptFileError, UnsafeFileError
        If the file is damaged, or its links, storage or filters are unsafe.
    MissingExtraError
        If the matrix is sparse and scipy is not installed.
    """
    chosen = _chosen(path, name)
    shape = _sparse_shape(path, chosen)
    return read_hdf5(path, chosen) if shape is None else _read_sparse(path, chosen, shape)


def h5ad_dataset(path: Path, name: str | None) -> str | None:
    """Return the path of the dataset of a dense representation; None if it is sparse."""
    chosen = _chosen(path, name)
    return f"/{chosen}" if _sparse_shape(path, chosen) is None else None


def h5ad_id_fields(path: Path, *, known: bool = False) -> dict[str, IdField]:
    """Return the names of the observations, the index of ``obs``.

    An index without a name is stored as ``_index``, and no other text is read. If it has a name, it
    is the only text in ``obs`` without repeated values; if there are several, each may be the ids.
    With ``known``, those are left out that have no name for ids. Text that is too long for ids is
    not the index. An attribute names the index too, but it is not read: HDF5 does not end on a
    damaged text of variable length.
    """
    names = {name.removesuffix("/values") for name in hdf5_names(path)}
    unnamed = next((name for name in _UNNAMED if f"/obs/{name}" in names), None)

    def chosen(full: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
        folder, _, name = full.removesuffix("/values").rpartition("/")
        text = folder == "/obs" and len(shape) == 1 and dtype.kind == "S"
        return text and unnamed in (None, name)

    too_long: dict[str, str] | None = None if unnamed else {}
    texts = {
        name.split("/")[2]: values.tolist() for name, values in read_chosen(path, chosen, too_long)
    }
    unique = [name for name, values in texts.items() if len(set(values)) == len(values)]
    index = unnamed or (unique[0] if len(unique) == 1 else None)
    return {
        name: IdField(name, f"obs[{name!r}] in {path}", values, named=name == index)
        for name, values in texts.items()
        if name == index or (index is None and (is_id_name(name) or not known))
    }


def h5ad_example_columns(path: Path) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the columns of ``obs``, and the columns that are left out -> why.

    A missing value is None.
    """
    inside = [full.split("/")[2:] for full in hdf5_names(path) if full.startswith("/obs/")]
    too_long: dict[str, str] = {}
    read = {
        name.removeprefix("/obs/"): values
        for name, values in read_chosen(
            path,
            lambda name, shape, dtype: (
                name.startswith("/obs/") and len(shape) == 1 and dtype.kind in "biufS"
            ),
            too_long,
        )
    }
    index = next((field.field for field in h5ad_id_fields(path).values() if field.named), None)
    old = {parts[1] for parts in inside if parts[0] == _OLD_CATEGORIES and len(parts) > 1}
    columns: dict[str, list[Any]] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(parts[0] for parts in inside):
        if name in (index, _OLD_CATEGORIES):
            continue
        values = None if name in old else _column(path, name, read)
        reason = next((too_long[each] for each in _texts_of(name) if each in too_long), None)
        if reason is not None:
            left_out[name] = reason
        elif values is None:
            left_out[name] = (
                "expected text, numbers, booleans or categories as anndata 0.8 and newer write "
                "them; read and write the file with anndata"
            )
        else:
            columns[name] = values
    return columns, left_out


def _texts_of(name: str) -> tuple[str, ...]:
    """Return the datasets that may contain the texts of a column."""
    return f"/obs/{name}", f"/obs/{name}/categories", f"/obs/{name}/values"


def _column(path: Path, name: str, read: dict[str, NDArray[Any]]) -> list[Any] | None:
    if name in read:
        return _plain(path, name, read[name])
    codes, categories = read.get(f"{name}/codes"), read.get(f"{name}/categories")
    if codes is not None and categories is not None and codes.dtype.kind in "iu":
        if len(codes) and not -1 <= int(codes.min()) <= int(codes.max()) < len(categories):
            raise CorruptFileError(
                f"{path}:/obs/{name}: damaged: a code is outside its {len(categories)} categories"
            )
        texts = [*_plain(path, name, categories), None]  # the code of a missing value is -1
        return [texts[code] for code in codes.tolist()]
    values, mask = read.get(f"{name}/values"), read.get(f"{name}/mask")
    if values is not None and mask is not None and len(values) == len(mask):
        pairs = zip(_plain(path, name, values), mask.tolist(), strict=True)
        return [None if missing else value for value, missing in pairs]
    return None


def _plain(path: Path, name: str, values: NDArray[Any]) -> list[Any]:
    items: list[Any] = values.tolist()
    if values.dtype.kind != "S":
        return items
    with safe.named_errors(path, f"/obs/{name}"):
        return [item.decode("utf-8") for item in items]


def _chosen(path: Path, name: str | None) -> str:
    return choose(path, None if name is None else name.strip("/"), h5ad_names(path))


def _sparse_shape(path: Path, name: str) -> tuple[int, int] | None:
    """Return the shape of a sparse matrix; None for a dataset."""
    where = f"{path}:{name}"
    with safe.open_hdf5(path, follow_symlink=True) as file:
        current: h5py.Group | h5py.Dataset = file
        for part in name.split("/"):
            current = safe.member(path, current, part)
            if isinstance(current, h5py.Dataset):
                return None
        if not set(_SPARSE) <= set(safe.member_names(path, current)):
            raise InputError(
                f"{where}: expected an array or a sparse matrix, got another group, such as a "
                "table; store the values of a table as an array, with .to_numpy()"
            )
        with safe.named_errors(path, current):
            attribute = h5a.open(current.id, b"shape")
            integers = isinstance(attribute.get_type(), h5t.TypeIntegerID)
            if not integers or attribute.shape != (2,):
                raise CorruptFileError(f"{where}: damaged: attribute 'shape' is not two integers")
            shape = np.empty(2, np.int64)
            attribute.read(shape)
    if (shape < 0).any():
        raise CorruptFileError(f"{where}: damaged: the declared shape is {shape.tolist()}")
    return int(shape[0]), int(shape[1])


def _read_sparse(path: Path, name: str, shape: tuple[int, int]) -> NDArray[Any]:
    try:
        from scipy import sparse
    except ImportError as error:
        raise MissingExtraError.of(
            f"reading the sparse matrix {name}", "scipy", "formats"
        ) from error
    where = f"{path}:{name}"
    if shape[0] == shape[1]:  # an attribute tells them apart; see `h5ad_id_fields`
        raise InputError(
            f"{where}: a square sparse matrix could be CSR or CSC; store it as a dense array"
        )
    data, indices, indptr = (read_hdf5(path, f"{name}/{part}") for part in _SPARSE)
    require_memory(math.prod(shape) * data.dtype.itemsize, f"reading {where}", SMALLER)
    matrix = sparse.csr_matrix if len(indptr) == shape[0] + 1 else sparse.csc_matrix
    with named_errors(where, "a sparse matrix"):
        checked = matrix((data, indices, indptr), shape=shape)
        checked.check_format(full_check=True)  # indices outside the matrix would write anywhere
        dense: NDArray[Any] = checked.toarray()
    return dense
