"""Columns of labels and of numbers, from the cells of results.csv or of a data frame."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.inference.blocks import is_missing
from fastcka.errors import InputError
from fastcka.sweep.results.table import uncell

Labels = NDArray[np.object_]
"""(n_pairs,) texts; None if the model lacks the factor."""


def label_text(value: object) -> str | None:
    """Return a label in the form used in the table: a text, or None if it is absent.

    Raises
    ------
    InputError
        The value is neither a text, a number, a list nor a set.
    """
    if isinstance(value, str):
        # A list in a cell of results.csv, as pandas reads it.
        items = value_of_cell(value) if value.startswith("[") else value
        return items if isinstance(items, str) else label_text(items)
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    try:
        if isinstance(value, list | tuple | set | frozenset):  # the tasks [a, b] equal [b, a]
            items = [item.item() if isinstance(item, np.generic) else item for item in value]
            return json.dumps(sorted(items, key=repr), ensure_ascii=False)
        if is_missing(value):
            return None
        if isinstance(value, float) and value.is_integer():
            return str(int(value))  # pandas reads 1 as 1.0 if the column has an empty cell
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"expected labels that are text, numbers or lists of these; got {value!r}: convert it "
            "to text"
        ) from error


def is_absent(labels: Labels) -> NDArray[np.bool_]:
    """Return a mask of the ``labels`` that are None."""
    return np.array([label is None for label in labels], bool)


def value_of_cell(text: str) -> Any:
    """Return the value of a cell of results.csv: a text, a list, or None for an empty cell."""
    if text == "":
        return None
    if text[0] == "'":  # the guard that stops spreadsheets from running the text
        return uncell(text)
    if text[0] == "[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def labels_of(values: Iterable[Any], name: str, source: str) -> Labels:
    """Return a column of labels.

    Raises
    ------
    InputError
        A value is no label.
    """
    try:
        labels = [label_text(value) for value in values]
    except InputError as error:
        raise InputError(f"{source}: column '{name}': {error}") from error
    result = np.empty(len(labels), object)
    result[:] = labels
    return result


def numbers_of(values: Iterable[Any], name: str, source: str) -> NDArray[np.float64]:
    """Return a column of numbers, NaN for a missing one.

    Raises
    ------
    InputError
        A value is not a number.
    """
    try:
        return _floats(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: column '{name}': {error}") from error


def columns_of_numbers(columns: Mapping[str, Iterable[Any]]) -> dict[str, NDArray[np.float64]]:
    """Return the columns that contain numbers only, without those of texts."""
    numbers = {}
    for name, values in columns.items():
        with suppress(TypeError, ValueError):
            numbers[name] = _floats(values)
    return numbers


def _floats(values: Iterable[Any]) -> NDArray[np.float64]:
    return np.array([math.nan if is_missing(v) else float(v) for v in values], np.float64)
