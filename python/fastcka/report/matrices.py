"""Matrices of all models, sorted by family, variant and seed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcka.heatmap import draw_heatmap
from fastcka.report.data import ReportData
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.slices import Slice
from fastcka.stats import ModelMatrix, model_matrix
from fastcka.sweep.results.names import model_names


def matrices(data: ReportData) -> Iterator[Item]:
    """Yield a table for each slice, and a figure if its step is drawn."""
    slices = [*data.cut.slices, *data.cut.whole]
    if not slices:
        reason = "no pair has two models at the same layer and step"
        yield NotDrawn("Matrices of models", reason, applies=False)
    for part in slices:
        by = [
            name for name in data.roles.nesting if part.family is None or name != data.roles.family
        ]
        matrix = model_matrix(part.table, by=by)
        labelled = [dict(zip(by, labels, strict=True)) for labels in matrix.labels]
        named = model_names(dict(zip(matrix.models, labelled, strict=True)), by)
        names = [named[model] for model in matrix.models]
        stem = f"matrix_{part.stem}" if part not in data.cut.whole else f"matrix_all_{part.stem}"
        rows = [
            [name, model, *labels, *values]
            for name, model, labels, values in zip(
                names, matrix.models, matrix.labels, matrix.cka.tolist(), strict=True
            )
        ]
        yield Sheet(stem, part.title, ["name", "model", *by, *names], rows)
        if part.step in data.drawn:
            yield _drawing(data, part, matrix, names, stem, by)


def _drawing(
    data: ReportData, part: Slice, matrix: ModelMatrix, names: list[str], stem: str, by: list[str]
) -> Drawing:
    outer = [labels[:-1] for labels in matrix.labels]
    starts = [i for i in range(1, len(outer)) if outer[i] != outer[i - 1]]
    figure = draw_heatmap(
        matrix.cka,
        names,
        title=part.title,
        estimator=part.table.estimator or "estimator unknown",
        n_examples=None,
        blocks=starts,
        blank=np.eye(len(names), dtype=bool),
        notes=[
            data.caption(part),
            f"{matrix.n_pairs:,} pairs of {len(names)} models"
            + (f", sorted by {', '.join(by)}" if by else ""),
        ],
        cell_inches=0.24,
    )
    return Drawing(stem, figure)
