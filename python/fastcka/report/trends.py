"""Similarity per family: the mean of each layer, and the pairs as points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fastcka.report.canvas import (
    MARKERS,
    finish,
    line_colors,
    new_figure,
    plain,
    similarity_axis,
    spread,
)
from fastcka.report.charts import figure, line, mean_text, numbers, plotly_text
from fastcka.report.data import ReportData
from fastcka.report.items import Chart, Drawing, Item, NotDrawn, Sheet
from fastcka.report.layers import FamilyLayer, layers_by_family
from fastcka.report.roles import missing_role
from fastcka.report.slices import at_step, step_text
from fastcka.report.values import values_of
from fastcka.stats import PairTable, TrendPoint, trend

_LEGEND = (
    " Marker: the families of a layer. Colour: the order of layers with one marker, dark first."
)


def trends(data: ReportData) -> Iterator[Item]:
    """Yield a figure for each drawn step, with one subplot per kind of pairs, and one table."""
    family = data.roles.family
    if family is None:
        yield missing_role("Trend over families", "family", data.roles, data.cut.usable)
        return
    if len([name for name in data.cut.usable.labels(family) if name is not None]) < 2:
        yield NotDrawn("Trend over families", f"all models have the same {family}", applies=False)
        return
    rows = []
    for step in data.cut.steps:
        table = at_step(data.cut.usable, step)
        subplots = [(title, trend(part, over=family)) for title, part in kinds(table, data)]
        subplots = [(title, points) for title, points in subplots if points]
        rows += [
            [step, title, point.line, point.label, point.mean, point.sem, point.n]
            for title, points in subplots
            for point in points
        ]
        if step in data.drawn and subplots:
            yield _chart(data, step, table, family)
            yield _drawing(data, step, table, family, subplots)
    header = ["step", "pairs", "layer", family, "mean", "sem", "n"]
    yield Sheet("trend", f"Mean similarity for each {family}", header, rows)


def kinds(table: PairTable, data: ReportData) -> list[tuple[str, PairTable]]:
    """Return title -> pairs: within a variant and between variants, or all if there is none."""
    variant, seed = data.roles.variant, data.roles.seed
    if seed is not None:
        table = table.keep(table.differ(seed))
    across = "" if seed is None else f", different {seed}"
    if variant is None:
        return [(f"all pairs{across}", table)]
    return [
        (f"same {variant}{across}", table.keep(table.same(variant))),
        (f"different {variant}{across}", table.keep(table.differ(variant))),
    ]


def figures_by_value(
    table: PairTable,
    data: ReportData,
    series_of: Callable[[PairTable], list[dict[str, Any]]],
    xaxis: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return a figure for each similarity and each kind of pairs that has a series."""
    figures = []
    for value in values_of(table):
        for title, pairs in kinds(value.of(table), data):
            series = series_of(pairs)
            if series:
                both = "" if value.reverse is None else " (mean of both directions)"
                yaxis = {"title": {"text": plotly_text(value.title + both)}}
                figures.append(
                    figure(series, value=value.name, choice=title, xaxis=xaxis, yaxis=yaxis)
                )
    return figures


def directions(table: PairTable) -> str:
    """Return the sentence for a caption that explains asymmetric similarities, if there are any."""
    names = [value.title for value in values_of(table) if value.reverse is not None]
    return f"{', '.join(names)}: a pair has the mean of both directions. " if names else ""


def has_order(labels: list[str], table: PairTable, field: str) -> bool:
    """Whether the labels have an order: the sweep's configuration gives it, or all are numbers."""
    if set(labels) <= set(table.order.get(field, ())):
        return True
    try:
        return all(np.isfinite(float(label)) for label in labels)
    except ValueError:
        return False


