"""Comparisons of groups of pairs on the page: differences with intervals, and a table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastcka.report.charts import figure, numbers, plotly_text
from fastcka.report.items import Chart, Listing
from fastcka.report.slices import Slice
from fastcka.stats import PairComparison

Result = tuple[str, Slice, PairComparison]
"""The question of a comparison, its pairs, and its result."""

_ABOUT = (
    "Difference: mean of the first group minus mean of the second. Interval: from a bootstrap of "
    "models. p: two-sided, from permutations of the labels of models, not corrected for the number "
    "of comparisons in this table. Smallest p: the least that the relabellings allow. Both "
    "methods account for pairs that share models."
)


def intervals(results: Sequence[Result], caption: str) -> Chart:
    """Return a figure of the differences and their intervals, for each question."""
    figures = []
    for question in dict.fromkeys(question for question, _, _ in results):
        shown = [(part, result) for name, part, result in results if name == question]
        effects = [result.effect for _, result in shown]
        # Bars of length 0 where there is no interval.
        above = [max(result.high - result.effect, 0) for _, result in shown]
        below = [max(result.effect - result.low, 0) for _, result in shown]
        data = {
            "type": "scatter",
            "mode": "markers",
            "x": numbers(effects),
            "y": list(range(len(shown))),
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": numbers(above),
                "arrayminus": numbers(below),
            },
            "marker": {"size": 8, "color": "#0072B2"},
            "text": [plotly_text(_words(part, result)) for part, result in shown],
            "hoverinfo": "text",
        }
        figures.append(
            figure(
                [data],
                choice=question,
                height=110 + 26 * len(shown),
                showlegend=False,
                xaxis={"title": {"text": "difference of the means"}, "zerolinewidth": 2},
                yaxis={
                    "tickvals": list(range(len(shown))),
                    "ticktext": [plotly_text(part.title) for part, _ in shown],
                    "autorange": "reversed",
                    "zeroline": False,
                },
            )
        )
    return Chart(
        "Differences with intervals",
        "Point: mean of the first group of pairs minus mean of the second. Bar: its confidence "
        f"interval, from a bootstrap of models. {caption}",
        "plot",
        {"figures": figures},
    )


def listing(results: Sequence[Result]) -> Listing:
    """Return the table of the page, with the reasons for missing numbers as footnotes."""
    level = f"{results[0][2].confidence:.0%} interval"
    rows = []
    for question, part, result in results:
        groups = [
            f"{group.mean:.4f} ({group.n_pairs:,})" for group in (result.first, result.second)
        ]
        rows.append(
            [
                question,
                part.title,
                *groups,
                result.effect,
                interval_text(result.low, result.high),
                result.p,
                result.smallest_p if result.permutations else None,
                result.n_models,
            ]
        )
    return Listing(
        "Comparisons of groups of pairs",
        _ABOUT,
        [
            "question",
            "where",
            "first: mean (pairs)",
            "second: mean (pairs)",
            "difference",
            level,
            "p",
            "smallest p",
            "models",
        ],
        rows,
        {i: result.notes for i, (_, _, result) in enumerate(results) if result.notes},
    )


def interval_text(low: float | None, high: float | None) -> str | None:
    """Return "0.1000 to 0.2000", or None without an interval."""
    if low is None or high is None or math.isnan(low):
        return None
    return f"{low:.4f} to {high:.4f}"


def p_text(result: PairComparison) -> str:
    """Return the p-value for a label."""
    if not math.isfinite(result.p):
        return "no p-value"
    return f"p = {result.p:.4f}" if result.p >= 0.00005 else "p < 0.0001"


def _words(part: Slice, result: PairComparison) -> str:
    lines = [part.title]
    lines += [
        f"{group.name}: mean {group.mean:.4f} of {group.n_pairs:,} pairs"
        for group in (result.first, result.second)
    ]
    limits = interval_text(result.low, result.high)
    lines.append(f"difference {result.effect:+.4f}" + (f" ({limits})" if limits else ""))
    lines.append(p_text(result))
    return "\n".join(lines)
