"""Block means: the mean of each two variants, its standard error and its number of pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcka.heatmap import draw_heatmap
from fastcka.report.data import ReportData
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.roles import missing_role
from fastcka.report.slices import Slice
from fastcka.stats import BlockMeans, block_means

_MOST_WITH_TEXT = 16


def blocks(data: ReportData) -> Iterator[Item]:
    """Yield one table of all slices, and a figure for each slice whose step is drawn."""
    variant, seed = data.roles.variant, data.roles.seed
    if variant is None:
        yield missing_role("Block means", "variant", data.roles, data.cut.usable)
        return
    if seed is None:
        what = "Diagonal block means without pairs of one seed"
        yield missing_role(what, "seed", data.roles, data.cut.usable)
    rows = []
    for part in data.cut.slices:
        means = block_means(part.table, by=variant, cross=seed)
        for i, first in enumerate(means.labels):
            for j, second in enumerate(means.labels[i:], start=i):
                numbers = [means.mean[i, j], means.sem[i, j], int(means.n[i, j])]
                rows.append([part.family, part.layer, part.step, first, second, *numbers])
        for reason, count in means.left_out.items():
            yield NotDrawn("Pairs that are in no block mean", reason, (f"{part.title}: {count:,}",))
        if part.step in data.drawn and means.labels:
            yield _drawing(data, part, means)
    header = ["family", "layer", "step", f"{variant}_1", f"{variant}_2", "mean", "sem", "n"]
    yield Sheet("block_means", f"Mean similarity for each two values of {variant}", header, rows)


def _drawing(data: ReportData, part: Slice, means: BlockMeans) -> Drawing:
    texts = None
    if len(means.labels) <= _MOST_WITH_TEXT:
        texts = [
            [_text(*cell) for cell in zip(*row, strict=True)]
            for row in zip(means.mean, means.sem, means.n, strict=True)
        ]
    seed = data.roles.seed
    cross = "" if seed is None else f" Diagonal: only pairs that differ in {seed}."
    figure = draw_heatmap(
        means.mean,
        means.labels,
        title=f"Means by {means.by}: {part.title}",
        estimator=part.table.estimator or "estimator unknown",
        n_examples=None,
        blocks=[],
        texts=texts,
        notes=[
            data.caption(part),
            f"Mean ± standard error (number of pairs).{cross}",
        ],
        cell_inches=0.62,
    )
    return Drawing(f"blocks_{part.stem}", figure)


def _text(mean: float, sem: float, n: int) -> str:
    scatter = f"\n±{sem:.3f}" if np.isfinite(sem) else ""
    return f"{mean:.2f}{scatter}\n({n})"
