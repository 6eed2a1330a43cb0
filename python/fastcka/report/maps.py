"""The map and the dendrogram of representations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastcka.errors import MissingExtraError
from fastcka.report.charts import figure, marker, numbers, plotly_text
from fastcka.report.clusters import CLUSTERED, Clustered
from fastcka.report.data import ReportData
from fastcka.report.items import Chart, Item, NotDrawn

_MOST_POINTS = 150
"""With more, the map takes seconds to compute and its names hide each other."""


def maps(data: ReportData) -> Iterator[Item]:
    """Yield the map and the dendrogram."""
    yield from data.clusters.missing
    sets = [each for each in data.clusters.sets if len(each.keys) <= _MOST_POINTS]
    large = tuple(each.title for each in data.clusters.sets if each not in sets)
    if large:
        reason = (
            f"show at most {_MOST_POINTS} representations; the matrices contain the similarities "
            "and can be sorted by cluster"
        )
        yield NotDrawn("Map and dendrogram", reason, large)
    if not sets and not large and not data.clusters.missing:
        yield NotDrawn(
            CLUSTERED, "no three representations of one family were compared", applies=False
        )
    if not sets:
        return
    colored = next((n for n in data.roles.nesting if len(data.pairs.table.labels(n)) > 1), None)
    caption = data.facts.caption(data.pairs.table)
    try:
        labels = [] if colored is None else data.pairs.table.labels(colored)
        figures = [_map(each, colored, labels or [None]) for each in sets]
    except MissingExtraError as error:
        yield NotDrawn("Map", str(error))
    else:
        yield Chart(
            "Map",
            "Distances in the plane approximate arccos(CKA) by multidimensional scaling (SMACOF). "
            "The axes have no meaning. With a stress above about 0.2 the map misleads. " + caption,
            "plot",
            {"figures": figures},
        )
    yield Chart(
        "Dendrogram",
        "Average linkage of the distance arccos(CKA), in radians. The order of the leaves is the "
        f"order 'cluster' of the matrices. {caption}",
        "plot",
        {"figures": [_tree(each) for each in sets]},
    )


def _map(each: Clustered, colored: str | None, order: Sequence[str | None]) -> dict[str, Any]:
    """Return the map of a set, with a series for each label of ``colored`` in this order."""
    points = each.comparison.embed()
    values = [None if colored is None else labels[colored] for labels in each.labels]
    series = []
    for i, value in enumerate(label for label in order if label in values):
        chosen = [place for place, other in enumerate(values) if other == value]
        series.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plotly_text("none" if value is None else value),
                "x": numbers(points.coordinates[chosen, 0]),
                "y": numbers(points.coordinates[chosen, 1]),
                "text": [plotly_text(each.comparison.names[place]) for place in chosen],
                "hoverinfo": "text",
                "marker": marker(i, size=9),
            }
        )
    return figure(
        series,
        choice=each.title,
        height=460,
        showlegend=colored is not None,
        title={"text": f"stress {points.stress:.3f}", "x": 0},
        xaxis={"showticklabels": False, "zeroline": False},
        yaxis={"showticklabels": False, "zeroline": False, "scaleanchor": "x"},
    )


def _tree(each: Clustered) -> dict[str, Any]:
    from scipy.cluster.hierarchy import dendrogram

    tree = dendrogram(each.merges, no_plot=True)
    x: list[float] = []
    y: list[float] = []
    for heights, places in zip(tree["dcoord"], tree["icoord"], strict=True):
        # scipy puts leaf i at 5 + 10 i. NaN lifts the pen between two merges.
        x += [*heights, float("nan")]
        y += [*((place - 5) / 10 for place in places), float("nan")]
    return figure(
        [
            {
                "type": "scatter",
                "mode": "lines",
                "x": numbers(x),
                "y": numbers(y),
                "line": {"width": 1.3, "color": "#8C8C8C"},
                "hoverinfo": "x",
            }
        ],
        choice=each.title,
        height=90 + 16 * len(each.keys),
        showlegend=False,
        xaxis={"title": {"text": "distance"}, "rangemode": "tozero"},
        yaxis={
            "tickvals": list(range(len(each.keys))),
            "ticktext": [plotly_text(each.comparison.names[leaf]) for leaf in each.leaves],
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
        },
    )
