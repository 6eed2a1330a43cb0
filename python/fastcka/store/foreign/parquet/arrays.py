"""Representations in Parquet files: a column of lists, or several columns of numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fastcka.arrays import plain_array
from fastcka.errors import InputError
from fastcka.store.foreign.naming import choose
from fastcka.store.foreign.numpy_files import numeric
from fastcka.store.foreign.parquet.file import open_parquet, read_columns
from fastcka.store.foreign.parquet.kinds import is_number, list_columns
from fastcka.store.foreign.parquet.lists import array_of_lists

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def parquet_names(path: Path) -> list[str]:
    """Return the columns that contain a list for each row, in the order of the file."""
    with open_parquet(path) as file:
        return list_columns(file.schema_arrow)


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
    with open_parquet(path) as file:
        schema = file.schema_arrow
        lists = list_columns(schema)
        if name is None and not lists:
            raise InputError(
                f"{path}: contains no column of lists; add :PATTERN, such as :embedding_*, to read "
                f"columns of numbers. It contains {_listed(schema.names)}"
            )
        if name is None or name in lists:
            chosen = choose(path, name, lists)
            where = f"{path}:{chosen}"
            return numeric(
                where, array_of_lists(where, read_columns(file, path, [chosen]).column(0))
            )
        where = f"{path}:{name}"
        return plain_array(
            read_columns(file, path, _matching(path, schema, name)), where, shift=False
        )


def _matching(path: Path, schema: Any, pattern: str) -> list[str]:
    """Return the columns of numbers that match a pattern."""
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    matching = [field for field in schema if expression.fullmatch(field.name)]
    if not matching:
        raise InputError(
            f"{path}: contains no column {pattern!r}; it contains {_listed(schema.names)}"
        )
    for field in matching:
        if not is_number(field.type):
            is_named = field.name == pattern
            expected = (
                "a column of numbers or of lists of numbers" if is_named else "columns of numbers"
            )
            remedy = (
                "name another column, or convert it first"
                if is_named
                else "give a pattern that leaves it out"
            )
            raise InputError(
                f"{path}:{pattern}: expected {expected}, but column {field.name!r} contains "
                f"{field.type}; {remedy}"
            )
    return [field.name for field in matching]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20} more columns" if len(names) > 20 else ""
    return f"{', '.join(names[:20])}{more}"