def _drawing(
    data: ReportData,
    step: str,
    table: PairTable,
    family: str,
    subplots: list[tuple[str, list[TrendPoint]]],
) -> Drawing:
    families = [name for name in table.labels(family) if name is not None]
    layers = layers_by_family(table, family)
    grouped = layers[-1].group > 0
    # A line between families without an order would suggest a trend that cannot exist.
    connected = has_order(families, table, family)
    drawn = new_figure(max(4.2, 1.5 + 1.1 * len(families)) * len(subplots) + 1.2, 4.6)
    grid = drawn.subplots(1, len(subplots), sharey=True, squeeze=False)[0]
    width = 0.7 / _most_layers(layers)
    values = [float(value) for _, points in subplots for point in points for value in point.pairs]
    for axes, (title, points) in zip(grid, subplots, strict=True):
        for layer in layers:
            line = [point for point in points if point.line == layer.layer]
            color = line_colors(layer.size)[layer.position]
            x = [_place(layers, layer, families, point.label, width) for point in line]
            for center, point in zip(x, line, strict=True):
                axes.scatter(
                    center + 0.8 * width * spread(point.n),
                    point.pairs,
                    s=5,
                    color=color,
                    alpha=0.3,
                    linewidths=0,
                )
            axes.errorbar(
                x,
                [point.mean for point in line],
                yerr=[np.nan_to_num(point.sem) for point in line],
                color=color,
                marker=MARKERS[(layer.group if grouped else layer.position) % len(MARKERS)],
                markersize=5,
                markeredgecolor="black",
                markeredgewidth=0.5,
                linestyle="-" if connected else "none",
                linewidth=1.3,
                elinewidth=1.3,
                label=plain(layer.name),
                zorder=3,
            )
        counts = {
            name: sorted({point.n for point in points if point.label == name}) for name in families
        }
        names = [
            plain(name) + "\nn = " + (" or ".join(map(str, counts[name])) or "0")
            for name in families
        ]
        axes.set_xticks(range(len(families)), names, fontsize=8)
        axes.set_xlabel(plain(family), fontsize=9)
        axes.set_title(plain(title), fontsize=9, loc="left")
        similarity_axis(axes, fitted=values)
        axes.label_outer()
    grid[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    where = step_text(step, table)
    caption = (
        f"{data.facts.caption(table)}\nSmall points: pairs of models with the same {family}. Large "
        "markers: their mean ± standard error. n: number of pairs per layer. The "
        "axis shows the range of the pairs." + (_LEGEND if grouped else "")
    )
    finish(drawn, f"Similarity within each {family} · {where}", caption)
    return Drawing(f"trend_step{step}", drawn)


def _most_layers(layers: list[FamilyLayer]) -> int:
    """Return the number of layers of the family with the most."""
    return max(Counter(family for layer in layers for family in layer.families).values())


def _place(
    layers: list[FamilyLayer], layer: FamilyLayer, families: list[str], family: str, width: float
) -> float:
    """Return the x of a layer's point: the layers of a family are centred at its tick."""
    count = sum(family in other.families for other in layers)
    return families.index(family) + (layer.families[family] - (count - 1) / 2) * width


def _chart(data: ReportData, step: str, table: PairTable, family: str) -> Chart:
    families = [name for name in table.labels(family) if name is not None]
    layers = layers_by_family(table, family)
    width = 0.6 / _most_layers(layers)
    connected = has_order(families, table, family)

    def series_of(pairs: PairTable) -> list[dict[str, Any]]:
        points = trend(pairs, over=family)
        series = []
        for i, layer in enumerate(layers):
            here = [point for point in points if point.line == layer.layer]
            if here:
                series.append(
                    line(
                        i,
                        layer.name,
                        [_place(layers, layer, families, point.label, width) for point in here],
                        [point.mean for point in here],
                        [
                            f"{point.label}: {mean_text(point.mean, point.sem)}\n{point.n} pairs"
                            for point in here
                        ],
                        connected=connected,
                        error_y={"type": "data", "array": numbers(point.sem for point in here)},
                    )
                )
        return series

    xaxis = {
        "title": {"text": plotly_text(family)},
        "tickvals": list(range(len(families))),
        "ticktext": list(map(plotly_text, families)),
    }
    return Chart(
        f"By {family}: {step_text(step, table)}",
        f"Mean of the pairs of models with the same {family} at the same layer, ± its standard "
        "error, which describes the scatter of the pairs. "
        + (f"Lines connect the values of {family}, which have an order. " if connected else "")
        + directions(table)
        + data.facts.caption(table),
        "plot",
        {"figures": figures_by_value(table, data, series_of, xaxis)},
    )
