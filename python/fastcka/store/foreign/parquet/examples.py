"""Example ids and other columns of examples in Parquet files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.store.foreign.id_fields import IdField, is_id_name
from fastcka.store.foreign.parquet.file import open_parquet, read_columns
from fastcka.store.foreign.parquet.kinds import is_plain, is_text, list_columns
from fastcka.store.foreign.parquet.texts import read_texts
from fastcka.store.foreign.texts import TextError

if TYPE_CHECKING:
    from pathlib import Path


def parquet_id_fields(path: Path, *, known: bool = False) -> dict[str, IdField]:
    """Return the column that contains the example ids, or the columns that may.

    It is the index that pandas stored, else the column "id". Others may be ids if they are text, or
    integers under a name for ids. With ``known``, text under another name is not read. Text under
    another name that cannot be ids, because it is too long or not UTF-8, is left out.
    """
    fields: dict[str, IdField] = {}
    with open_parquet(path) as file:
        schema = file.schema_arrow
        index = _index_column(schema)
        able = [field.name for field in schema if _may_be_ids(field, known=known)]
        first = index or ("id" if "id" in able else None)
        for name in [first] if first else able:
            values: list[Any]
            try:
                if is_text(schema.field(name).type):
                    values = read_texts(path, name)
                else:
                    values = read_columns(file, path, [name]).column(0).to_pylist()
            except TextError:
                if name == first or is_id_name(name):
                    raise
                continue
            fields[name] = IdField(name, f"{name!r} in {path}", values, named=name == first)
    return fields


def parquet_example_columns(path: Path) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the values of all other columns, and the columns that are left out -> why."""
    columns: dict[str, list[Any]] = {}
    left_out: dict[str, str] = {}
    with open_parquet(path) as file:
        schema = file.schema_arrow
        ids = {"id", _index_column(schema)}
        lists = set(list_columns(schema))
        for field in schema:
            name, kind = field.name, field.type
            if name in ids | lists:
                continue
            if not is_plain(kind):
                left_out[name] = f"expected text, numbers, booleans or times, got {kind}"
                continue
            try:
                if is_text(kind):
                    columns[name] = read_texts(path, name)
                else:
                    columns[name] = read_columns(file, path, [name]).column(0).to_pylist()
            except TextError as error:
                left_out[name] = str(error)
            except (ValueError, OverflowError) as error:  # times that Python cannot hold
                left_out[name] = f"expected values that Python can represent: {error}"
    return columns, left_out


def _may_be_ids(field: Any, *, known: bool) -> bool:
    from pyarrow import types

    if not is_id_name(field.name):
        return not known and is_text(field.type)
    return is_text(field.type) or bool(types.is_integer(field.type))


def _index_column(schema: Any) -> str | None:
    """Return the column that pandas stored as the index of a table; None for a default index."""
    described = (schema.pandas_metadata or {}).get("index_columns", [])
    stored = [name for name in described if isinstance(name, str) and name in schema.names]
    return stored[0] if len(stored) == 1 else None
