"""Opening Parquet files that may be damaged or hostile, and reading columns of bounded size.

An encoding and a codec compress the values of a column. The metadata contain the number of values
and the size between the two. `read_columns` and `check_encoded` compare them with the stored bytes.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import CorruptFileError, FastckaError, InputError, MissingExtraError
from fastcka.memory import require_memory
from fastcka.out_of_memory import raise_if_shortage
from fastcka.store.foreign.numpy_files import SMALLER, check_expansion
from fastcka.store.foreign.parquet.kinds import fixed_lengths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_VALUE_BYTES: Final = 8  # of the widest number, and of the offset of a text


@contextmanager
def open_parquet(path: Path, *, dictionaries: Sequence[str] = ()) -> Iterator[Any]:
    """Yield a `pyarrow.parquet.ParquetFile`; errors inside the block are those of the file.

    Parameters
    ----------
    path
        The file.
    dictionaries
        Columns of text that are read as codes and different texts.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError.of(f"reading {path}", "pyarrow", "formats") from error
    try:
        with pq.ParquetFile(
            path, page_checksum_verification=True, read_dictionary=list(dictionaries)
        ) as file:
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


def read_columns(file: Any, path: Path, columns: Sequence[str]) -> Any:
    """Return a `pyarrow.Table` of columns of numbers, times or lists of numbers, in this order.

    Raises
    ------
    UnsafeFileError
        If the columns would expand implausibly.
    OutOfMemoryError
        If they need more memory than is free.
    """
    declared = stored = 0
    for name in columns:
        values = 0
        for chunk in chunks_of(file, name):
            values += chunk.num_values
            stored += chunk.total_compressed_size
        # pyarrow fills a missing list of fixed length, which stores one value, with its length.
        lengths = fixed_lengths(file.schema_arrow.field(name).type)
        filled = file.metadata.num_rows * math.prod(lengths) if lengths else 0
        declared += max(values, filled) * _VALUE_BYTES
    where = f"{path}:{columns[0]}" if len(columns) == 1 else str(path)
    check_expansion(where, declared, min(stored, path.stat().st_size))
    require_memory(2 * declared, f"reading {where}", SMALLER)  # in Arrow, then in NumPy
    table = file.read(columns=list(columns))
    return table.select(list(columns))  # in this order; a name may also be a prefix of others


def check_encoded(file: Any, path: Path, name: str) -> None:
    """Compare the encoded size of a column of text with the bytes that the file stores for it."""
    encoded = stored = 0
    for chunk in chunks_of(file, name):
        encoded += chunk.total_uncompressed_size + chunk.num_values * _VALUE_BYTES
        stored += chunk.total_compressed_size
    check_expansion(f"{path}:{name}", encoded, min(stored, path.stat().st_size))
    require_memory(encoded, f"reading {path}:{name}", SMALLER)


def chunks_of(file: Any, column: str) -> Iterator[Any]:
    """Yield the metadata of the column's chunks, one or more in each row group."""
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        for position in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(position)
            leaf = chunk.path_in_schema
            if leaf == column or leaf.startswith(f"{column}."):
                yield chunk
