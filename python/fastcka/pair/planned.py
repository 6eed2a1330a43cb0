"""A sweep's comparisons as pairs of models, each with the configuration that `fastcka pair` takes.

A pair is two models at one layer, over all the steps at which the sweep compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from fastcka.errors import SweepError
from fastcka.pair import PairConfig, PairSide
from fastcka.pair.sources import opened_model
from fastcka.store import Key, Store
from fastcka.store.importing import representations_folder
from fastcka.sweep.planning.folder import PAIRS
from fastcka.sweep.question.ordering import ranks
from fastcka.sweep.question.sample import SampledExamples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan


class PairCell(NamedTuple):
    """Where a sweep computes a pair at a step: a group, and positions of the two models in it."""

    step: int
    group: GroupPlan
    first: int
    second: int


GROUP_EXAMPLES: Final = (
    "the values use the examples that all models of the sweep's group have; `fastcka pair` uses "
    "every example that the two models have, so that its values may differ"
)
"""A note where a pair has more examples than its group."""


@dataclass(frozen=True, slots=True, eq=False)
class PlannedPair:
    """Two models at one layer.

    Attributes
    ----------
    config
        The configuration for `fastcka pair`; it names what is read.
    folder
        ``<exp1>_vs_<exp2>/layer<layer>``, unique in the sweep.
    cells
        One for each step, in increasing order.
    last_steps
        Last step of each model at this layer, in the store.
    """

    config: PairConfig
    folder: str
    cells: tuple[PairCell, ...]
    last_steps: tuple[int, int]

    @property
    def file_name(self) -> str:
        """The name of its configuration's file."""
        return f"{self.folder.replace('/', '_')}.yaml"

    @property
    def cost(self) -> int:
        """Its cost in comparison with other pairs: the numbers that are read for it."""
        return sum(
            r.n_examples * r.n_features
            for cell in self.cells
            for r in (
                cell.group.representations[cell.first],
                cell.group.representations[cell.second],
            )
        )


def require_pairs(plan: SweepPlan) -> None:
    """Refuse a sweep with comparisons that are no pair of two models at one layer and step.

    Raises
    ------
    SweepError
        Naming one of them, how many there are, and the remedy.
    """
    for what, remedy, is_wrong in _NO_PAIRS:
        wrong = [pair for pair in plan.pairs() if is_wrong(*pair)]
        if wrong:
            a, b = wrong[0]
            raise SweepError(
                f"a configuration of one pair is of two models, at one layer and one step of both; "
                f"{len(wrong):,} of the sweep's {plan.comparisons:,} comparisons are {what}, "
                f"({a}) with ({b}) for one: {remedy}"
            )


_NO_PAIRS: Final[tuple[tuple[str, str, Callable[[Key, Key], bool]], ...]] = (
    ("of a model with itself", "add model to compare.differ", lambda a, b: a.model == b.model),
    ("of two layers", "add layer to compare.within", lambda a, b: a.layer != b.layer),
    (
        "at two steps",
        "choose compare.steps that both have (final_common), or add step to compare.within",
        lambda a, b: a.step != b.step,
    ),
)


def planned_pairs(plan: SweepPlan, store: Store) -> list[PlannedPair]:
    """Return the pairs of a sweep, in the order of its comparisons.

    The configurations read the checkpoints that the store was imported from, or the store if these
    checkpoints no longer exist.

    Raises
    ------
    SweepError
        As `require_pairs`; or two pairs would have one folder, or the steps of a pair are not of
        the same number of examples.
    """
    require_pairs(plan)
    cells_of: dict[tuple[str, str, str], list[PairCell]] = {}
    for group in plan.groups:
        for first, second in _oriented(group, plan):
            a, b = group.representations[first].key, group.representations[second].key
            cell = PairCell(a.step, group, first, second)
            cells_of.setdefault((a.model, b.model, a.layer), []).append(cell)
    sides = _Sides(store)
    pairs: dict[str, PlannedPair] = {}
    for (one, other, layer), cells in cells_of.items():
        cells.sort(key=lambda cell: cell.step)
        pair = _pair(plan, one, other, layer, cells, sides)
        twin = pairs.setdefault(pair.folder, pair)
        if twin is not pair:
            raise SweepError(
                f"two pairs would have the folder {pair.folder}: {twin.config.exp1.name} with "
                f"{twin.config.exp2.name}, and {one} with {other}; rename a model"
            )
    return list(pairs.values())


