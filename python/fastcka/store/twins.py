"""Which models, or steps of a model, have the same values under several names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping

    from fastcka.store.store import Store

Name = TypeVar("Name")


class TwinSteps(NamedTuple):
    """Steps of a model whose values are the same in all of their layers."""

    model: str
    steps: list[int]
    n_layers: int

    def __str__(self) -> str:
        layers = "the only layer" if self.n_layers == 1 else f"all {self.n_layers} layers"
        return f"{self.model}: {steps_text(self.steps)} are equal in {layers}"


def equal_names(values: Mapping[Name, Hashable]) -> list[list[Name]]:
    """Return the groups of two or more names that have the same value, in their order."""
    same: dict[Hashable, list[Name]] = {}
    for name, value in values.items():
        same.setdefault(value, []).append(name)
    return [names for names in same.values() if len(names) > 1]


class TwinModels(NamedTuple):
    """Models whose values are the same in all of their representations."""

    models: list[str]
    n_representations: int

    def __str__(self) -> str:
        count = self.n_representations
        where = "the only representation" if count == 1 else f"all {count} representations"
        return f"{', '.join(self.models)}: equal in {where}"


def twin_models(store: Store, models: Collection[str]) -> list[TwinModels]:
    """Return the models, of those given, that are equal in all stored representations.

    One checkpoint that was given for two seeds, for example. Models that share their first step
    alone are no twins.
    """
    values: dict[str, list[tuple[int, str, str]]] = {}
    for key in store.inventory()[0]:
        if key.model in models:
            values.setdefault(key.model, []).append((key.step, key.layer, store.info(key).digest))
    whole = {model: tuple(sorted(own)) for model, own in values.items()}
    return [TwinModels(names, len(values[names[0]])) for names in equal_names(whole)]


def twin_steps(store: Store, steps: Iterable[tuple[str, int]]) -> list[TwinSteps]:
    """Return the steps of one model, of those given, that are equal in all stored layers.

    A layer that did not change, as a frozen one, is no twin while others did. No values are read:
    the digests of the store are compared.

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
            of_step = layers.setdefault(key.model, {}).setdefault(key.step, [])
            of_step.append((key.layer, store.info(key).digest))
    return [
        TwinSteps(model, sorted(same), len(of_model[same[0]]))
        for model, of_model in layers.items()
        for same in equal_names({step: tuple(sorted(own)) for step, own in of_model.items()})
    ]


def steps_text(steps: Iterable[int]) -> str:
    """Return "steps 0, 10 and 20"."""
    *others, last = map(str, sorted(steps))
    return f"steps {', '.join(others)} and {last}"
