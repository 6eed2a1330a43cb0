"""The seed-robustness matrix: every model against every other, variant-major, seeds inside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcka.heatmap import draw_heatmap
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.slices import Slice
from fastcka.report.source import Source
from fastcka.stats import ModelMatrix, model_matrix


def matrices(source: Source) -> Iterator[Item]:
    """Yield a matrix for each slice: a figure where the step is drawn, a table always."""
    slices = [*source.cut.slices, *source.cut.whole]
    if not slices:
        yield NotDrawn("Matrices", "no pair is of two models at one layer and one step")
    for part in slices:
        by = [
            name
            for name in source.roles.nesting
            if part.family is None or name != source.roles.family
        ]
        matrix = model_matrix(part.table, by=by)
        names = row_names(matrix)
        stem = f"matrix_{part.stem}" if part not in source.cut.whole else f"matrix_all_{part.stem}"
        rows = [
            [name, model, *labels, *values]
            for name, model, labels, values in zip(
                names, matrix.models, matrix.labels, matrix.cka.tolist(), strict=True
            )
        ]
        yield Sheet(stem, part.title, ["name", "model", *by, *names], rows)
        if part.step in source.drawn:
            yield _drawing(source, part, matrix, names, stem, by)


def row_names(matrix: ModelMatrix) -> list[str]:
    """Return a name for each row: its labels, with the model's where they do not tell it apart."""
    names = [" / ".join("–" if label is None else label for label in own) for own in matrix.labels]
    return [
        model if not name else f"{name} ({model})" if names.count(name) > 1 else name
        for name, model in zip(names, matrix.models, strict=True)
    ]


def _drawing(
    source: Source, part: Slice, matrix: ModelMatrix, names: list[str], stem: str, by: list[str]
) -> Drawing:
    outer = [own[:-1] for own in matrix.labels]
    starts = [at for at in range(1, len(outer)) if outer[at] != outer[at - 1]]
    figure = draw_heatmap(
        matrix.cka,
        names,
        title=part.title,
        estimator=part.table.estimator or "estimator unknown",
        n_examples=None,
        blocks=starts,
        blank=np.eye(len(names), dtype=bool),
        notes=[
            source.caption(part),
            f"{matrix.n_pairs:,} pairs of {len(names)} models"
            + (f", rows by {' / '.join(by)}" if by else ""),
        ],
        cell_inches=0.24,
    )
    return Drawing(
        stem,
        f"Matrix: {part.title}",
        figure,
        "Every model against every other. Grey: a model with itself, which is never compared. "
        "Hatched: a pair without a value, because the sweep did not compare it or it is undefined.",
    )
