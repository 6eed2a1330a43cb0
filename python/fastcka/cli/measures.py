"""The option ``--measure`` of ``fastcka cka``, and what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastcka.core import Comparison
    from fastcka.core.measures.measure import Measure


def measures_of(texts: Sequence[str] | None) -> tuple[Measure, ...]:
    """Return the measures of the option: NAME, or NAME:OPTION=VALUE,OPTION=VALUE.

    Raises
    ------
    InputError
        The text has another form, or there is no such measure or option.
    """
    from fastcka.core.measures.measure import parse_measures

    return parse_measures(["cka", *(_mapping(text) for text in texts or [] if text != "cka")])


def _mapping(text: str) -> dict[str, Any]:
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        if not equals:
            raise InputError(
                f"--measure {text}: expected NAME or NAME:OPTION=VALUE, such as mutual_knn:k=5"
            )
        options[option] = _value(value)
    return {"name": name, **options}


def _value(text: str) -> Any:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def values_of_measures(result: Comparison) -> dict[str, dict[str, Any]]:
    """Return measure -> ``value`` (of A with B), options, and what was used for A and B.

    A measure that is not symmetric also has ``value_b``, of B with A.
    """
    from fastcka.core.measures.compute import undefined_members
    from fastcka.core.measures.table import MEASURES

    sources = [label["source"] for label in result.labels]
    values: dict[str, dict[str, Any]] = {}
    for name, matrix in result.measures.items():
        facts = result.provenance["measures"][name]
        of_each = dict(facts["of_each"])
        of_each.pop("undefined", None)
        why = [f"{sources[i]}: {reason}" for i, reason in undefined_members(facts).items()]
        reversed_value = {} if MEASURES[name].symmetric else {"value_b": float(matrix[1, 0])}
        values[name] = {
            "title": MEASURES[name].title,
            "value": float(matrix[0, 1]),
            **reversed_value,
            **{key: fact for key, fact in facts.items() if key != "of_each"},
            **of_each,
            "undefined": "; ".join(why),
        }
    return values


def lines_of_measures(measures: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return title -> text for each of `values_of_measures`."""
    lines = {}
    for answer in measures.values():
        text = f"{answer['value']:.6f}"
        if answer["undefined"]:
            text = f"undefined: {answer['undefined']}"
        elif "value_b" in answer:
            text += f", and {answer['value_b']:.6f} with A and B exchanged"
        if "bandwidth_used" in answer:
            text += f" (bandwidths {', '.join(f'{s:.4g}' for s in answer['bandwidth_used'])})"
        lines[str(answer["title"])] = text
    return lines
