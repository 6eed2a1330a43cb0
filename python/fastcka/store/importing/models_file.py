"""models.yaml: the factors of each model, those that failed or were replaced among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import InputError, ModelsFileError
from fastcka.near_misses import near_misses
from fastcka.store.file.jsontext import checked_factors
from fastcka.yaml_file import describe, field_text, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fastcka.yaml_file import FieldPath, YamlDocument

RESERVED: Final = ("model", "step", "layer")
"""Fields of every representation, which no factor may be called."""


def read_models(path: Path) -> dict[str, dict[str, Any]]:
    """Return model name -> factors, from a file of this form.

    ::

        pt2-1: {family: pt2, variant: 1, seed: orig, tasks: [distance, trianglearea]}
        pt2-1_seed2: {family: pt2, variant: 1, seed: 2, status: failed, note: loss went to NaN}
        pt2-3_seed2: {family: pt2, variant: 3, seed: 2, replaced_by: pt2-3_seed3}

    Values are texts, numbers, booleans, null, or lists of these. ``status: failed`` or
    ``replaced_by: MODEL`` says that a model may be missing. A plain value that YAML reads as
    something else than it looks like (``no``, ``0123``, ``1e-3``, ``1:30``) is refused.

    Raises
    ------
    ModelsFileError
        Naming the file, the model, the factor, what was expected and what came.
    """
    document = read_yaml(path, error=ModelsFileError)
    models: dict[str, dict[str, Any]] = {}
    for name, factors in document.data.items():
        if not isinstance(factors, dict):
            came = describe(factors, document.written.get((name,)))
            raise ModelsFileError(
                f"{path}: {name}: expected a mapping of factors ({{}} for none), came {came}"
            )
        for factor in factors:
            if factor in RESERVED:
                raise ModelsFileError(
                    f"{path}: {name}.{factor}: every representation has this field already; use "
                    "another name"
                )
        for place, value in _scalars(factors, (name,)):
            _check_as_written(path, place, value, document)
        try:
            models[name] = checked_factors(factors)
        except InputError as error:
            raise ModelsFileError(f"{path}: {name}: {error}") from None
    for name, factors in models.items():
        other = factors.get("replaced_by")
        if other is not None and (other not in models or other == name):
            raise ModelsFileError(
                f"{path}: {name}.replaced_by: expected another model of this file, came {other!r}"
                f"{near_misses(str(other), [known for known in models if known != name])}"
            )
    return models


def may_be_missing(factors: Mapping[str, Any]) -> bool:
    """Return whether models.yaml says that a model failed, or that another stands in for it."""
    return factors.get("status") == "failed" or factors.get("replaced_by") is not None


def _scalars(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, object]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _scalars(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _scalars(item, (*path, position))
    else:
        yield path, value


def _check_as_written(path: Path, place: FieldPath, value: object, document: YamlDocument) -> None:
    """Refuse a value that YAML took for something that the text does not look like."""
    text = document.written.get(place)
    if text is None:
        return  # in quotes
    if isinstance(value, bool):
        same = text.lower() == str(value).lower()
    elif isinstance(value, int):
        same = text == str(value)
    elif isinstance(value, float):
        same = _float(text) == value
    elif isinstance(value, str):
        same = _float(text) is None
    else:
        same = value is None
    if not same:
        raise ModelsFileError(
            f"{path}: {field_text(place)}: came {describe(value, text)}; write it so that it can "
            "be read in one way, or quote it"
        )


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
