"""Arrays in folders of zarr (.zarr), format 2 or 3, in which every chunk is a file."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.arrays import SlicedRows
from fastcka.errors import CorruptFileError, InputError, MissingExtraError, UnsafeFileError
from fastcka.memory import require_memory
from fastcka.store.foreign.id_fields import IdField, is_id_name
from fastcka.store.foreign.naming import choose
from fastcka.store.foreign.numpy_files import SMALLER, named_errors
from fastcka.store.foreign.zarr_arrays import (
    METADATA,
    NUMBER_CODECS,
    TEXT_CODECS,
    checked_array,
    codec_names,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_MAX_MEMBERS: Final = 10_000


def zarr_names(path: Path) -> list[str]:
    """Return the sorted names of the arrays of numbers with at least two axes.

    The array of a folder that is itself an array has the name "".
    """
    with _open(path) as arrays:
        return _representations(arrays)


class ZarrRows(SlicedRows):
    """The rows of an array in a folder of zarr; an error of zarr names the array."""

    def read(self, start: int, stop: int) -> Any:
        """Return rows; values that attributes mark as missing are errors."""
        with named_errors(self._where, "an array of zarr"):
            return super().read(start, stop)


def open_zarr(path: Path, name: str | None) -> ZarrRows:
    """Return the rows of an array, which are read when they are needed.

    Raises
    ------
    InputError
        If there is no such array, or its attributes mark values as missing or packed.
    CorruptFileError, UnsafeFileError
        If metadata or chunks are damaged or missing, a codec may execute code, or a file of the
        folder is a link.
    MissingExtraError
        If zarr is not installed.
    """
    with _open(path) as arrays:
        chosen = _chosen(path, name, arrays)
        where, array = checked_array(path, chosen, NUMBER_CODECS)
        return ZarrRows(array, where, mapped=False)


def read_zarr(path: Path, name: str | None) -> NDArray[Any]:
    """Read an array by its name, or the only array of the folder; see `open_zarr`."""
    with _open(path) as arrays:
        chosen = _chosen(path, name, arrays)
        where, array = checked_array(path, chosen, NUMBER_CODECS)
        require_memory(array.nbytes, f"reading {where}", SMALLER)
        rows = ZarrRows(array, where, mapped=False)
    values: NDArray[Any] = rows.read(0, rows.shape[0])
    return values


def zarr_id_fields(path: Path, *, known: bool = False) -> dict[str, IdField]:
    """Return the arrays that may be example ids.

    These are arrays of text with one axis, those with names for ids, and the coordinates that
    xarray writes for the first dimension of a representation. With ``known``, text under another
    name is not read.
    """
    with _open(path) as arrays:
        indexes = _indexes(arrays)
        return {
            name: IdField(last, f"{name!r} in {path}", _values(path, name), name in indexes)
            for name, array in _along_examples(arrays).items()
            for last in [name.rpartition("/")[2]]
            if name in indexes
            or (_is_text(array) and (is_id_name(last) or not known))
            or (is_id_name(last) and array.dtype.kind in "iu")
        }


def zarr_example_columns(path: Path, name: str | None) -> dict[str, list[Any]]:
    """Return the other arrays with one axis along the examples of an array, without their groups.

    They are in the array's group, or in a group around it; of two arrays with the same last part of
    the name, the one in the inner group is returned. Without a name, the array is the only one.
    """
    with _open(path) as arrays:
        chosen = _chosen(path, name, arrays)
        near = {
            other: array
            for other, array in arrays.items()
            if other == chosen or (array.ndim == 1 and _encloses(_group(other), _group(chosen)))
        }
        indexes = _indexes(arrays)
        columns = {
            other.rpartition("/")[2]: other
            for other in sorted(_along_examples(near), key=lambda name: name.count("/"))
            if other not in indexes
        }
        columns.pop("id", None)
        return {last: _values(path, column) for last, column in columns.items()}


@contextmanager
def _open(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the arrays of a folder by name, without their values."""
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError.of(f"reading {path}", "zarr", "formats") from error
    if not any((path / name).is_file() for name in METADATA):
        names = ", ".join(sorted(METADATA))
        raise CorruptFileError(f"{path}: not a folder of zarr: it contains none of {names}")
    with named_errors(str(path), "a folder of zarr"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about parts of the format that may change
        node = zarr.open(store=zarr.storage.LocalStore(path, read_only=True), mode="r")
        if isinstance(node, zarr.Array):
            yield {"": node}
            return
        arrays: dict[str, Any] = {}
        for count, (name, member) in enumerate(node.members(max_depth=None), start=1):
            if isinstance(member, zarr.Array):
                arrays[name] = member
            if count > _MAX_MEMBERS:
                raise UnsafeFileError(
                    f"{path}: expected at most {_MAX_MEMBERS} arrays and groups, got more"
                )
        yield dict(sorted(arrays.items()))


def _chosen(path: Path, name: str | None, arrays: Mapping[str, Any]) -> str:
    names = _representations(arrays)
    if names == [""] and name is not None:
        raise InputError(f"{path}: contains one array without a name; remove ':{name}'")
    given = None if name is None else name.strip("/")
    return "" if names == [""] else choose(path, given, names)


def _group(name: str) -> str:
    return name.rpartition("/")[0]


def _encloses(outer: str, group: str) -> bool:
    return not outer or f"{group}/".startswith(f"{outer}/")


def _representations(arrays: Mapping[str, Any]) -> list[str]:
    return [name for name, x in arrays.items() if x.ndim > 1 and x.dtype.kind in "biuf"]


def _indexes(arrays: Mapping[str, Any]) -> set[str]:
    """Return the coordinates that xarray writes for the first dimensions of representations."""
    indexes = set()
    for name in _representations(arrays):
        index = f"{_group(name)}/{_dimension(arrays[name])}".strip("/")
        if index in arrays and arrays[index].ndim == 1:
            indexes.add(index)
    return indexes


def _along_examples(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays with one axis, that of the examples, by its name or else its length."""
    representations = [arrays[name] for name in _representations(arrays)]
    lengths = {array.shape[0] for array in representations}
    first = {_dimension(array) for array in representations}
    return {
        name: array
        for name, array in arrays.items()
        if array.ndim == 1
        and (array.dtype.kind in "biuf" or _is_text(array))
        and array.shape[0] in lengths
        and (_dimension(array) is None or None in first or _dimension(array) in first)
    }


def _is_text(array: Any) -> bool:
    kind = array.dtype.kind  # text of variable length is objects ("O") with NumPy 1 or zarr 3.0
    return kind in "UST" or (kind == "O" and "vlen-utf8" in codec_names(array.metadata.to_dict()))


def _dimension(array: Any) -> str | None:
    """Return the name of the first dimension, as xarray writes it; None if it has none."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")  # of xarray in format 2
    return names[0] if names and isinstance(names[0], str) else None


def _values(path: Path, name: str) -> list[Any]:
    where, array = checked_array(path, name, TEXT_CODECS)
    require_memory(array.nbytes, f"reading {where}", SMALLER)
    values: list[Any] = array[:].tolist()
    return values