def _oriented(group: GroupPlan, plan: SweepPlan) -> Iterator[tuple[int, int]]:
    """Yield the positions of each pair: the lower first where the sweep has an order, else the
    one that comes first in the store.
    """
    compare = plan.config.compare
    rising = list(range(len(group.representations)))
    if compare.ascending:
        field = compare.ascending[0]  # a pair that is compared rises in all of them together
        labels = [r.labels for r in group.representations]
        rising = ranks(field, labels, compare.order.get(field)).tolist()
    for first, second in group.pairs.tolist():
        yield (first, second) if rising[first] <= rising[second] else (second, first)


def _pair(
    plan: SweepPlan,
    one: str,
    other: str,
    layer: str,
    cells: Sequence[PairCell],
    sides: _Sides,
) -> PlannedPair:
    sizes = {cell.group.n_examples: cell.step for cell in cells}
    if len(sizes) > 1:
        shown = ", ".join(f"{count} at step {step}" for count, step in list(sizes.items())[:4])
        raise SweepError(
            f"{one} and {other} have different numbers of examples in common at different steps "
            f"({shown}), which one timeline cannot contain; choose the steps by compare.steps"
        )
    steps = [cell.step for cell in cells]
    exp1, exp2 = (sides.side(model, layer, steps[-1]) for model in (one, other))
    common = sorted(set(sides.steps(exp1, layer)) & set(sides.steps(exp2, layer)))
    final = steps == common[-1:]
    folder = f"{_safe(f'{one}_vs_{other}')}/layer{_safe(layer)}"
    config = PairConfig(
        exp1=exp1,
        exp2=exp2,
        layer=_layer(layer),
        checkpoint_steps=None if final or steps == common else tuple(steps),
        use_final_only=final,
        city_filter=_filter_of(plan),
        use_gpu=plan.config.device.startswith("cuda"),
        output_dir=plan.config.output / PAIRS / folder,
    )
    last = tuple(sides.stored[model, layer][-1] for model in (one, other))
    return PlannedPair(config, folder, tuple(cells), (last[0], last[1]))


def _filter_of(plan: SweepPlan) -> str | None:
    examples = plan.config.examples
    if isinstance(examples, SampledExamples):
        raise SweepError(
            "examples.sample: `fastcka pair` and `export: pairs` have no samples; remove "
            "`examples.sample`, or do not ask for pairs"
        )
    return examples


class _Sides:
    """What configurations say of a store's models, found out once for each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.stored: dict[tuple[str, str], list[int]] = {}
        for key in store.inventory()[0]:
            self.stored.setdefault((key.model, key.layer), []).append(key.step)
        self._sides: dict[tuple[str, str], PairSide] = {}
        self._steps: dict[PairSide, list[int]] = {}

    def side(self, model: str, layer: str, step: int) -> PairSide:
        """Return what a configuration says of a model, with the folder to read it from."""
        if (model, layer) not in self._sides:
            folder = representations_folder(self._store.provenance(model, step), layer)
            # In such a tree the folder of an extraction begins with the task.
            task = None if folder is None else folder.parent.name.partition("_")[0]
            side = PairSide(name=model, repr_dir=folder or self._store.path.resolve(), task=task)
            self._sides[model, layer] = side
        return self._sides[model, layer]

    def steps(self, side: PairSide, layer: str) -> list[int]:
        """Return the steps that `fastcka pair` can read of a model."""
        if side.repr_dir == self._store.path.resolve():
            return self.stored[side.name, layer]
        if side not in self._steps:
            with opened_model(side, int(layer)) as opened:
                self._steps[side] = opened.steps
        return self._steps[side]


def _layer(name: str) -> int | str:
    return int(name) if re.fullmatch(r"0|[1-9]\d{0,8}", name) else name


def _safe(name: str) -> str:
    """Return a name that is one part of a path."""
    return re.sub(r"[/\\\0-\x1f]", "-", name)
