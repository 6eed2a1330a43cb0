"""``results.parquet``: the rows of ``results.csv`` with types, if pyarrow is installed.

The columns and their order are those of ``results.csv``. Numbers are int64 or float64, and an
unknown number is NaN. A factor is text, boolean, int64 or float64 if all its values are; otherwise
it is text as in ``results.csv``, lists as JSON. A factor that a model lacks, or whose value is
null, is null. Texts have no apostrophe, because no program runs them as formulas.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.files import remove_file, replaced_stream
from fastcka.sweep.planning.columns import column_names, number_columns
from fastcka.sweep.question.labels import KEY_FIELDS, value_text
from fastcka.sweep.results.table import pair_numbers
from fastcka.sweep.results.undefined import UndefinedValues

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.core import Comparison
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan

_ROWS_AT_ONCE: Final = 100_000
"""Rows that are collected before they are written, as one row group of the file."""


@contextmanager
def parquet_table(plan: SweepPlan, path: Path) -> Iterator[ParquetTable | None]:
    """Yield a table that appears under ``path`` when it is complete; None without pyarrow.

    Without pyarrow, a table of an earlier run is removed: it may be of other results.

    Raises
    ------
    WriteError
        The file cannot be written or removed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        remove_file(path)
        yield None
        return
    table = ParquetTable(plan)
    with (
        replaced_stream(path) as file,
        parquet.ParquetWriter(file, table.schema) as writer,
    ):
        table.writer = writer
        yield table
        table.flush()


class ParquetTable:
    """The table of a sweep while its groups are written.

    Attributes
    ----------
    schema
        Its columns, a `pyarrow.Schema`.
    writer
        The open `pyarrow.parquet.ParquetWriter`.
    """

    def __init__(self, plan: SweepPlan) -> None:
        import pyarrow as pa

        config = plan.config
        self.writer: Any = None
        self._factors = plan.factors
        self._within = config.compare.within
        kinds: dict[str, Any] = {
            "n_examples": pa.int64(),
            "n_dropped": pa.int64(),
            "seconds": pa.float64(),
        }
        labels = [r.labels for r in plan.representations]
        for field in (*KEY_FIELDS, *plan.factors):
            kind = _kind(label.get(field) for label in labels)
            kinds |= {f"{field}_{side}": kind for side in "ab"}
        for field in self._within:
            kinds[field] = _kind(group.fields[field] for group in plan.groups)
        numbers = number_columns(config)
        kinds |= dict.fromkeys(numbers, pa.float64())
        names = column_names(config, plan.factors)
        self.schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
        self._numbers = numbers
        self._waiting: list[Any] = []
        self._rows = 0

    def write(
        self, group: GroupPlan, comparison: Comparison, q_values: NDArray[np.float64] | None
    ) -> None:
        """Add the comparisons of a group; the parameters are those of `group_rows`."""
        import pyarrow as pa

        count = len(group.pairs)
        constant = self._constants(group, comparison)
        columns: dict[str, Any] = {name: [value] * count for name, value in constant.items()}
        for side, positions in zip("ab", group.pairs.T.tolist(), strict=True):
            for field in (*KEY_FIELDS, *self._factors):
                name = f"{field}_{side}"
                values = [self._typed(name, r.labels.get(field)) for r in group.representations]
                columns[name] = [values[i] for i in positions]
        columns |= dict(zip(self._numbers, pair_numbers(group, comparison, q_values), strict=True))
        undefined = UndefinedValues(comparison)
        columns["undefined"] = [undefined.why(a, b) for a, b in group.pairs.tolist()]
        arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
        self._waiting.append(pa.Table.from_arrays(arrays, schema=self.schema))
        self._rows += count
        if self._rows >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        import pyarrow as pa

        if self._waiting:
            self.writer.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._rows = [], 0

    def _constants(self, group: GroupPlan, comparison: Comparison) -> dict[str, Any]:
        examples, provenance = group.examples, comparison.provenance
        return {
            "group": group.name,
            **{field: self._typed(field, group.fields[field]) for field in self._within},
            "n_examples": examples.n_examples,
            "n_dropped": sum(examples.dropped.values()),
            "dropped": examples.dropped_text,
            "estimator": comparison.estimator,
            **{name: provenance.get(name) for name in ("device", "route", "precision", "seconds")},
        }

    def _typed(self, column: str, value: Any) -> Any:
        from pyarrow import types

        is_text = types.is_string(self.schema.field(column).type)
        return value_text(value) if is_text and value is not None else value


def _kind(values: Iterable[Any]) -> Any:
    """Return the type of a column that has these values, apart from None."""
    import pyarrow as pa

    known = [value for value in values if value is not None]
    kinds = {type(value) for value in known}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in known):
        return pa.int64()
    if (
        kinds
        and kinds <= {int, float}
        and all(isinstance(value, float) or abs(value) <= 2**53 for value in known)
    ):
        return pa.float64()
    return pa.string()
