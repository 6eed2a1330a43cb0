"""Representations and example columns in Parquet files, read by pyarrow."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.arrays import plain_array
from fastcka.errors import CorruptFileError, FastckaError, InputError, MissingExtraError
from fastcka.memory import require_memory
from fastcka.out_of_memory import raise_if_shortage
from fastcka.store.foreign.id_fields import IdField, is_id_name
from fastcka.store.foreign.naming import choose
from fastcka.store.foreign.numpy_files import SMALLER, check_expansion, numeric

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_VALUE_BYTES: Final = 8  # of the widest number, and of the offset of a text


def parquet_names(path: Path) -> list[str]:
    """Return the columns that contain a list for each row, in the order of the file."""
    with _open(path) as file:
        return _list_columns(file.schema_arrow)


def read_parquet(path: Path, name: str | None) -> NDArray[Any]:
    """Read a column of lists of numbers, or several columns of numbers, as one array.

    Parameters
    ----------
    path
        The file.
    name
        A column whose rows are lists of one length, nested or not, or tensors of a fixed shape. Or
        columns of numbers: the name of one, or a pattern in which ``*`` matches any text. Default:
        the only column of lists.

    Returns
    -------
    ndarray
        (n_examples, ...) for a column of lists; otherwise (n_examples, n_columns), with the columns
        in the order of the file.

    Raises
    ------
    InputError
        If no column or several have this name, a value is missing or no number, or the lists have
        different lengths.
    CorruptFileError, UnsafeFileError
        If the file is damaged, or expands implausibly.
    MissingExtraError
        If pyarrow is not installed.
    """
    with _open(path) as file:
        schema = file.schema_arrow
        lists = _list_columns(schema)
        if name is None and not lists:
            raise InputError(
                f"{path}: contains no column of lists; add :PATTERN, such as :embedding_*, to read "
                f"columns of numbers. It contains {_listed(schema.names)}"
            )
        if name is None or name in lists:
            chosen = choose(path, name, lists)
            where = f"{path}:{chosen}"
            return numeric(where, _of_lists(where, _read(file, path, [chosen]).column(0)))
        where = f"{path}:{name}"
        return plain_array(_read(file, path, _matching(path, schema, name)), where, shift=False)


def parquet_id_fields(path: Path, *, known: bool = False) -> dict[str, IdField]:
    """Return the column that contains the example ids, or the columns that may.

    It is the index that pandas stored, else the column "id". Others may be ids if they are text, or
    integers under a name for ids. With ``known``, text under another name is not read.
    """
    with _open(path) as file:
        schema = file.schema_arrow
        index = _index_column(schema)
        able = [field.name for field in schema if _may_be_ids(field, known=known)]
        first = index or ("id" if "id" in able else None)
        chosen = [first] if first else able
        table = _read(file, path, chosen)
        return {
            name: IdField(name, f"{name!r} in {path}", column.to_pylist(), named=name == first)
            for name, column in zip(chosen, table.columns, strict=True)
        }


def parquet_example_columns(path: Path) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the values of all other columns, and the columns that are left out -> why."""
    with _open(path) as file:
        schema = file.schema_arrow
        ids = {"id", _index_column(schema)}
        lists = set(_list_columns(schema))
        wanted = [field for field in schema if field.name not in ids | lists]
        chosen = [field.name for field in wanted if _is_plain(field.type)]
        table = _read(file, path, chosen)
        left_out = {
            field.name: f"expected text, numbers, booleans or times, got {field.type}"
            for field in wanted
            if field.name not in chosen
        }
        columns: dict[str, list[Any]] = {}
        for name, column in zip(chosen, table.columns, strict=True):
            try:
                columns[name] = column.to_pylist()
            except (ValueError, OverflowError) as error:  # text not UTF-8; times Python cannot hold
                left_out[name] = f"expected values that Python can represent: {error}"
    return columns, left_out


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.of(f"reading {path}", "pyarrow", "formats") from error
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise InputError(f"{path}: two columns have the name {twice!r}; rename one of them")
            yield file
    except FastckaError:
        raise
    except (
        *(OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError),
        pa.ArrowException,
    ) as error:
        raise_if_shortage(error, f"reading {path}")
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptFileError(f"{path}: not a Parquet file, or damaged: {error}") from error


