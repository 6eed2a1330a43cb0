"""``results.csv``: one tidy row per comparison, the same bytes for the same values.

Columns: ``group`` and each field of `within`; model, step and layer of both sides; every factor of
both sides as ``<factor>_a`` and ``<factor>_b``; then the numbers and their provenance.

``n_examples`` is the number of examples that the comparison uses. ``n_dropped`` is the number of
other examples that occur in the group, and ``dropped`` gives the reasons. Each id counts once, so
both numbers are the same for a whole group. ``seconds`` is the time of the whole group's pass. The
ledger stores it with the values, so a resumed run writes the same bytes. If two runs each compute a
group, their tables differ only in this column.

``p_value``, ``q_value`` and ``calibrated`` are there if the sweep asks for inference; the q-values
are those among all comparisons of the table. The columns of the measures that the sweep asks for
follow; `Comparison.to_dataframe` has the same.

Cells: floats by ``repr``, so that they read back exactly; NaN as ``nan``, with the reason in
``undefined`` (see `UndefinedValues`); lists, booleans and nulls as JSON (``["a", "b"]``); an absent
factor is empty. A *text* that starts with ``= + - @`` (or their full-width forms), a tab or a line
break gets a leading apostrophe, because a spreadsheet would run it as a formula. A text that
already has apostrophes before such a character gets one more, so that `uncell` restores each text.
Numbers do not change. Lines end with LF. A cell with a comma, a quote, CR or LF is in quotes.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, TextIO

import numpy as np

from fastcka.core.measures.table import pair_columns
from fastcka.sweep.planning.columns import column_names, matrix_columns
from fastcka.sweep.question.labels import value_text
from fastcka.sweep.results.undefined import UndefinedValues

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fastcka.core import Comparison
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan

_FORMULA_STARTS = (
    *("=", "+", "-", "@", "\t", "\r", "\n"),
    *("\uff1d", "\uff0b", "\uff0d", "\uff20"),  # full-width; some spreadsheets accept these too
)


def cell(value: object) -> str:
    """Return ``value`` as text for a cell."""
    if isinstance(value, str):
        return f"'{value}" if value.lstrip("'").startswith(_FORMULA_STARTS) else value
    if isinstance(value, float):
        return repr(value)
    return value_text(value)


def uncell(text: str) -> str:
    """Return the text that `cell` escaped."""
    return text[1:] if text[:1] == "'" and cell(text[1:]) == text else text


def write_rows(file: TextIO, rows: Iterable[Iterable[str]]) -> None:
    """Write rows of cells as CSV with LF line ends; ``file`` must have ``newline=""``."""

    class Lines:
        """Replaces CRLF by LF: only with CRLF does the csv module quote a cell with CR."""

        @staticmethod
        def write(line: str) -> int:
            return file.write(f"{line[:-2]}\n")

    csv.writer(Lines, lineterminator="\r\n").writerows(rows)


def header(plan: SweepPlan) -> list[str]:
    """Return the cells that name the columns."""
    return [cell(name) for name in column_names(plan.config, plan.factors)]


def group_rows(
    group: GroupPlan,
    comparison: Comparison,
    factors: Sequence[str],
    q_values: NDArray[np.float64] | None,
) -> Iterator[list[str]]:
    """Yield the rows of a group's comparisons, in the order of its pairs.

    ``q_values``, (P,), are those among all comparisons of the sweep; None without inference.
    """
    fields = [cell(group.name), *(cell(value) for value in group.fields.values())]
    keys = [[cell(part) for part in r.key] for r in group.representations]
    labels = [
        [cell(r.labels[factor]) if factor in r.labels else "" for factor in factors]
        for r in group.representations
    ]
    made_by = [
        cell(comparison.provenance.get(name, ""))
        for name in ("device", "route", "precision", "seconds")
    ]
    cells = np.column_stack(pair_numbers(group, comparison, q_values)).tolist()
    undefined = UndefinedValues(comparison)
    examples = group.examples
    about = [
        cell(examples.n_examples),
        cell(sum(examples.dropped.values())),
        cell(examples.dropped_text),
        cell(comparison.estimator),
    ]
    for (a, b), row in zip(group.pairs.tolist(), cells, strict=True):
        both = [text for pair in zip(labels[a], labels[b], strict=True) for text in pair]
        values = [cell(number) for number in row]
        why = cell(undefined.why(a, b))
        yield [*fields, *keys[a], *keys[b], *both, *about, *values, why, *made_by]


def pair_numbers(
    group: GroupPlan, comparison: Comparison, q_values: NDArray[np.float64] | None
) -> list[NDArray[np.float64]]:
    """Return the values of each of `number_columns`, (P,), for a group; NaN if unknown."""
    first, second = group.pairs.T
    numbers = [comparison.cka[first, second]]
    for column in matrix_columns(inference=q_values is not None):
        matrix = getattr(comparison, column.attribute)
        if column.attribute == "q_value" and q_values is not None:
            numbers.append(q_values)
        elif matrix is None:
            numbers.append(np.full(len(first), np.nan))
        else:
            numbers.append(matrix[first, second])
    return [*numbers, *pair_columns(comparison.measures, group.pairs)]
