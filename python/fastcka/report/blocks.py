"""Block means: variants against variants, with the number of pairs and their standard error."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcka.heatmap import draw_heatmap
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.roles import missing_role
from fastcka.report.slices import Slice
from fastcka.report.source import Source
from fastcka.stats import BlockMeans, block_means

_MOST_WITH_TEXT = 16


def blocks(source: Source) -> Iterator[Item]:
    """Yield one table for all slices, and a figure for each at the steps that are drawn."""
    variant, seed = source.roles.variant, source.roles.seed
    if variant is None:
        yield NotDrawn("Block means", missing_role("variant", source.cut.usable))
        return
    if seed is None:
        yield NotDrawn(
            "Cross-seed pairs on the diagonal of block means",
            missing_role("seed", source.cut.usable) + "; every pair of two models counts there",
        )
    rows = []
    for part in source.cut.slices:
        means = block_means(part.table, by=variant, cross=seed)
        for i, first in enumerate(means.labels):
            for j, second in enumerate(means.labels[i:], start=i):
                numbers = [means.mean[i, j], means.sem[i, j], int(means.n[i, j])]
                rows.append([part.family, part.layer, part.step, first, second, *numbers])
        for reason, count in means.left_out.items():
            yield NotDrawn("Pairs in no block mean", reason, (f"{part.title}: {count:,}",))
        if part.step in source.drawn and means.labels:
            yield _drawing(source, part, means)
    header = ["family", "layer", "step", f"{variant}_1", f"{variant}_2", "mean", "sem", "n"]
    yield Sheet("block_means", f"Means of the blocks of {variant}", header, rows)


def _drawing(source: Source, part: Slice, means: BlockMeans) -> Drawing:
    texts = None
    if len(means.labels) <= _MOST_WITH_TEXT:
        texts = [
            [_text(*cell) for cell in zip(*row, strict=True)]
            for row in zip(means.mean, means.sem, means.n, strict=True)
        ]
    cross = (
        "" if source.roles.seed is None else f"; on the diagonal two values of {source.roles.seed}"
    )
    figure = draw_heatmap(
        means.mean,
        means.labels,
        title=f"Means by {means.by}: {part.title}",
        estimator=part.table.estimator or "estimator unknown",
        n_examples=None,
        blocks=[],
        texts=texts,
        notes=[
            source.caption(part),
            f"mean ± SEM of the pairs, (number of pairs){cross}",
        ],
        cell_inches=0.62,
    )
    return Drawing(
        f"blocks_{part.stem}",
        f"Block means: {part.title}",
        figure,
        "Pairs of a model with itself are in no mean. SEM describes the scatter of pairs that "
        "share models; it is no ground for a test.",
    )


def _text(mean: float, sem: float, n: int) -> str:
    scatter = f"\n±{sem:.3f}" if np.isfinite(sem) else ""
    return f"{mean:.2f}{scatter}\n({n})"
