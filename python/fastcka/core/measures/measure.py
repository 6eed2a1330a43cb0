"""A measure with its options, as the argument ``measures`` takes it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

from fastcka.core.measures.rbf import Rule
from fastcka.core.measures.table import MEASURES, MeasureName
from fastcka.errors import InputError
from fastcka.near_misses import near_misses

_RULES: tuple[str, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of similarity with its options; those that it does not have stay None.

    Attributes
    ----------
    name
        "cka", "rbf_cka", "mutual_knn", "cknna", "cknna_reference", "procrustes", "svcca" or
        "pwcca".
    k
        Number of nearest neighbours of mutual_knn and both kinds of cknna. Default: 10.
    bandwidth
        Width s of the Gaussian kernel ``exp(-|x_a - x_b|^2 / (2 s^2))`` of rbf_cka: "median", the
        median of ``|x_a - x_b|`` over pairs of different examples (default); "median_squared", the
        root of the median of ``|x_a - x_b|^2``; or a number, in the units of the data.
    scale
        Factor of the bandwidth. Default: 1.
    variance
        Share of the variance that the principal components kept by svcca have. Default: 0.99.
    allow_wide
        Whether svcca and pwcca may compare more dimensions than half the number of examples, where
        they are near 1 for unrelated data too. Default: False, and this is an error.

    Raises
    ------
    InputError
        There is no such measure, an option does not belong to it, or has a value that is not
        allowed.

    Examples
    --------
    >>> import fastcka
    >>> fastcka.Measure("mutual_knn", k=5).options
    {'k': 5}
    """

    name: MeasureName
    k: int | None = None
    bandwidth: Rule | float | None = None
    scale: float | None = None
    variance: float | None = None
    allow_wide: bool | None = None

    def __post_init__(self) -> None:
        is_text = isinstance(self.name, str)
        if not is_text or self.name not in MEASURES:
            hint = near_misses(self.name, list(MEASURES)) if is_text else ""
            raise InputError(
                f"measures: expected one of {', '.join(MEASURES)}; got {self.name!r}{hint}"
            )
        defaults = MEASURES[self.name].options
        for option in _OPTIONS:
            value = getattr(self, option)
            if option in defaults:
                used = defaults[option] if value is None else value
                _check(self.name, option, used)
                object.__setattr__(self, option, used)
            elif value is not None:
                has = f"its options are {', '.join(defaults)}" if defaults else "it has no options"
                raise InputError(f"measures: {self.name} has no option {option}: {has}")

    def __str__(self) -> str:
        """Return the name, with its options in brackets."""
        options = ", ".join(f"{option}={value}" for option, value in self.options.items())
        return f"{self.name} ({options})" if options else self.name

    @property
    def options(self) -> dict[str, Any]:
        """Option -> value, for the options that the measure has."""
        return {option: getattr(self, option) for option in MEASURES[self.name].options}

    def to_dict(self) -> dict[str, Any]:
        """Return name and options for JSON and YAML."""
        return {"name": self.name, **self.options}


_OPTIONS = tuple(field.name for field in fields(Measure) if field.name != "name")


def _check(name: str, option: str, value: Any) -> None:
    """Raise `InputError` if an option has a value that is not allowed."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    positive = number and 0 < value < math.inf
    least = 1 if name == "mutual_knn" else 2
    allowed, expected = {
        "k": (type(value) is int and value >= least, f"an integer of at least {least}"),
        "bandwidth": (
            positive or value in _RULES,
            f"{', '.join(map(repr, _RULES))} or a positive number",
        ),
        "scale": (positive, "a positive number"),
        "variance": (positive and value <= 1, "a number above 0 and up to 1"),
        "allow_wide": (isinstance(value, bool), "True or False"),
    }[option]
    if not allowed:
        raise InputError(f"measures: {name}: {option}: expected {expected}; got {value!r}")


def parse_measures(measures: object) -> tuple[Measure, ...]:
    """Return the measures of an argument ``measures``, each once.

    Parameters
    ----------
    measures
        A list, or one of its items: a name, a `Measure`, or a mapping with ``name`` and options.

    Raises
    ------
    InputError
        It is something else, or names a measure twice.
    """
    if isinstance(measures, str | Measure | Mapping):
        measures = [measures]
    if not isinstance(measures, Iterable):
        raise InputError(f"measures: expected a list of names or fastcka.Measure; got {measures!r}")
    parsed = tuple(_parse(each) for each in measures)
    if not parsed:
        raise InputError("measures: expected at least one; the default is ['cka']")
    names = [measure.name for measure in parsed]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"measures: {name} is listed twice: expected each measure once, because "
                "Comparison.measure takes its name"
            )
    return parsed


def without_cka(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """Return the measures besides linear CKA, in the order of the table."""
    asked = {measure.name: measure for measure in measures}
    return tuple(asked[name] for name in MEASURES if name in asked and name != "cka")


def _parse(item: object) -> Measure:
    if isinstance(item, Measure):
        return item
    if isinstance(item, str):
        return Measure(item)  # type: ignore[arg-type]  # its error lists the names
    if isinstance(item, Mapping) and "name" in item:
        unknown = [key for key in item if key not in (*_OPTIONS, "name")]
        if unknown:
            raise InputError(
                f"measures: {item['name']} has no option {unknown[0]}: the options of measures are "
                f"{', '.join(_OPTIONS)}"
            )
        return Measure(**item)
    raise InputError(
        f"measures: expected a name, fastcka.Measure(...), or a mapping with name; got {item!r}"
    )


def measures_sentence(record: Mapping[MeasureName, Mapping[str, Any]]) -> str:
    """Return a sentence on measures for the methods of a paper, from their provenance."""
    texts = []
    for name, facts in record.items():
        described = MEASURES[name]
        options = [f"{option} {facts[option]}" for option in described.options]
        texts.append(f"{described.title} ({'; '.join([*options, described.reference])})")
    return f"Further measures: {', '.join(texts)}."
