"""Clustering of representations that were all compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fastcka.core import Comparison
from fastcka.core.estimators import Estimator
from fastcka.errors import MissingExtraError
from fastcka.report.items import NotDrawn
from fastcka.report.pairs import Key, Pairs, keys_of
from fastcka.report.roles import Roles
from fastcka.report.slices import Cut
from fastcka.stats import PairTable
from fastcka.sweep.results.names import SEPARATOR, model_names

_MOST_SETS = 24
_MOST_MEMBERS = 1_000
"""With more, a matrix of pairs is larger than the page can show."""
CLUSTERED = "Map, dendrogram and order by cluster"
_FEW = "need three or more representations"
_INCOMPLETE = (
    "need a value for every two of the representations; the matrices and results.csv contain the "
    "values that exist"
)
_TOO_LARGE = f"show at most {_MOST_MEMBERS:,} representations; results.csv contains all values"
_TOO_MANY = (
    f"the page shows the first {_MOST_SETS} sets of representations; the matrices and results.csv "
    "contain the values of all sets"
)


@dataclass(frozen=True, eq=False)
class Clustered:
    """Representations that all have a similarity with each other, and their clustering.

    Attributes
    ----------
    title
        Which representations these are.
    keys, labels
        M representations, and the labels of each as field -> label.
    comparison
        Their similarities.
    merges
        (M-1, 4) linkage matrix of scipy: average linkage of the angular distance.
    leaves
        The positions of the representations in the order of the tree.
    """

    title: str
    keys: tuple[Key, ...]
    labels: tuple[dict[str, str | None], ...]
    comparison: Comparison
    merges: NDArray[np.float64]
    leaves: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Clusters:
    """The sets of representations that are clustered, and those that are not, with the reason."""

    sets: tuple[Clustered, ...]
    missing: tuple[NotDrawn, ...]


def clusters_of(cut: Cut, pairs: Pairs, roles: Roles) -> Clusters:
    """Cluster the sets of representations at the last step.

    All representations of the step, if every two were compared, then the models at each layer;
    none without scipy.
    """
    where, whole = pairs.at_last_step()
    parts = [(f"all representations · {where}", whole)] if pairs.varying != ("model",) else []
    slices = (*cut.whole, *cut.slices)
    parts += [(part.title, part.table) for part in slices if part.step in cut.steps[-1:]]
    sets: list[Clustered] = []
    missing: list[NotDrawn] = []
    for title, table in parts:
        problem = _TOO_MANY if len(sets) == _MOST_SETS else _problem(table)
        if problem is not None:
            missing.append(NotDrawn(CLUSTERED, problem, (title,), applies=problem != _FEW))
            continue
        try:
            sets.append(_clustered(title, table, roles))
        except MissingExtraError as error:
            return Clusters((), (NotDrawn(CLUSTERED, str(error)),))
    return Clusters(tuple(sets), tuple(missing))


def cluster_ranks(keys: Sequence[Key], sets: Sequence[Clustered]) -> list[int] | None:
    """Return the position of each representation in the order of the trees; None without trees.

    The order is that of the last step, so that the cells of all steps are comparable.
    """
    if not sets:
        return None
    ranks: dict[tuple[str, str], int] = {}
    for each in sets:
        for leaf in each.leaves:
            model, _, layer = each.keys[leaf]
            ranks.setdefault((model, layer), len(ranks))
    return [ranks.get((model, layer), len(ranks)) for model, _, layer in keys]


def _problem(table: PairTable) -> str | None:
    """Return why the representations of a table cannot be clustered, or None if they can."""
    count = len({*keys_of(table.a), *keys_of(table.b)})
    if count < 3:
        return _FEW
    if np.isfinite(table.cka).sum() != count * (count - 1) // 2:
        return _INCOMPLETE
    return _TOO_LARGE if count > _MOST_MEMBERS else None


def _clustered(title: str, table: PairTable, roles: Roles) -> Clustered:
    sides = [keys_of(table.a), keys_of(table.b)]
    keys = list(dict.fromkeys(sides[0] + sides[1]))
    count = len(keys)
    position = {key: i for i, key in enumerate(keys)}
    first, second = ([position[key] for key in side] for side in sides)
    matrix = np.eye(count)
    matrix[first, second] = matrix[second, first] = table.cka
    fields = [name for name in ("model", "layer", "step") if len(table.labels(name)) > 1]
    models = table.models()
    names = model_names(models, roles.nesting)
    shown = {"model": [names[model] for model, _, _ in keys]}
    shown |= {"layer": [layer for _, _, layer in keys], "step": [step for _, step, _ in keys]}
    comparison = Comparison(
        labels=tuple(
            {"label": SEPARATOR.join(shown[name][i] for name in fields)} for i in range(count)
        ),
        estimator=cast("Estimator", table.estimator or "unbiased"),
        n_examples=int(table.n_examples.min()),
        biased=matrix,
        unbiased=matrix,
        hsic_biased=np.full_like(matrix, np.nan),
        hsic_unbiased=np.full_like(matrix, np.nan),
        feature_corrected=matrix,
        pairs=np.column_stack([first, second]),
    )
    merges = comparison.cluster()
    from scipy.cluster.hierarchy import leaves_list

    return Clustered(
        f"{title} ({count})",
        tuple(keys),
        tuple({**models[key[0]], "model": key[0], "layer": key[2]} for key in keys),
        comparison,
        merges,
        tuple(leaves_list(merges).tolist()),
    )
