"""The heatmaps of a sweep, drawn when its results are written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import MissingExtraError
from fastcka.files import make_folder, replaced_stream
from fastcka.heatmap import draw_heatmap, save_png
from fastcka.sweep.planning.folder import FIGURES
from fastcka.sweep.question.labels import KEY_FIELDS, identity_of, value_text
from fastcka.sweep.question.selection import allowed_values, fits
from fastcka.sweep.results.exports import is_current, read_comparison
from fastcka.sweep.results.names import NAMING, SEPARATOR, model_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.core import Comparison
    from fastcka.sweep.ledger.ledger import Ledger
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan
    from fastcka.sweep.question.config import CompareConfig
    from fastcka.sweep.results.exports import Exports


def draw_figures(
    plan: SweepPlan, ledger: Ledger, output: Path, before: Mapping[str, str], exports: Exports
) -> None:
    """Draw the heatmap of every group, and enter its path, or a reason without one, in ``exports``.

    Parameters
    ----------
    before
        File -> fingerprint, from an earlier run. Files with an unchanged fingerprint are kept.
    """
    make_folder(output / FIGURES)
    for group in plan.groups:
        files = exports.groups.get(group.position)
        if files is None:
            continue
        figure = f"{FIGURES}/{group.file_stem}.png"
        if not is_current(figure, files, output, before):
            if exports.figures_left_out is not None:
                continue
            try:
                comparison = read_comparison(group, plan, ledger)
                _draw(group, plan.config.compare, comparison, output / figure)
            except MissingExtraError as error:
                exports.figures_left_out = str(error)
                continue
        exports.groups[group.position] = replace(files, figure=figure)


def _draw(group: GroupPlan, compare: CompareConfig, comparison: Comparison, path: Path) -> None:
    names, models = _row_names(group), [r.key.model for r in group.representations]
    rows, columns = sides_of(group, compare) or (range(len(names)), None)
    across = rows if columns is None else columns
    cells = np.ix_(rows, across)
    blank = not_compared(group)[cells]
    figure = draw_heatmap(
        np.where(blank, np.nan, comparison.cka[cells]),
        [names[row] for row in rows],
        columns=None if columns is None else [names[column] for column in columns],
        blocks=_starts([models[row] for row in rows]),
        column_blocks=_starts([models[column] for column in across]),
        title=group.name,
        estimator=comparison.estimator,
        n_examples=comparison.n_examples,
        blank=blank if blank.any() else None,
        notes=["grey: not compared in this sweep"] if blank.any() else (),
    )
    with replaced_stream(path) as file:
        save_png(figure, file)


def _row_names(group: GroupPlan) -> list[str]:
    """Return what distinguishes each representation in its group; the title names the rest."""
    # Names with every factor would leave no room for the matrix.
    labels = [r.labels for r in group.representations]
    several = {
        field: len({identity_of(each.get(field)) for each in labels}) > 1
        for field in (*KEY_FIELDS, *NAMING)
    }
    fields = [field for field in NAMING if several[field]]
    models = {
        each["model"]: {name: value_text(each[name]) for name in fields if name in each}
        for each in labels
    }
    named = model_names(models, fields)
    return [
        SEPARATOR.join(
            text
            for field, text in (
                ("model", named[each["model"]]),
                ("step", f"step {each['step']}"),
                ("layer", each["layer"]),
            )
            if several[field]
        )
        for each in labels
    ]


def _starts(models: Sequence[str]) -> list[int] | None:
    """Return the first row of each model, or None if a model has one row or its rows are apart."""
    starts = [i for i, model in enumerate(models) if i == 0 or model != models[i - 1]]
    return starts if len(starts) == len({*models}) < len(models) else None


def sides_of(group: GroupPlan, compare: CompareConfig) -> tuple[list[int], list[int]] | None:
    """Return the positions that fit `left`, the rows, and `right`, the columns.

    None without sides, or if a representation is on both.
    """
    if compare.left is None or compare.right is None:
        return None
    rows, columns = (
        [i for i, r in enumerate(group.representations) if fits(r.labels, allowed_values(side))]
        for side in (compare.left, compare.right)
    )
    return None if not rows or not columns or {*rows} & {*columns} else (rows, columns)


def not_compared(group: GroupPlan) -> NDArray[np.bool_]:
    """Return a mask, (M, M), of the cells off the diagonal that the sweep does not compare.

    The ledger has values for these cells too, because a group is computed as a whole.
    """
    count = len(group.representations)
    blank = ~np.eye(count, dtype=bool)
    first, second = group.pairs.T
    blank[first, second] = blank[second, first] = False
    return blank
