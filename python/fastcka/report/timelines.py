"""Similarity over training steps: one line per layer, with a band for the spread of seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastcka.report.canvas import (
    MARKERS,
    finish,
    line_colors,
    new_figure,
    plain,
    similarity_axis,
)
from fastcka.report.charts import band, color, line, mean_text
from fastcka.report.data import ReportData
from fastcka.report.items import Chart, Drawing, Item, NotDrawn, Sheet
from fastcka.report.roles import missing_role
from fastcka.report.slices import step_text
from fastcka.report.trends import directions, figures_by_value, kinds
from fastcka.stats import PairTable, TimePoint, timeline


def timelines(data: ReportData) -> Iterator[Item]:
    """Yield a figure for each family, and one table, if the sweep has several steps."""
    if len(data.cut.steps) < 2:
        table = data.cut.usable
        steps = f"only {step_text(data.cut.steps[0], table)}" if data.cut.steps else "no step"
        yield NotDrawn("Timelines", f"the pairs of models have {steps}", applies=False)
        return
    seed, family = data.roles.seed, data.roles.family
    if seed is None:
        yield missing_role("Band of the timelines", "seed", data.roles, data.cut.usable)
    table = data.cut.usable
    parts: list[tuple[str | None, PairTable]] = [(None, table)]
    if family is not None:
        names = [name for name in table.labels(family) if name is not None]
        parts = [(name, table.where(**{family: name})) for name in names]
    rows = []
    for name, part in parts:
        subplots = [(title, timeline(pairs, seed=seed)) for title, pairs in kinds(part, data)]
        subplots = [(title, points) for title, points in subplots if points]
        rows += [
            [name, title, p.line, p.step, p.mean, p.sem, p.n, p.low, p.high, p.combinations]
            for title, points in subplots
            for p in points
        ]
        if subplots:
            yield _chart(data, name, part)
            yield _drawing(data, name, part, subplots)
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
    data: ReportData,
    family: str | None,
    table: PairTable,
    subplots: list[tuple[str, list[TimePoint]]],
) -> Drawing:
    layers = [name for name in table.labels("layer") if name is not None]
    colors = line_colors(len(layers))
    drawn = new_figure(4.6 * len(subplots) + 1.2, 4.4)
    grid = drawn.subplots(1, len(subplots), sharey=True, squeeze=False)[0]
    for axes, (title, points) in zip(grid, subplots, strict=True):
        for i, layer in enumerate(layers):
            line = [point for point in points if point.line == layer]
            steps = [point.step for point in line]
            low, high = (
                np.array([getattr(point, end) for point in line]) for end in ("low", "high")
            )
            if np.isfinite(low).any():
                axes.fill_between(steps, low, high, color=colors[i], alpha=0.18, linewidth=0)
            axes.plot(
                steps,
                [point.mean for point in line],
                color=colors[i],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                linewidth=1.3,
                label=f"layer {plain(layer)}",
            )
        counts = sorted({point.n for point in points})
        number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        axes.set_title(plain(f"{title} ({number} pairs per point)"), fontsize=9, loc="left")
        axes.set_xlabel("training step", fontsize=9)
        similarity_axis(axes)
        axes.label_outer()
    grid[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    seed = data.roles.seed
    band = (
        "No band: no factor has the role of the seed."
        if seed is None
        else f"Band: lowest and highest mean over the combinations of two values of {seed}."
    )
    title = "Similarity over training" + ("" if family is None else f" · {family}")
    caption = f"{data.facts.caption(table)}\nLine: mean of the pairs. {band}"
    finish(drawn, title, caption)
    return Drawing("timeline" if family is None else f"timeline_{family}", drawn)


def _chart(data: ReportData, family: str | None, table: PairTable) -> Chart:
    seed = data.roles.seed
    layers = [name for name in table.labels("layer") if name is not None]

    def series_of(pairs: PairTable) -> list[dict[str, Any]]:
        points = timeline(pairs, seed=seed)
        series = []
        for i, layer in enumerate(layers):
            series += _series(i, layer, [point for point in points if point.line == layer])
        return series

    xaxis = {"title": {"text": "training step"}}
    return Chart(
        "Over training" + ("" if family is None else f": {family}"),
        "Line: mean of the pairs of models at the same layer and step. "
        + ("" if seed is None else f"Band: lowest and highest mean of two values of {seed}. ")
        + ("Dotted: the value at step 0, before training. " if "0" in data.cut.steps else "")
        + directions(table)
        + data.facts.caption(table),
        "plot",
        {"figures": figures_by_value(table, data, series_of, xaxis)},
    )


def _series(position: int, layer: str, points: list[TimePoint]) -> list[dict[str, Any]]:
    """Return the line of a layer, its band, and its value before training."""
    series: list[dict[str, Any]] = []
    name, steps = f"layer {layer}", [point.step for point in points]
    if any(np.isfinite(point.low) for point in points):
        low, high = [point.low for point in points], [point.high for point in points]
        series.append(band(position, name, steps, low, high))
    if points and points[0].step == 0 and len(points) > 1:
        untrained = [points[0].mean] * 2
        series.append(
            line(
                position,
                name,
                [0, steps[-1]],
                untrained,
                [f"step 0: {untrained[0]:.4f}"] * 2,
                mode="lines",
                showlegend=False,
                line={"color": color(position), "width": 1, "dash": "dot"},
            )
        )
    if points:
        texts = [
            f"step {point.step:,}: {mean_text(point.mean, point.sem)}\n{point.n} pairs"
            + (f", seeds {point.low:.4f} to {point.high:.4f}" if np.isfinite(point.low) else "")
            for point in points
        ]
        series.append(line(position, name, steps, [point.mean for point in points], texts))
    return series
