"""The interactive matrices of the page, and the table of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.report.data import ReportData
from fastcka.report.items import Chart, Item
from fastcka.report.pairs import Pairs
from fastcka.report.sides import two_sides

_USE = "Point at a cell for its numbers. Drag to zoom, double-click to return."
_CLICK = " Click a cell for its value at every step."


def matrices_of_pairs(data: ReportData) -> Iterator[Item]:
    """Yield the matrix of all pairs, or the rectangle of two sets."""
    pairs = data.pairs
    sides = two_sides(pairs, data.facts)
    rectangle = {} if sides is None else {"sides": sides}
    what = (
        "Every pair of the sweep is one cell."
        if sides is None
        else "The sweep compares two sets of representations: one is on the rows, the other on the "
        "columns."
    )
    yield Chart(
        "All pairs" if sides is None else "One set by the other",
        f"{what} Empty cells have no value: the sweep did not compare them, or their similarity is "
        f"undefined. Means are those of all pairs that share a cell. {_use(pairs)}",
        "matrix",
        _spec(data, pairs.varying) | rectangle,
    )


def layer_matrices(data: ReportData) -> Iterator[Item]:
    """Yield layer x layer within models and between models, if the sweep compared layers."""
    pairs = data.pairs
    if "layer" not in pairs.varying or "model" not in pairs.varying:
        return
    table = pairs.table
    inside = np.asarray(table.a["model"] == table.b["model"], bool)
    across = ~inside & ~table.same("layer")
    spec = _spec(data, ("layer",))
    group = next((n for n in (data.roles.family, data.roles.variant) if pairs.several(n)), None)
    if inside.any():
        yield Chart(
            "Layer by layer within a model",
            "Both layers belong to one model; each cell is the mean of the models. "
            f"A layer is not compared with itself. {_use(pairs)}",
            "matrix",
            _of_first_pair(spec, data, inside, group) | {"pairs": "within"},
        )
    if across.any():
        yield Chart(
            "Layer by layer between models",
            "The two layers belong to two models; each cell is the mean of the pairs of models. "
            f"Choose the models of the rows and of the columns above the figure. {_use(pairs)}",
            "matrix",
            _of_first_pair(spec, data, across, group) | {"pairs": "between"},
        )


def pair_table(data: ReportData) -> Iterator[Item]:
    """Yield the table of all pairs."""
    yield Chart(
        "Table of pairs",
        "Click a heading to sort. Words in the filter must all occur in the labels of a pair. "
        "results.csv contains all columns.",
        "pairs",
        {"fixed": list(data.pairs.fixed), "varying": list(data.pairs.varying)},
    )


def _use(pairs: Pairs) -> str:
    return _USE + _CLICK * ("step" in pairs.fixed)


def _of_first_pair(
    spec: dict[str, Any], data: ReportData, chosen: NDArray[np.bool_], group: str | None
) -> dict[str, Any]:
    """Return ``spec`` so that it first shows one of the chosen pairs.

    If there are several groups, the matrix has the one of each side: layers of different
    architectures have different names.
    """
    pairs = data.pairs
    pair = _first_pair(pairs, chosen, group)
    start = {name: _code(pairs, name, pairs.a[pair]) for name in pairs.fixed}
    if group is None:
        return spec | {"start": start}
    rows, columns = (
        {"field": group, "label": _code(pairs, group, side[pair])} for side in (pairs.a, pairs.b)
    )
    no_label = rows["label"] is None or columns["label"] is None
    return spec | {"start": start} | ({} if no_label else {"rows": rows, "columns": columns})


def _first_pair(pairs: Pairs, chosen: NDArray[np.bool_], group: str | None = None) -> int:
    """Return a chosen pair at the last step, if possible with equal labels in ``group``."""
    table = pairs.table
    wanted = [chosen]
    if "step" in pairs.fixed:
        last = [step for step in table.labels("step") if step is not None][-1]
        wanted.append(wanted[-1] & np.asarray(table.a["step"] == last, bool))
    if group is not None:
        wanted.append(wanted[-1] & table.same(group))
    return int(np.argmax(next(each for each in reversed(wanted) if each.any())))


def _code(pairs: Pairs, name: str, node: int) -> int | None:
    """Return the position of the label of a representation among the labels of a field."""
    labels = [label for label in pairs.table.labels(name) if label is not None]
    label = pairs.labels_of(name)[node]
    return None if label is None else labels.index(label)


def _spec(data: ReportData, by: Sequence[str]) -> dict[str, Any]:
    pairs, roles = data.pairs, data.roles
    table = pairs.table
    groups = [n for n in (roles.family, roles.variant) if n is not None and pairs.several(n)]
    means: list[list[str]] = [[name] for name in groups]
    if "layer" in pairs.varying:
        means += [["layer"], *([name, "layer"] for name in groups)]
    if "model" in pairs.varying and len(pairs.varying) > 1:
        means.append(["model"])
    order = (roles.family, roles.variant, "layer", roles.seed, "model", "step")
    sorts = [name for name in order if name is not None and pairs.several(name)] or ["model"]
    inside = np.asarray(table.a["model"] == table.b["model"], bool)
    first = _first_pair(pairs, np.ones(len(table), bool))
    choices = [*groups, "model"]
    return {
        "by": list(by),
        "cells": [list(pairs.varying), *means],
        "fixed": list(pairs.fixed),
        "start": {name: _code(pairs, name, pairs.a[first]) for name in pairs.fixed},
        "order": [name for name in order if name is not None],
        "sorts": sorts + ["cluster"] * bool(data.clusters.sets),
        "pairs": "all",
        "both": bool(inside.any() and not inside.all()),
        "rows": None,
        "columns": None,
        "choices": [name for name in choices if pairs.several(name)],
        "sides": None,
    }
