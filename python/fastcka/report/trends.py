"""The trend over families: a line for each layer, the pairs as points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcka.report.canvas import (
    MARKERS,
    finish,
    line_colors,
    new_figure,
    outside,
    plain,
    similarity_axis,
)
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.roles import missing_role
from fastcka.report.slices import OWN, moment_text
from fastcka.report.source import Source
from fastcka.stats import PairTable, TrendPoint, trend


def trends(source: Source) -> Iterator[Item]:
    """Yield the trend at each step that is drawn, same and different variants apart."""
    family = source.roles.family
    if family is None:
        yield NotDrawn("Trend over families", missing_role("family", source.cut.usable))
        return
    if len([name for name in source.cut.usable.labels(family) if name is not None]) < 2:
        yield NotDrawn("Trend over families", f"all models are of one {family}")
        return
    rows = []
    for step in source.cut.moments:
        table = source.cut.usable if step == OWN else source.cut.usable.where(step=step)
        panels = [(title, trend(part, over=family)) for title, part in kinds(table, source)]
        panels = [(title, points) for title, points in panels if points]
        rows += [
            [step, title, point.line, point.label, point.mean, point.sem, point.n]
            for title, points in panels
            for point in points
        ]
        if step in source.drawn and panels:
            yield _drawing(source, step, table, family, panels)
    header = ["step", "pairs", "layer", family, "mean", "sem", "n"]
    yield Sheet("trend", f"Mean similarity over {family}", header, rows)


def kinds(table: PairTable, source: Source) -> list[tuple[str, PairTable]]:
    """Return the pairs of one variant and of two (all pairs where none plays it), with a name."""
    variant, seed = source.roles.variant, source.roles.seed
    if seed is not None:
        table = table.keep(table.differ(seed))
    across = "" if seed is None else f", two values of {seed}"
    if variant is None:
        return [(f"all pairs{across}", table)]
    return [
        (f"same {variant}{across}", table.keep(table.same(variant))),
        (f"different {variant}{across}", table.keep(table.differ(variant))),
    ]


def _drawing(
    source: Source,
    step: str,
    table: PairTable,
    family: str,
    panels: list[tuple[str, list[TrendPoint]]],
) -> Drawing:
    places = [name for name in table.labels(family) if name is not None]
    layers = [name for name in table.labels("layer") if name is not None]
    figure = new_figure(max(4.2, 1.5 + 1.1 * len(places)) * len(panels) + 1.2, 4.6)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    colors = line_colors(len(layers))
    width = 0.7 / max(1, len(layers))
    for axes, (title, points) in zip(grid, panels, strict=True):
        for at, layer in enumerate(layers):
            own = [point for point in points if point.line == layer]
            x = [places.index(point.label) + (at - (len(layers) - 1) / 2) * width for point in own]
            for center, point in zip(x, own, strict=True):
                spread = ((np.arange(point.n) * 0.6180339887) % 1 - 0.5) * width * 0.8
                axes.scatter(
                    center + spread, point.pairs, s=5, color=colors[at], alpha=0.3, linewidths=0
                )
            axes.errorbar(
                x,
                [point.mean for point in own],
                yerr=[np.nan_to_num(point.sem) for point in own],
                color=colors[at],
                marker=MARKERS[at % len(MARKERS)],
                markersize=5,
                markeredgecolor="black",
                markeredgewidth=0.5,
                linewidth=1.3,
                label=f"layer {plain(layer)}",
                zorder=3,
            )
        counts = {
            place: sorted({point.n for point in points if point.label == place}) for place in places
        }
        names = [
            plain(place) + "\nn = " + (" or ".join(map(str, counts[place])) or "0")
            for place in places
        ]
        axes.set_xticks(range(len(places)), names, fontsize=8)
        axes.set_xlabel(plain(family), fontsize=9)
        axes.set_title(plain(title), fontsize=9, loc="left")
        similarity_axis(axes)
        axes.label_outer()
    grid[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    where = moment_text(step, table)
    values = [float(value) for _, points in panels for point in points for value in point.pairs]
    caption = (
        f"{source.facts.caption(table)}\npoints: pairs of models of one {family}; line: their mean "
        f"± SEM; n: pairs of a layer" + outside(values)
    )
    finish(figure, f"Similarity over {family} · {where}", caption)
    return Drawing(
        f"trend_step{step}",
        f"Trend over {family}: {where}",
        figure,
        "Pairs within each family at one layer. For differences between families with intervals "
        "see the comparisons.",
    )
