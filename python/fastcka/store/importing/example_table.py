"""Ids and columns of examples, from rows as JSON or CSV has them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastcka.errors import ImportRefusedError, InputError
from fastcka.store.columns import encoded_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POSITION = "position"


@dataclass(frozen=True, slots=True, eq=False)
class ExampleTable:
    """The examples of a layer.

    Attributes
    ----------
    ids
        A unique name for each row.
    columns
        Name -> a value for each row; all texts, booleans, integers or floats.
    id_field
        The field that the ids were taken from, or "position".
    left_out
        Columns that a store cannot hold -> why.
    """

    ids: list[str]
    columns: dict[str, list[Any]]
    id_field: str
    left_out: dict[str, str]


def positions(n_examples: int) -> ExampleTable:
    """Return the table of examples of which nothing is known."""
    return ExampleTable([str(row) for row in range(n_examples)], {}, POSITION, {})


def example_table(
    rows: Sequence[Mapping[str, Any]], id_fields: Sequence[str], *, id_column: str | None = None
) -> ExampleTable:
    """Return the table of some rows.

    Numbers may come as texts: a column of which every value is the decimal text of an integer, or
    every value the ``repr`` of a float, becomes numbers, which leaves what a filter sees as it was.
    An unknown value (null, NaN or no value) is NaN among floats, and an empty text in a column of
    anything else, which is then of texts.

    Parameters
    ----------
    rows
        Name -> value, for each example.
    id_fields
        Where the ids stand: the first of these fields that the rows have, else the position.
    id_column
        A column that repeats the ids, under this name.

    Raises
    ------
    ImportRefusedError
        If only some rows have an id, or two have the same.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    id_field = next((field for field in id_fields if field in names), POSITION)
    if id_field == POSITION:
        ids = [str(row) for row in range(len(rows))]
    else:
        ids = [_id_text(row.get(id_field), id_field, at) for at, row in enumerate(rows)]
        _refuse_duplicates(ids, id_field)
    values = {name: [row.get(name) for row in rows] for name in names}
    if id_field == "id":
        del values["id"]
    if id_column is not None:
        values[id_column] = list(ids)
    columns: dict[str, list[Any]] = {}
    left_out: dict[str, str] = {}
    for name, given in values.items():
        column = _column(given)
        try:
            encoded_columns({name: column}, len(rows))
        except InputError as error:
            left_out[name] = str(error)
        else:
            columns[name] = column
    return ExampleTable(ids, columns, id_field, left_out)


def _id_text(value: Any, field: str, row: int) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool) or not isinstance(value, str | int | float) or _unknown(value):
        raise ImportRefusedError(
            "rows without an id", f"row {row} (from 0): {field}: expected an id, got {value!r}"
        )
    if value == "":
        raise ImportRefusedError("rows without an id", f"row {row} (from 0): {field} is empty")
    return str(value)


def _refuse_duplicates(ids: list[str], field: str) -> None:
    if len(set(ids)) == len(ids):
        return
    twice = [name for name, count in Counter(ids).items() if count > 1]
    rows = [row for row, name in enumerate(ids) if name == twice[0]]
    raise ImportRefusedError(
        "duplicate ids",
        f"{len(twice)} values of {field} stand more than once, {twice[0]!r} at rows "
        f"{', '.join(map(str, rows[:5]))} (from 0); which row is meant cannot be known",
    )


def _column(values: list[Any]) -> list[Any]:
    known = [value for value in values if not _unknown(value)]
    complete = len(known) == len(values)
    kinds = {type(value) for value in known}
    if known and complete and kinds == {bool}:
        return values
    if kinds and kinds <= {int, float} and float in kinds:
        return [math.nan if _unknown(value) else float(value) for value in values]
    integers = _integers(known)
    if integers is not None and complete:
        return integers
    if integers is None and (floats := _floats(known)) is not None:
        filled = iter(floats)
        return [math.nan if _unknown(value) else next(filled) for value in values]
    return ["" if _unknown(value) else _text(value) for value in values]


def _integers(known: list[Any]) -> list[int] | None:
    """Return all values as integers of 64 bits if they are, or are the decimal texts of, such."""
    found = []
    for value in known:
        number = value
        if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdecimal():
            number = int(value)
            if str(number) != value:
                return None
        if type(number) is not int or not -(2**63) <= number < 2**63:
            return None
        found.append(number)
    return found or None


def _floats(known: list[Any]) -> list[float] | None:
    """Return all values as floats if each is one, or is the `repr` of one."""
    found = []
    for value in known:
        number = value
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                return None
            if repr(number) != value:
                return None
        if type(number) is not float:
            return None
        found.append(number)
    return found or None


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
