"""The results of a sweep as a table with one row per pair of representations."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.near_misses import near_misses
from fastcka.stats.cells import (
    Labels,
    columns_of_numbers,
    is_absent,
    label_text,
    labels_of,
    numbers_of,
    value_of_cell,
)
from fastcka.stats.order import ordered
from fastcka.stats.printed import Printed, Table
from fastcka.sweep.planning.folder import RESULTS
from fastcka.sweep.question.labels import KEY_FIELDS
from fastcka.sweep.results.table import uncell


@dataclass(frozen=True, eq=False, repr=False)
class PairTable(Printed):
    """Pairs of representations with their labels and similarities.

    Attributes
    ----------
    a, b
        Field -> (n_pairs,) labels of the first and of the second representation. The fields are
        model, step, layer and every factor. Labels are texts as in results.csv; a list is JSON with
        sorted members. None means that the model lacks the factor.
    cka
        (n_pairs,) float64. NaN if the similarity is undefined.
    n_examples
        (n_pairs,) int64.
    estimator
        Estimator of ``cka``: "biased", "unbiased", or "" if the rows do not name it.
    order
        Field -> labels in the order you want; other labels follow (see `ordered`).
    numbers
        Name -> (n_pairs,) float64: the other columns of numbers, such as ``cka_biased`` and
        ``p_value``. NaN for an empty cell.
    """

    a: Mapping[str, Labels]
    b: Mapping[str, Labels]
    cka: NDArray[np.float64]
    n_examples: NDArray[np.int64]
    estimator: str = ""
    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Iterable[Any]],
        *,
        order: Mapping[str, Iterable[Any]] | None = None,
        source: str = "columns",
    ) -> PairTable:
        """Build a table from named columns: a dict of sequences, or a pandas DataFrame.

        Parameters
        ----------
        columns
            At least model_a, model_b, step_a, step_b, layer_a, layer_b and cka. Two further columns
            ``<field>_a`` and ``<field>_b`` contain the values of a factor.
        order
            Field -> labels in the order you want.
        source
            Name of the table in error messages.

        Raises
        ------
        InputError
            A column is missing, columns differ in length, a cell of a numeric column is not a
            number, a label is no text, number or list, a row has no model, a pair occurs twice, a
            model has two values of one factor, or the rows have different estimators.
        """
        names = [str(name) for name in columns.keys()]
        fields = [n[:-2] for n in names if n.endswith("_a") and f"{n[:-2]}_b" in names]
        for name in (*(f"{key}_{side}" for side in "ab" for key in KEY_FIELDS), "cka"):
            if name not in names:
                raise InputError(f"{source}: column '{name}' is missing{near_misses(name, names)}")
        sides = [
            {key: labels_of(columns[f"{key}_{side}"], f"{key}_{side}", source) for key in fields}
            for side in ("a", "b")
        ]
        cka = numbers_of(columns["cka"], "cka", source)
        examples = (
            numbers_of(columns["n_examples"], "n_examples", source)
            if "n_examples" in names
            else np.zeros(len(cka))
        )
        known = {*fields, *(f"{key}_{side}" for key in fields for side in "ab")}
        further = [name for name in names if name not in known | {"cka", "n_examples"}]
        numbers = columns_of_numbers({name: columns[name] for name in further})
        lengths = {len(cka), len(examples), *map(len, numbers.values())}
        lengths |= {len(labels) for side in sides for labels in side.values()}
        if len(lengths) > 1:
            raise InputError(f"{source}: expected columns of equal length, got {sorted(lengths)}")
        estimators = {str(e) for e in columns["estimator"]} if "estimator" in names else {""}
        if len(estimators) > 1:
            raise InputError(
                f"{source}: expected rows of one estimator, got {' and '.join(sorted(estimators))};"
                " keep the rows of one of them"
            )
        table = cls(
            a=sides[0],
            b=sides[1],
            cka=cka,
            n_examples=np.nan_to_num(examples).astype(np.int64),
            estimator=next(iter(estimators), ""),
            order={key: tuple(map(str, labels)) for key, labels in (order or {}).items()},
            numbers=numbers,
        )
        table._check(source)
        return table

    def __len__(self) -> int:
        return len(self.cka)

    def _table(self) -> Table:
        both = (("a", self.a), ("b", self.b))
        sides = [(f"{key}_{name}", side[key]) for name, side in both for key in KEY_FIELDS]
        columns = [*sides, ("cka", self.cka.tolist()), ("n_examples", self.n_examples.tolist())]
        return Table(
            f"PairTable: {len(self):,} pairs, fields {', '.join(self.fields)}",
            [name for name, _ in columns],
            zip(*(values for _, values in columns), strict=True),
            len(self),
        )

    @property
    def fields(self) -> list[str]:
        """Names of the fields: model, step, layer, then the factors."""
        return [*KEY_FIELDS, *(name for name in self.a if name not in KEY_FIELDS)]

    def require(self, *fields: str) -> None:
        """Raise `InputError` if the table lacks one of ``fields``."""
        for name in fields:
            if name not in self.a:
                raise InputError(f"the table has no field '{name}'{near_misses(name, self.fields)}")

    def keep(self, rows: NDArray[np.bool_]) -> PairTable:
        """Return the rows for which ``rows``, (n_pairs,) bool, is true."""
        return PairTable(
            a={name: labels[rows] for name, labels in self.a.items()},
            b={name: labels[rows] for name, labels in self.b.items()},
            cka=self.cka[rows],
            n_examples=self.n_examples[rows],
            estimator=self.estimator,
            order=self.order,
            numbers={name: values[rows] for name, values in self.numbers.items()},
        )

    def where(self, **labels: object) -> PairTable:
        """Return the pairs with these labels on both sides: ``where(layer=3, family="PT2")``."""
        self.require(*labels)
        rows = np.ones(len(self), bool)
        for name, value in labels.items():
            text = label_text(value)
            rows &= (self.a[name] == text) & (self.b[name] == text)
        return self.keep(rows)

    def same(self, name: str) -> NDArray[np.bool_]:
        """Return (n_pairs,) bool: whether both sides have the same label in this field."""
        self.require(name)
        return np.asarray((self.a[name] == self.b[name]) & ~is_absent(self.a[name]), bool)

    def differ(self, name: str) -> NDArray[np.bool_]:
        """Return (n_pairs,) bool: whether the two sides have different labels in this field.

        Absent labels count neither as equal nor as different.
        """
        self.require(name)
        absent = is_absent(self.a[name]) | is_absent(self.b[name])
        return np.asarray((self.a[name] != self.b[name]) & ~absent, bool)

    def defined(self) -> PairTable:
        """Return the pairs of two different models that have a value."""
        return self.keep(np.isfinite(self.cka) & (self.a["model"] != self.b["model"]))

    def labels(self, name: str) -> list[str | None]:
        """Return the distinct labels of a field, in order."""
        self.require(name)
        return ordered({*self.a[name], *self.b[name]}, self.order.get(name, ()))

    def models(self) -> dict[str, dict[str, str | None]]:
        """Return model -> factor -> label."""
        factors = [name for name in self.a if name not in KEY_FIELDS]
        return {
            side["model"][row]: {name: side[name][row] for name in factors}
            for side in (self.a, self.b)
            for row in range(len(self))
        }

    def _check(self, source: str) -> None:
        for name, side in (("a", self.a), ("b", self.b)):
            absent = np.flatnonzero(is_absent(side["model"]))
            if len(absent):
                raise InputError(
                    f"{source}: column 'model_{name}': expected a model in each row, got none in "
                    f"{len(absent)} (the first is row {absent[0]}, counted from 0): name the "
                    "models, or leave these rows out"
                )
        factors = [name for name in self.a if name not in KEY_FIELDS]
        known: dict[tuple[str, str], str | None] = {}
        for side in (self.a, self.b):
            for name in factors:
                for model, label in zip(side["model"], side[name], strict=True):
                    if known.setdefault((model, name), label) != label:
                        raise InputError(
                            f"{source}: expected one value of '{name}' for model '{model}', got "
                            f"{known[model, name]!r} and {label!r}"
                        )
        keys_a = zip(*(self.a[key] for key in KEY_FIELDS), strict=True)
        keys_b = zip(*(self.b[key] for key in KEY_FIELDS), strict=True)
        seen = set()
        for pair in map(frozenset, zip(keys_a, keys_b, strict=True)):
            if pair in seen:
                names = " and ".join("/".join(map(str, key)) for key in sorted(pair, key=str))
                raise InputError(
                    f"{source}: expected each pair once, got the pair {names} twice; remove one row"
                )
            seen.add(pair)


def read_results(
    path: str | Path, *, order: Mapping[str, Iterable[Any]] | None = None
) -> PairTable:
    """Read the results.csv of a sweep.

    Parameters
    ----------
    path
        ``results.csv``, or the folder that contains it.
    order
        Field -> labels in the order you want.

    Raises
    ------
    InputError
        The file is missing, or is not a table written by a sweep.
    """
    path = Path(path)
    file_path = path / RESULTS if path.is_dir() else path
    if not file_path.is_file():
        raise InputError(
            f"{file_path} is missing: expected the {RESULTS} of a sweep, or its folder"
        )
    try:
        with file_path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, strict=True)
            header = [uncell(name) for name in header]
    except (ValueError, csv.Error) as error:
        raise InputError(f"{file_path} is not the table of a sweep: {error}") from error
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(
                f"{file_path}, row {line}: expected {len(header)} cells, got {len(row)}; the file "
                "may be truncated"
            )
    cells = dict(zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True))
    columns = {name: [value_of_cell(text) for text in column] for name, column in cells.items()}
    return PairTable.from_columns(columns, order=order, source=str(file_path))
