"""Ids and columns of examples, from rows of JSON or CSV files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import ImportRefusedError, InputError
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
        Name -> one value for each row; all texts, all booleans, all integers or all floats.
    id_field
        The field that contained the ids, or "position".
    left_out
        Columns that a store cannot contain -> the reason.
    id_source
        The file and field that contained the ids; empty for positions.
    doubt
        A field that might contain ids but was not used, and why; empty if there is none.
    """

    ids: list[str]
    columns: dict[str, list[Any]]
    id_field: str
    left_out: dict[str, str]
    id_source: str = ""
    doubt: str = ""

    @property
    def positional_ids(self) -> bool:
        """Whether the ids are only positions."""
        return self.id_field == POSITION


@dataclass(frozen=True, slots=True, eq=False)
class ExampleRows:
    """The columns of examples, before their ids are chosen.

    Attributes
    ----------
    n_examples
        Number of examples; None if unknown.
    columns, left_out
        As in `ExampleTable`.
    fields
        Fields that may be the ids.
    """

    n_examples: int | None
    columns: dict[str, list[Any]]
    left_out: dict[str, str]
    fields: tuple[IdField, ...]

    def table(self, n_examples: int, inside: Sequence[IdField] = ()) -> ExampleTable:
        """Return the table of ``n_examples`` examples, with ids from ``inside`` or the rows.

        Raises
        ------
        ImportRefusedError
            If ids cannot be used, or several fields with ids disagree.
        """
        id_field, doubt = found_ids([*inside, *self.fields], n_examples)
        if id_field is None:
            names = position_names(n_examples)
            return ExampleTable(names, self.columns, POSITION, self.left_out, doubt=doubt)
        ids = id_field.texts(n_examples)
        return ExampleTable(ids, self.columns, id_field.field, self.left_out, id_field.source)

    def joined(self, inside: ExampleRows) -> ExampleRows:
        """Return these rows with the columns inside a file of arrays; they have the same rows.

        Raises
        ------
        ImportRefusedError
            If both have a column of the same name.
        """
        twice = sorted(self.columns.keys() & inside.columns.keys())
        if twice:
            raise ImportRefusedError(
                "two columns of one name",
                f"column {twice[0]!r} is in the file of the arrays and in a file next to it; "
                "remove or rename one of them",
            )
        return ExampleRows(
            self.n_examples,
            {**self.columns, **inside.columns},
            {**self.left_out, **inside.left_out},
            self.fields,
        )


NO_ROWS: Final = ExampleRows(None, {}, {}, ())
"""Rows without any columns or ids."""


def example_rows(
    rows: Sequence[Mapping[str, Any]],
    id_fields: Sequence[str],
    where: str,
    *,
    any_text: bool = True,
) -> ExampleRows:
    """Return the columns and possible ids in the rows of a table.

    Numbers may be written as texts. If every value of a column is the decimal text of an integer,
    or every value is the ``repr`` of a float, the column becomes numbers; filters see the same
    text. An unknown value (null, NaN or absent) becomes NaN in a column of floats. A column of
    anything else with unknown values becomes texts, with an empty text for each.

    Parameters
    ----------
    rows
        Name -> value, for each example.
    id_fields
        Names of the id field; the first that exists is used. If none exists, a field with the name
        of an id is used.
    where
        The name of the rows in messages.
    any_text
        Whether a text field with any name may be the ids, if it is the only text field without
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
    """Return the columns in a store's types, and the columns that a store cannot contain -> why."""
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
    """Return all values as integers if each is a 64-bit integer or the decimal text of one."""
    integers = []
    for value in known:
        number = value
        if isinstance(value, str) and len(value) <= 20 and value.removeprefix("-").isdecimal():
            number = int(value)
            if str(number) != value:
                return None
        if type(number) is not int or not -(2**63) <= number < 2**63:
            return None
        integers.append(number)
    return integers or None


def _floats(known: list[Any]) -> list[float] | None:
    """Return all values as floats if each is a float or the `repr` of one."""
    floats = []
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
        floats.append(number)
    return floats or None


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
