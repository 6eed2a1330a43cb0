"""Comparisons of two groups of pairs: the pairs as points, the difference with its interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.report.canvas import (
    FIRST,
    SECOND,
    finish,
    new_figure,
    outside,
    plain,
    similarity_axis,
    spread,
)
from fastcka.report.data import ReportData
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.roles import missing_role
from fastcka.report.slices import Slice, at_step, joined
from fastcka.report.tested import Result, intervals, listing, p_text
from fastcka.stats import PairComparison, PairTable, compare_pairs, compare_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OFFSETS = (-0.2, 0.2)
"""Horizontal positions of the two groups, relative to the position of their layer."""

Outcome = tuple[Slice, PairTable, PairComparison]


HEADER = (
    "question",
    "family",
    "layer",
    "step",
    "first",
    "mean_first",
    "pairs_first",
    "second",
    "mean_second",
    "pairs_second",
    "difference",
    "low",
    "high",
    "confidence",
    "p",
    "smallest_p",
    "models",
    "pairs",
    "permutations",
    "exact",
    "note",
)
_FAMILIES = "One family vs another"


def comparisons(data: ReportData) -> Iterator[Item]:
    """Yield the figures of the comparisons, and one table."""
    roles, table = data.roles, data.cut.usable
    results: list[Result] = []
    drawings: list[Item] = []
    for role, field, other in (
        ("variant", roles.variant, roles.seed),
        ("seed", roles.seed, roles.variant),
    ):
        if field is None:
            yield missing_role(f"Same vs different {role}", role, roles, table)
            continue
        title, name = (f"{same} vs different {field}" for same in ("Same", "same"))
        if field in data.facts.differing:
            reason = f"the sweep compares only models with different {field}"
            yield NotDrawn(title, reason, applies=False)
            continue
        outcomes: list[Outcome] = []
        for part in data.drawn_slices():
            # Compare like with like: the two groups must differ in one factor only.
            pairs = part.table if other is None else part.table.keep(part.table.differ(other))
            missing = _missing_kind(pairs.defined(), field, other)
            if missing is not None:
                yield NotDrawn(title, missing, (part.title,), applies=False)
                continue
            try:
                result = compare_pairs(pairs, same=field, permutations=data.permutations)
            except InputError as error:
                yield NotDrawn(title, str(error), (part.title,))
                continue
            outcomes.append((part, pairs.defined(), result))
            results.append((name, part, result))
        drawings += _drawings(data, outcomes, field, other)
    yield from _between_families(data, results)
    if results:
        yield intervals(results, data.facts.caption(table))
        yield listing(results)
        rows = [_row(*result) for result in results]
        yield Sheet("comparisons", "Comparisons of groups of pairs", HEADER, rows)
    yield from drawings


def _missing_kind(pairs: PairTable, field: str, other: str | None) -> str | None:
    """Return which of the two kinds of pairs is missing, if one is."""
    rest = "" if other is None else f" and different {other}"
    if not pairs.same(field).any():
        return f"the sweep has no pair of models with the same {field}{rest}"
    if not pairs.differ(field).any():
        return f"the sweep has no pair of models with different {field}{rest}"
    return None


def _between_families(data: ReportData, results: list[Result]) -> Iterator[Item]:
    field = data.roles.family
    if field is None:
        yield missing_role(_FAMILIES, "family", data.roles, data.cut.usable)
        return
    families = [name for name in data.cut.usable.labels(field) if name is not None]
    if len(families) < 2:
        yield NotDrawn(_FAMILIES, f"all models have the same {field}", applies=False)
    for first, second in itertools.combinations(families, 2):
        for part in _of_both(data, first, second):
            try:
                result = compare_values(
                    part.table,
                    field=field,
                    first=first,
                    second=second,
                    permutations=data.permutations,
                )
            except InputError as error:
                yield NotDrawn(f"{field} {first} vs {second}", str(error), (part.title,))
                continue
            results.append((f"within one {field} vs within another", part, result))
    families_of: dict[str, set[str | None]] = {}
    for part in data.drawn_slices():
        families_of.setdefault(part.layer, set()).add(part.family)
    single = [layer for layer, names in families_of.items() if len(names) < 2]
    if single and len(families) > 1:
        reason = f"only one {field} has pairs at these layers"
        yield NotDrawn(_FAMILIES, reason, tuple(f"layer {x}" for x in single), applies=False)


def _of_both(data: ReportData, first: str, second: str) -> Iterator[Slice]:
    """Yield the layers and steps for which both families have pairs within the family."""
    slices = {(part.family, part.layer, part.step) for part in data.drawn_slices()}
    for part in data.drawn_slices():
        if part.family == first and (second, part.layer, part.step) in slices:
            pairs = at_step(data.cut.usable.where(layer=part.layer), part.step)
            yield Slice(f"{first}, {second}", part.layer, part.step, pairs)


def _row(question: str, part: Slice, result: PairComparison) -> list[object]:
    groups = [
        value
        for group in (result.first, result.second)
        for value in (group.name, group.mean, group.n_pairs)
    ]
    return [
        question,
        part.family,
        part.layer,
        part.step,
        *groups,
        result.effect,
        result.low,
        result.high,
        result.confidence,
        result.p,
        result.smallest_p if result.permutations else None,
        result.n_models,
        result.n_pairs,
        result.permutations,
        result.exact if result.permutations else None,
        "; ".join(result.notes),
    ]


def _drawings(
    data: ReportData, outcomes: list[Outcome], field: str, other: str | None
) -> Iterator[Item]:
    """Yield a figure for each family and step, with its layers on the x axis."""
    for family, step in dict.fromkeys((part.family, part.step) for part, _, _ in outcomes):
        shown = [o for o in outcomes if (o[0].family, o[0].step) == (family, step)]
        figure = new_figure(max(6.2, 1.7 + 1.5 * len(shown)), 6.2)
        upper, lower = figure.subplots(2, 1, height_ratios=[2.2, 1])
        for x, (_, pairs, result) in enumerate(shown):
            _points(upper, x, pairs.cka, pairs.same(field), result)
            _interval(lower, x, result)
        similarity_axis(upper)
        upper.set_xticks(
            [x + offset for x in range(len(shown)) for offset in _OFFSETS],
            [
                f"{group.mean:.2f}\nn = {group.n_pairs}"
                for _, _, result in shown
                for group in (result.first, result.second)
            ],
            fontsize=7.5,
        )
        margin = 0.6 if len(shown) > 1 else 1.0
        upper.set_xlim(-margin, len(shown) - 1 + margin)
        upper.legend(
            handles=upper.get_legend_handles_labels()[0][:2],
            fontsize=8,
            frameon=False,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            borderaxespad=0.2,
        )
        lower.axhline(0, color="0.4", linewidth=0.8)
        lower.set_ylabel("difference of means", fontsize=9)
        lower.grid(axis="y", color="0.9")
        lower.spines[["top", "right"]].set_visible(False)
        lower.tick_params(labelsize=8)
        ticks = [f"layer {plain(part.layer)}\n{p_text(result)}" for part, _, result in shown]
        lower.set_xticks(range(len(shown)), ticks, fontsize=8)
        lower.set_xlim(upper.get_xlim())
        title = f"Pairs of the same vs different {field}"
        title += "" if other is None else f" (all pairs differ in {other})"
        first = shown[0][0]
        results = [result for _, _, result in shown]
        values = [float(value) for _, pairs, _ in shown for value in pairs.cka]
        where = first.title.replace(f"layer {first.layer} · ", "")
        caption = data.facts.caption(joined([part for part, _, _ in shown]))
        caption += f"\n{_explanation(results)}{outside(values)}"
        finish(figure, f"{title}\n{where}", caption)
        stem = f"compare_{field}_{first.stem}".replace(f"_layer{first.layer}", "")
        yield Drawing(stem, figure)


def _explanation(results: list[PairComparison]) -> str:
    """Return the lines of a caption that explain the points, the interval and the test."""
    models = max(result.n_models for result in results)
    lines = [
        f"{models} models. Top: pairs of models (points), their means (bars and numbers) and their "
        "number n.",
        "Bottom: difference of the means",
    ]
    if any(math.isfinite(result.low) for result in results):
        lines[-1] += f" with its {results[0].confidence:.0%} interval (bootstrap of models)"
    lines[-1] += "."
    tested = sorted({r.permutations for r in results if math.isfinite(r.p)})
    if tested:
        count = f"{'' if len(tested) == 1 else 'at most '}{tested[-1]:,}"
        lines.append(f"p: permutation test of model labels, {count} relabellings.")
    reasons = [note for result in results for note in result.notes]
    lines += [reason[0].upper() + reason[1:] + "." for reason in dict.fromkeys(reasons)]
    return "\n".join(lines)


def _points(
    axes: Axes, x: int, cka: NDArray[np.float64], same: NDArray[np.bool_], result: PairComparison
) -> None:
    for group, rows, offset, color in (
        (result.first, same, _OFFSETS[0], FIRST),
        (result.second, ~same, _OFFSETS[1], SECOND),
    ):
        values = cka[rows]
        axes.scatter(
            x + offset + 0.26 * spread(len(values)),
            values,
            s=9,
            color=color,
            alpha=0.45,
            linewidths=0,
            label=plain(group.name),
            marker="o" if offset < 0 else "D",
        )
        axes.plot([x + offset - 0.17, x + offset + 0.17], [group.mean] * 2, color="black", lw=1.6)


def _interval(axes: Axes, x: int, result: PairComparison) -> None:
    axes.plot([x], [result.effect], marker="o", color="black", markersize=5)
    if math.isfinite(result.low):
        axes.plot([x, x], [result.low, result.high], color="black", linewidth=1.6)
    axes.annotate(
        f"{result.effect:+.3f}",
        (x, result.effect),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )
