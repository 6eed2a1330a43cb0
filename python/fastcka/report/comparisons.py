"""Groups of pairs against each other: the pairs as points, the difference with its interval."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.report.canvas import FIRST, SECOND, finish, new_figure, outside, plain, similarity_axis
from fastcka.report.items import Drawing, Item, NotDrawn, Sheet
from fastcka.report.roles import missing_role
from fastcka.report.slices import OWN, Slice
from fastcka.report.source import Source
from fastcka.stats import PairComparison, PairTable, compare_pairs, compare_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OFFSETS = (-0.2, 0.2)
"""Where the two groups of a layer stand, beside its place."""

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
    "models",
    "pairs",
    "permutations",
    "exact",
    "note",
)
_ABOUT = (
    "Intervals: bootstrap of models. p: permutation of the labels of whole models, two-sided, not "
    "corrected for the number of comparisons in this table. Both take into account that pairs "
    "share models."
)


def comparisons(source: Source) -> Iterator[Item]:
    """Yield the figures of the comparisons, and one table of all."""
    roles, table = source.roles, source.cut.usable
    rows: list[list[object]] = []
    for role, field, other in (
        ("variant", roles.variant, roles.seed),
        ("seed", roles.seed, roles.variant),
    ):
        if field is None:
            yield NotDrawn(f"Same against different {role}", missing_role(role, table))
            continue
        name = f"same against different {field}"
        outcomes: list[Outcome] = []
        for part in source.drawn_slices():
            # Like with like: two pairs that differ in one thing alone.
            pairs = part.table if other is None else part.table.keep(part.table.differ(other))
            try:
                result = compare_pairs(pairs, same=field, permutations=source.permutations)
            except InputError as error:
                yield NotDrawn(name, str(error), (part.title,))
                continue
            outcomes.append((part, pairs.defined(), result))
            rows.append(_row(name, part, result))
        yield from _drawings(source, outcomes, field, other, name)
    yield from _between_families(source, rows)
    if rows:
        yield Sheet("comparisons", "Comparisons of groups of pairs", HEADER, rows, about=_ABOUT)


def _between_families(source: Source, rows: list[list[object]]) -> Iterator[Item]:
    field = source.roles.family
    if field is None:
        yield NotDrawn("Family against family", missing_role("family", source.cut.usable))
        return
    families = [name for name in source.cut.usable.labels(field) if name is not None]
    if len(families) < 2:
        yield NotDrawn("Family against family", f"all models are of one {field}")
    for first, second in itertools.combinations(families, 2):
        for part in _of_both(source, first, second):
            try:
                result = compare_values(
                    part.table,
                    field=field,
                    first=first,
                    second=second,
                    permutations=source.permutations,
                )
            except InputError as error:
                yield NotDrawn(f"{field} {first} against {second}", str(error), (part.title,))
                continue
            rows.append(_row(f"within one {field} against within another", part, result))
    having: dict[str, set[str | None]] = {}
    for part in source.drawn_slices():
        having.setdefault(part.layer, set()).add(part.family)
    alone = [layer for layer, own in having.items() if len(own) < 2]
    if alone and len(families) > 1:
        reason = f"no two values of {field} have pairs at these layers"
        places = tuple(f"layer {layer}" for layer in alone)
        yield NotDrawn("Family against family", reason, places)


def _of_both(source: Source, first: str, second: str) -> Iterator[Slice]:
    """Yield the layers and steps at which both families have pairs of their own."""
    own = {(part.family, part.layer, part.step): part for part in source.drawn_slices()}
    usable, field = source.cut.usable, source.roles.family
    for family, layer, step in own:
        if family == first and (second, layer, step) in own and field is not None:
            here = usable.where(layer=layer)
            here = here if step == OWN else here.where(step=step)
            yield Slice(f"{first}, {second}", layer, step, here)


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
        result.n_models,
        result.n_pairs,
        result.permutations,
        result.exact,
        "; ".join(result.notes),
    ]


def _drawings(
    source: Source, outcomes: list[Outcome], field: str, other: str | None, name: str
) -> Iterator[Item]:
    """Yield a figure for each family and step, its layers side by side."""
    for family, step in dict.fromkeys((part.family, part.step) for part, _, _ in outcomes):
        mine = [own for own in outcomes if (own[0].family, own[0].step) == (family, step)]
        width = max(6.2, 1.7 + 1.5 * len(mine))
        figure = new_figure(width, 6.2)
        upper, lower = figure.subplots(2, 1, height_ratios=[2.2, 1])
        for at, (_, pairs, result) in enumerate(mine):
            _points(upper, at, pairs.cka, pairs.same(field), result)
            _interval(lower, at, result)
        similarity_axis(upper)
        groups = [(at, own) for at, (_, _, own) in enumerate(mine)]
        upper.set_xticks(
            [at + offset for at, _ in groups for offset in _OFFSETS],
            [
                f"{group.mean:.2f}\nn = {group.n_pairs}"
                for _, own in groups
                for group in (own.first, own.second)
            ],
            fontsize=7.5,
        )
        beside = 0.6 if len(mine) > 1 else 1.0
        upper.set_xlim(-beside, len(mine) - 1 + beside)
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
        ticks = [f"layer {plain(part.layer)}\n{_p_text(result)}" for part, _, result in mine]
        lower.set_xticks(range(len(mine)), ticks, fontsize=8)
        lower.set_xlim(upper.get_xlim())
        like = "" if other is None else f", pairs that differ in {other}"
        first = mine[0][0]
        models = max(result.n_models for _, _, result in mine)
        caption = (
            f"{source.facts.caption(_joined([part for part, _, _ in mine]))}\n"
            f"{models} models; above: pairs and means; below: difference with its 95% interval "
            f"(bootstrap of models)\np: permutation of model labels, "
            f"{max(result.permutations for _, _, result in mine):,} relabellings"
        )
        values = [float(value) for _, pairs, _ in mine for value in pairs.cka]
        where = first.title.replace(f"layer {first.layer} · ", "")
        finish(figure, f"{name}{like}\n{where}", caption + outside(values))
        stem = f"compare_{field}_{first.stem}".replace(f"_layer{first.layer}", "")
        yield Drawing(
            stem,
            f"{name}: {where}",
            figure,
            "Points are pairs of models. Pairs share models, so the p-value comes from permuting "
            "the labels of whole models, and the interval from resampling models.",
        )


def _points(
    axes: Axes, at: int, cka: NDArray[np.float64], same: NDArray[np.bool_], result: PairComparison
) -> None:
    # Spread evenly, in an order that has nothing to do with the values: the same in every run.
    for group, rows, offset, color in (
        (result.first, same, _OFFSETS[0], FIRST),
        (result.second, ~same, _OFFSETS[1], SECOND),
    ):
        values = cka[rows]
        golden = (np.arange(len(values)) * 0.6180339887) % 1 - 0.5
        axes.scatter(
            at + offset + 0.26 * golden,
            values,
            s=9,
            color=color,
            alpha=0.45,
            linewidths=0,
            label=plain(group.name),
            marker="o" if offset < 0 else "D",
        )
        axes.plot([at + offset - 0.17, at + offset + 0.17], [group.mean] * 2, color="black", lw=1.6)


def _interval(axes: Axes, at: int, result: PairComparison) -> None:
    axes.plot([at], [result.effect], marker="o", color="black", markersize=5)
    if math.isfinite(result.low):
        axes.plot([at, at], [result.low, result.high], color="black", linewidth=1.6)
    axes.annotate(
        f"{result.effect:+.3f}",
        (at, result.effect),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _p_text(result: PairComparison) -> str:
    if not math.isfinite(result.p):
        return "no p"
    return f"p = {result.p:.4f}" if result.p >= 0.00005 else "p < 0.0001"


def _joined(parts: list[Slice]) -> PairTable:
    """Return the pairs of all slices, for a caption."""
    tables = [part.table for part in parts]
    first = tables[0]
    return PairTable(
        a={name: np.concatenate([table.a[name] for table in tables]) for name in first.a},
        b={name: np.concatenate([table.b[name] for table in tables]) for name in first.b},
        cka=np.concatenate([table.cka for table in tables]),
        n_examples=np.concatenate([table.n_examples for table in tables]),
        estimator=first.estimator,
        order=first.order,
    )
