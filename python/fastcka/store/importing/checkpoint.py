"""Reading one checkpoint folder of a tree, and checking that its two files agree.

`representations.pt` is a dict with `representations` (n, tokens, layers, hidden) and the same
numbers flattened as `representations_flat`. `metadata.json` describes them; its list `city_info`
contains one object for each row. It was written with ``default=str``, so any number may be a text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import ImportRefusedError, InputError, StoreError
from fastcka.store.foreign.examples import id_fields_of_saved
from fastcka.store.foreign.id_fields import IdField, is_id_name
from fastcka.store.foreign.torch_files import checked_tensor, load_pt
from fastcka.store.importing.example_table import (
    NO_ROWS,
    ExampleTable,
    example_rows,
    stored_columns,
)
from fastcka.store.importing.jsonfile import UNREADABLE, read_json, whole_number, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VALUES: Final = "representations.pt"
METADATA: Final = "metadata.json"
ID_FIELDS: Final = ("city_id", "row_id")

_SHAPE: Final = "shape contradicts metadata"


class CityTables:
    """Example tables made from `city_info`. The last one is cached: the next is usually equal."""

    def __init__(self) -> None:
        self._last: tuple[list[Any], ExampleTable] | None = None

    def of_rows(self, rows: list[Any], fields: Sequence[IdField]) -> ExampleTable:
        """Return the table of a `city_info`.

        The ids are `city_id`; else `row_id`; else the field with the name of an id, in the rows or
        in ``fields``; else the position in the list. In every case the column `city_id` contains
        the ids, because filters use this name.
        """
        if self._last is None or self._last[0] != rows or fields:
            self._last = rows, _city_table(rows, fields)
        return self._last[1]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The content of a checkpoint folder.

    Attributes
    ----------
    values
        (n_examples, ...) tensor, mapped from the file.
    table
        Its examples.
    prompt_format
        The field of this name in the metadata; None if it is absent or no text.
    """

    values: Any
    table: ExampleTable
    prompt_format: str | None


def _city_table(rows: list[Any], inside: Sequence[IdField]) -> ExampleTable:
    examples = example_rows(rows, ID_FIELDS, "city_info", any_text=False)
    # Any number may be a text here, even in some rows only.
    fields = tuple(
        replace(field, values=[str(id_) if type(id_) is int else id_ for id_ in field.values])
        for field in examples.fields
    )
    named = any(field.named for field in fields)
    table = replace(examples, fields=fields).table(len(rows), () if named else inside)
    ids, left_out = stored_columns({"city_id": table.ids}, len(rows))
    others = {name: why for name, why in table.left_out.items() if name != "city_id"}
    return replace(table, columns={**table.columns, **ids}, left_out={**others, **left_out})


def incomplete(folder: Path) -> str | None:
    """Return a message with the missing files of a checkpoint folder; None if it is complete."""
    absent = [name for name in (VALUES, METADATA) if not (folder / name).is_file()]
    if len(absent) == 2:
        return f"{folder}: contains neither {VALUES} nor {METADATA}"
    return f"{folder}: {absent[0]} is missing" if absent else None


def read_checkpoint(folder: Path, *, layer: int, step: int, tables: CityTables) -> Checkpoint:
    """Read a checkpoint of one layer at one step.

    Raises
    ------
    ImportRefusedError
        If a file is missing or damaged, or the files contradict each other or the folder's name.
    MissingExtraError
        If PyTorch is not installed.
    """
    lacking = incomplete(folder)
    if lacking is not None:
        raise ImportRefusedError("incomplete checkpoint", lacking)
    metadata = read_json(folder / METADATA)
    if not isinstance(metadata, dict):
        raise ImportRefusedError(UNREADABLE, f"{folder / METADATA}: expected an object")
    try:
        saved = load_pt(folder / VALUES)
    except (InputError, StoreError, OSError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    if not isinstance(saved, dict):
        raise ImportRefusedError(UNREADABLE, f"{folder / VALUES}: expected a dict of tensors")
    for where, fields in ((folder / METADATA, metadata), (folder / VALUES, saved)):
        _check_name(f"{where}: layers", fields.get("layers"), layer, "layer")
        _check_name(f"{where}: step", fields.get("step"), step, "step")
    values = _values(folder, saved)
    _check_shape(folder, metadata, values)
    table = _table(folder, metadata, saved, len(values), tables)
    prompt = metadata.get("prompt_format")
    return Checkpoint(values, table, prompt if isinstance(prompt, str) else None)


def _check_name(where: str, field: Any, expected: int, noun: str) -> None:
    """Refuse a field that contradicts the number in the folder's name."""
    if hasattr(field, "tolist"):  # a tensor
        field = field.tolist()
    numbers = whole_numbers(where, field)
    if numbers is not None and numbers != (expected,):
        raise ImportRefusedError(
            f"{noun} contradicts the folder",
            f"{where}: expected {expected} by the folder's name, got "
            f"{', '.join(map(str, numbers)) or 'none'}",
        )


def _values(folder: Path, saved: dict[Any, Any]) -> Any:
    """Return the flat tensor if it exists, else the other one. Their shapes must agree."""
    tensors = {}
    for name in ("representations_flat", "representations"):
        if name in saved:
            try:
                tensors[name] = checked_tensor(f"{folder / VALUES}:{name}", saved[name])
            except (InputError, StoreError) as error:
                raise ImportRefusedError(UNREADABLE, str(error)) from error
    if not tensors:
        raise ImportRefusedError(
            UNREADABLE,
            f"{folder / VALUES}: contains neither representations_flat nor representations; it has "
            f"{', '.join(map(str, list(saved)[:8])) or 'nothing'}",
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    flat = {(shape[:1], prod(shape[1:])) for shape in shapes.values()}
    if len(flat) > 1 or any(len(shape) < 2 for shape in shapes.values()):
        raise ImportRefusedError(_SHAPE, f"{folder / VALUES}: shapes {shapes} do not agree")
    return next(iter(tensors.values()))


def _check_shape(folder: Path, metadata: dict[str, Any], values: Any) -> None:
    n_examples, n_features = len(values), prod(values.shape[1:])
    where = folder / METADATA
    factors = [
        whole_number(f"{where}: {name}", metadata.get(name))
        for name in ("n_tokens", "n_layers", "hidden_dim")
    ]
    described: dict[str, tuple[object, object]] = {
        "n_cities": (
            whole_number(f"{where}: n_cities", metadata.get("n_cities")),
            n_examples,
        ),
        "representation_flat_dim": (
            whole_number(
                f"{where}: representation_flat_dim", metadata.get("representation_flat_dim")
            ),
            n_features,
        ),
        "n_tokens * n_layers * hidden_dim": (
            None if None in factors else prod(number or 0 for number in factors),
            n_features,
        ),
    }
    shape = whole_numbers(f"{where}: representation_shape", metadata.get("representation_shape"))
    if shape:
        flat_shape = (shape[0], prod(shape[1:]))
        described["representation_shape"] = (flat_shape, (n_examples, n_features))
    for name, (number, actual) in described.items():
        if number is not None and number != actual:
            raise ImportRefusedError(
                _SHAPE, f"{where}: {name}: {number}, but {VALUES} contains {actual}"
            )


def _table(
    folder: Path,
    metadata: dict[str, Any],
    saved: dict[Any, Any],
    n_examples: int,
    tables: CityTables,
) -> ExampleTable:
    rows = metadata.get("city_info")
    fields = [
        *id_fields_of_saved(folder / VALUES, saved).values(),
        *(
            IdField(name, f"{name!r} in {folder / METADATA}", value)
            for name, value in metadata.items()
            if isinstance(value, list) and is_id_name(name)
        ),
    ]
    if rows is None:
        return NO_ROWS.table(n_examples, fields)
    where = f"{folder / METADATA}: city_info"
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ImportRefusedError(UNREADABLE, f"{where}: expected a list of objects")
    if len(rows) != n_examples:
        raise ImportRefusedError(
            "row counts differ", f"{where}: has {len(rows)} rows, but {VALUES} has {n_examples}"
        )
    try:
        return tables.of_rows(rows, fields)
    except ImportRefusedError as error:
        raise ImportRefusedError(error.reason, f"{folder / METADATA}: {error}") from None
