"""Ids and columns of examples, from rows as JSON or CSV has them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import InputError
from fastcka.store.file.columns import encoded_columns
from fastcka.store.file.ids import position_names
from fastcka.store.foreign.id_fields import IdField, found_ids, is_id_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POSITION: Final = "position"


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
    id_source
        Where the ids were found; empty for positions.
    doubt
        What might have been the ids and was not taken, and why; empty for nothing.
    """

    ids: list[str]
    columns: dict[str, list[Any]]
    id_field: str
    left_out: dict[str, str]
    id_source: str = ""
    doubt: str = ""

    @property
    def positional_ids(self) -> bool:
        """Whether the ids only name positions."""
        return self.id_field == POSITION


@dataclass(frozen=True, slots=True, eq=False)
class ExampleRows:
    """What is known of examples before it is decided what their ids are.

    Attributes
    ----------
    n_examples
        How many there are; None if unknown.
    columns, left_out
        As in `ExampleTable`.
    fields
        What may be the ids.
    """

    n_examples: int | None
    columns: dict[str, list[Any]]
    left_out: dict[str, str]
    fields: tuple[IdField, ...]

    def table(self, n_examples: int, inside: Sequence[IdField] = ()) -> ExampleTable:
        """Return the table of as many examples; ``inside``: what else may be their ids.

        Raises
        ------
        ImportRefusedError
            If ids cannot be used, or several fields that hold ids do not agree.
        """
        found, doubt = found_ids([*inside, *self.fields], n_examples)
        if found is None:
            names = position_names(n_examples)
            return ExampleTable(names, self.columns, POSITION, self.left_out, doubt=doubt)
        ids = found.texts(n_examples)
        return ExampleTable(ids, self.columns, found.field, self.left_out, found.source)


NO_ROWS: Final = ExampleRows(None, {}, {}, ())
"""The rows of examples about which nothing is known."""


def example_rows(
    rows: Sequence[Mapping[str, Any]],
    id_fields: Sequence[str],
    where: str,
    *,
    any_text: bool = True,
) -> ExampleRows:
    """Return what rows of a table contain about their examples.

    Numbers may come as texts: a column of which every value is the decimal text of an integer, or
    every value the ``repr`` of a float, becomes numbers, which leaves what a filter sees as it was.
    An unknown value (null, NaN or no value) is NaN among floats, and an empty text in a column of
    anything else, which is then of texts.

    Parameters
    ----------
    rows
        Name -> value, for each example.
    id_fields
        Where the ids are: the first of these fields that the rows have. Where they have none, a
        field that is called like ids.
    where
        What the rows are called in messages.
    any_text
        Whether a field of text under any name may be the ids, if it is the only one without
        repeated values.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = {name: [row.get(name) for row in rows] for name in names}
    explicit = [name for name in id_fields if name in names][:1]
    columns, left_out = stored_columns(values, len(rows))
    if explicit == ["id"]:
        del left_out["id"]
    texts = {name for name, column in columns.items() if all(isinstance(x, str) for x in column)}
    fields = tuple(
        IdField(name, f"{name!r} in {where}", values[name], named=bool(explicit))
        for name in explicit or names
        if explicit or is_id_name(name) or (any_text and name in texts)
    )
    return ExampleRows(len(rows), columns, left_out, fields)


def stored_columns(
    values: Mapping[str, list[Any]], n_examples: int
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return columns as a store holds them, and those that it cannot hold -> why."""
    columns: dict[str, list[Any]] = {}
    left_out: dict[str, str] = {}
    for name, given in values.items():
        column = _column(given)
        try:
            encoded_columns({name: column}, n_examples)
        except InputError as error:
            left_out[name] = str(error)
        else:
            columns[name] = column
    return columns, left_out


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