def _read(file: Any, path: Path, columns: Sequence[str]) -> Any:
    """Read columns after comparing their declared number of values with the bytes of the file."""
    declared = stored = 0
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        for position in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(position)
            leaf = chunk.path_in_schema
            if any(leaf == name or leaf.startswith(f"{name}.") for name in columns):
                declared += chunk.num_values * _VALUE_BYTES
                stored += chunk.total_compressed_size
    where = f"{path}:{columns[0]}" if len(columns) == 1 else str(path)
    check_expansion(where, declared, min(stored, path.stat().st_size))
    require_memory(2 * declared, f"reading {where}", SMALLER)  # in Arrow, then in NumPy
    table = file.read(columns=list(columns))
    return table.select(list(columns))  # in this order; a name may also be a prefix of others


def _list_columns(schema: Any) -> list[str]:
    import pyarrow as pa

    return [field.name for field in schema if _is_list(field.type) or _is_tensor(pa, field.type)]


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(lists) and (_is_list(kind.value_type) or _is_number(kind.value_type))


def _is_tensor(pa: Any, kind: Any) -> bool:
    return isinstance(kind, pa.FixedShapeTensorType)


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return _is_number(kind) or _is_text(kind) or types.is_temporal(kind)


def _may_be_ids(field: Any, *, known: bool) -> bool:
    from pyarrow import types

    if not is_id_name(field.name):
        return not known and _is_text(field.type)
    return _is_text(field.type) or bool(types.is_integer(field.type))


def _index_column(schema: Any) -> str | None:
    """Return the column that pandas stored as the index of a table; None for a default index."""
    described = (schema.pandas_metadata or {}).get("index_columns", [])
    stored = [name for name in described if isinstance(name, str) and name in schema.names]
    return stored[0] if len(stored) == 1 else None


def _matching(path: Path, schema: Any, pattern: str) -> list[str]:
    """Return the columns of numbers that match a pattern."""
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    matching = [field for field in schema if expression.fullmatch(field.name)]
    if not matching:
        raise InputError(
            f"{path}: contains no column {pattern!r}; it contains {_listed(schema.names)}"
        )
    for field in matching:
        if not _is_number(field.type):
            raise InputError(
                f"{path}:{pattern}: expected columns of numbers, but column {field.name!r} "
                f"contains {field.type}; give a pattern that leaves it out"
            )
    return [field.name for field in matching]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20} more columns" if len(names) > 20 else ""
    return f"{', '.join(names[:20])}{more}"


def _of_lists(where: str, column: Any) -> NDArray[Any]:
    """Return the lists of a column as one array, (n_examples, ...)."""
    parts: list[NDArray[Any]] = []
    start = 0
    for chunk in column.chunks:
        part = _of_chunk(where, chunk, start)
        if parts and part.shape[1:] != parts[0].shape[1:]:
            raise _ragged(where, parts[0].shape[1:], 0, part.shape[1:], start)
        parts.append(part)
        start += len(chunk)
    if not start:
        raise InputError(f"{where}: expected at least one row, got none")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _of_chunk(where: str, chunk: Any, start: int) -> NDArray[Any]:
    import pyarrow as pa

    _refuse_nulls(where, chunk, start)
    if _is_tensor(pa, chunk.type):
        _refuse_nulls(where, chunk.storage.flatten(), None)
        array: NDArray[Any] = chunk.to_numpy_ndarray()
        return array
    shape = [len(chunk)]
    values = chunk
    while _is_list(values.type):
        lengths = values.value_lengths().to_numpy(zero_copy_only=False)
        other = np.flatnonzero(lengths != lengths[:1])
        if len(other):
            rows = len(values) // max(1, len(chunk))  # lists for each example
            position = start + int(other[0]) // max(1, rows)
            raise _ragged(where, (int(lengths[0]),), start, (int(lengths[other[0]]),), position)
        shape.append(int(lengths[0]) if len(lengths) else 0)
        values = values.flatten()
        _refuse_nulls(where, values, None)
    flat: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return flat.reshape(shape)


def _refuse_nulls(where: str, values: Any, start: int | None) -> None:
    if values.null_count:
        first = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        place = "" if start is None else f", the first in row {start + int(first[0])}"
        raise InputError(
            f"{where}: contains {values.null_count} missing value"
            f"{'s' * (values.null_count != 1)}{place}: fill or drop missing values first"
        )


def _ragged(
    where: str, one: tuple[int, ...], row: int, other: tuple[int, ...], other_row: int
) -> InputError:
    def text(shape: tuple[int, ...]) -> str:
        return " x ".join(map(str, shape))

    return InputError(
        f"{where}: expected lists of one length, got the length {text(one)} in row {row} and "
        f"{text(other)} in row {other_row}; reduce each list to the same length first, for example "
        "to the mean over its tokens"
    )
