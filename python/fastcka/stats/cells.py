"""Columns of labels and of numbers, from the cells of results.csv or of a data frame."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.sweep.results.table import uncell

Labels = NDArray[np.object_]
"""(n_pairs,) texts; None if the model lacks the factor."""


def label_text(value: object) -> str | None:
    """Return a label in the form used in the table: a text, or None if it is absent."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):  # the tasks [a, b] equal the tasks [b, a]
        return json.dumps(sorted(value, key=repr), ensure_ascii=False)
    if isinstance(value, np.generic):
        return label_text(value.item())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas reads 1 as 1.0 if the column has an empty cell
    return json.dumps(value, ensure_ascii=False)


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


def labels_of(values: Iterable[Any]) -> Labels:
    """Return a column of labels."""
    labels = [label_text(value) for value in values]
    result = np.empty(len(labels), object)
    result[:] = labels
    return result


def numbers_of(values: Iterable[Any], name: str, source: str) -> NDArray[np.float64]:
    """Return a column of numbers, NaN for None.

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
    return np.array([math.nan if v is None else float(v) for v in values], np.float64)
