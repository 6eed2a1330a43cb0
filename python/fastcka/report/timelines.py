"""Similarity over training steps: a line for each layer, with a band between seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcka.report.canvas import (
    MARKERS,
    finish,
    line_colors,
    new_figure,
    plain,
    similarity_axis,
)
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.roles import missing_role
from fastcka.report.slices import moment_text
from fastcka.report.source import Source
from fastcka.report.trends import kinds
from fastcka.stats import PairTable, TimePoint, timeline


def timelines(source: Source) -> Iterator[Item]:
    """Yield a figure for each family, where there are several steps, and one table."""
    if len(source.cut.moments) < 2:
        table = source.cut.usable
        only = moment_text(source.cut.moments[0], table) if source.cut.moments else "none"
        yield NotDrawn("Timelines", f"pairs stand at one step only: {only}")
        return
    seed, family = source.roles.seed, source.roles.family
    if seed is None:
        yield NotDrawn("Seed band of the timelines", missing_role("seed", source.cut.usable))
    table = source.cut.usable
    parts: list[tuple[str | None, PairTable]] = [(None, table)]
    if family is not None:
        names = [name for name in table.labels(family) if name is not None]
        parts = [(name, table.where(**{family: name})) for name in names]
    rows = []
    for name, own in parts:
        panels = [(title, timeline(part, seed=seed)) for title, part in kinds(own, source)]
        panels = [(title, points) for title, points in panels if points]
        rows += [
            [name, title, p.line, p.step, p.mean, p.sem, p.n, p.low, p.high, p.combinations]
            for title, points in panels
            for p in points
        ]
        if panels:
            yield _drawing(source, name, own, panels)
    header = [
        "family",
        "pairs",
        "layer",
        "step",
        "mean",
        "sem",
        "n",
        "band_low",
        "band_high",
        "seed_combinations",
    ]
    yield Sheet("timeline", "Mean similarity over steps", header, rows)


def _drawing(
    source: Source,
    family: str | None,
    table: PairTable,
    panels: list[tuple[str, list[TimePoint]]],
) -> Drawing:
    layers = [name for name in table.labels("layer") if name is not None]
    colors = line_colors(len(layers))
    figure = new_figure(4.6 * len(panels) + 1.2, 4.4)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, points) in zip(grid, panels, strict=True):
        for at, layer in enumerate(layers):
            own = [point for point in points if point.line == layer]
            steps = [point.step for point in own]
            low, high = (
                np.array([getattr(point, end) for point in own]) for end in ("low", "high")
            )
            if np.isfinite(low).any():
                axes.fill_between(steps, low, high, color=colors[at], alpha=0.18, linewidth=0)
            axes.plot(
                steps,
                [point.mean for point in own],
                color=colors[at],
                marker=MARKERS[at % len(MARKERS)],
                markersize=4,
                linewidth=1.3,
                label=f"layer {plain(layer)}",
            )
        counts = sorted({point.n for point in points})
        spread = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        axes.set_title(plain(f"{title} (n = {spread} pairs)"), fontsize=9, loc="left")
        axes.set_xlabel("training step", fontsize=9)
        similarity_axis(axes)
        axes.label_outer()
    grid[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    seed = source.roles.seed
    band = (
        "no band: no factor plays the seed"
        if seed is None
        else f"band: lowest and highest mean of the combinations of two values of {seed}"
    )
    title = "Similarity over training" + ("" if family is None else f" · {family}")
    caption = f"{source.facts.caption(table)}\nline: mean of the pairs; {band}"
    finish(figure, title, caption)
    return Drawing(
        "timeline" if family is None else f"timeline_{family}",
        title,
        figure,
        "Both sides of a pair stand at the same step.",
    )
