"""The files and the table of a comparison of captured layers."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

from fastcka.cli import output
from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from fastcka.core import Comparison


def write_files(comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Write a comparison, its table and its heatmap into a folder; return what -> file.

    Without matplotlib there is no heatmap, but a warning.

    Raises
    ------
    WriteError
        If a file cannot be written.
    """
    from fastcka.files import make_folder

    make_folder(folder)
    files = {"comparison": folder / "comparison.npz", "table": folder / "results.csv"}
    comparison.save(files["comparison"])
    _write_table(comparison, files["table"])
    heatmap = folder / "heatmap.png"
    try:
        _without_constants(comparison).plot(heatmap)
        files["heatmap"] = heatmap
    except MissingExtraError as error:
        output.note("warning", f"no heatmap: {error}")
    return files


def most_similar(comparison: Comparison, most: int) -> Table:
    """Return a table of the pairs with the largest CKA."""
    import numpy as np

    shown = _without_constants(comparison)
    first, second = shown.pairs.T
    cka = shown.cka[first, second]
    order = np.argsort(-cka, kind="stable")[:most]  # NaN is last
    table = output.columns("A", "B", "CKA", numbers=["CKA"])
    if more := len(cka) - len(order):
        table.caption = f"and {output.counted(more, 'other pair')}"
    for pair in order.tolist():
        names = shown.names[first[pair]], shown.names[second[pair]]
        table.add_row(*names, f"{cka[pair]:.4f}")
    return table


def _write_table(comparison: Comparison, path: Path) -> None:
    """Write one row for each pair, with the columns of `Comparison.to_dataframe`."""
    from fastcka.core.tables import label_columns, matrices_of
    from fastcka.files import replaced_stream
    from fastcka.sweep.results.table import cell, write_rows

    first, second = comparison.pairs.T
    columns = label_columns(comparison.labels, comparison.pairs)
    columns["n_examples"] = [comparison.n_examples] * len(first)
    columns["estimator"] = [comparison.estimator] * len(first)
    for name, matrix in {"cka": comparison.cka, **matrices_of(comparison)}.items():
        columns[name] = matrix[first, second].tolist()
    text = io.StringIO(newline="")
    rows = zip(*columns.values(), strict=True)
    write_rows(text, [map(cell, columns), *(map(cell, row) for row in rows)])
    with replaced_stream(path) as file:
        file.write(text.getvalue().encode())


def _without_constants(comparison: Comparison) -> Comparison:
    """Return the comparison with the label fields that distinguish its layers."""
    labels = comparison.labels
    differing = [name for name in labels[0] if len({label[name] for label in labels}) > 1]
    kept = differing or ["layer"]
    return replace(
        comparison, labels=tuple({name: label[name] for name in kept} for label in labels)
    )
