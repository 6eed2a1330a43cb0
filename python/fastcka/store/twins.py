"""Finding models, and steps of a model, whose stored values are identical."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping

    from fastcka.store.store import Store

Name = TypeVar("Name")


class TwinSteps(NamedTuple):
    """Steps of a model that have identical values in all of their layers."""

    model: str
    steps: list[int]
    n_layers: int

    def __str__(self) -> str:
        layers = "the only layer" if self.n_layers == 1 else f"all {self.n_layers} layers"
        return f"{self.model}: {steps_text(self.steps)} are equal in {layers}"


def equal_names(values: Mapping[Name, Hashable]) -> list[list[Name]]:
    """Return the groups of two or more names with the same value, in order of first occurrence."""
    same: dict[Hashable, list[Name]] = {}
    for name, value in values.items():
        same.setdefault(value, []).append(name)
    return [names for names in same.values() if len(names) > 1]


class TwinModels(NamedTuple):
    """Models that have identical values in all of their representations."""

    models: list[str]
    n_representations: int

    def __str__(self) -> str:
        count = self.n_representations
        where = "the only representation" if count == 1 else f"all {count} representations"
        return f"{', '.join(self.models)}: equal in {where}"


def twin_models(store: Store, models: Collection[str]) -> list[TwinModels]:
    """Return those of the given models that are identical in all stored representations.

    One checkpoint under the names of two seeds is an example. Models that share only some of their
    steps are not twins.
    """
    values: dict[str, list[tuple[int, str, str]]] = {}
    for key in store.inventory()[0]:
        if key.model in models:
            values.setdefault(key.model, []).append((key.step, key.layer, store.info(key).digest))
    whole = {model: tuple(sorted(digests)) for model, digests in values.items()}
    return [TwinModels(names, len(values[names[0]])) for names in equal_names(whole)]


def twin_steps(store: Store, steps: Iterable[tuple[str, int]]) -> list[TwinSteps]:
    """Return those of the given steps that are identical to another step of the same model.

    Twin steps are identical in all stored layers, so an unchanged (frozen) layer makes no twins
    while other layers change. The function compares digests and reads no values.

    Parameters
    ----------
    store
        The open store.
    steps
        Model and step.
    """
    wanted = set(steps)
    layers: dict[str, dict[int, list[tuple[str, str]]]] = {}
    for key in store.inventory()[0]:
        if (key.model, key.step) in wanted:
            digests = layers.setdefault(key.model, {}).setdefault(key.step, [])
            digests.append((key.layer, store.info(key).digest))
    return [
        TwinSteps(model, sorted(same), len(by_step[same[0]]))
        for model, by_step in layers.items()
        for same in equal_names({step: tuple(sorted(digests)) for step, digests in by_step.items()})
    ]


def steps_text(steps: Iterable[int]) -> str:
    """Return "steps 0, 10 and 20"."""
    *others, last = map(str, sorted(steps))
    return f"steps {', '.join(others)} and {last}"
