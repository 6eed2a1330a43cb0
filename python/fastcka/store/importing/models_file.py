"""Reading models.yaml: the factors of each model, including failed and replaced models."""

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
"""Fields of every representation. No factor may have these names."""


def read_models(path: Path) -> dict[str, dict[str, Any]]:
    """Return model name -> factors from a file like this.

    ::

        pt2-1: {family: pt2, variant: 1, seed: orig, tasks: [distance, trianglearea]}
        pt2-1_seed2: {family: pt2, variant: 1, seed: 2, status: failed, note: loss went to NaN}
        pt2-3_seed2: {family: pt2, variant: 3, seed: 2, replaced_by: pt2-3_seed3}

    Values are texts, numbers, booleans, null, or lists of these. A model with ``status: failed`` or
    ``replaced_by: MODEL`` may be missing. An unquoted value that YAML reads unexpectedly (``no``,
    ``0123``, ``1e-3``, ``1:30``) is refused.

    Raises
    ------
    ModelsFileError
        If the file is invalid. The message names the file, the model and the factor, what was
        expected and what was given.
    """
    document = read_yaml(path, error=ModelsFileError)
    models: dict[str, dict[str, Any]] = {}
    for name, factors in document.data.items():
        if not isinstance(factors, dict):
            given = describe(factors, document.written.get((name,)))
            raise ModelsFileError(
                f"{path}: {name}: expected a mapping of factors ({{}} for none), got {given}"
            )
        for factor in factors:
            if factor in RESERVED:
                raise ModelsFileError(
                    f"{path}: {name}.{factor}: every representation already has a field with this "
                    "name; use another name"
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
                f"{path}: {name}.replaced_by: expected another model of this file, got {other!r}"
                f"{near_misses(str(other), [known for known in models if known != name])}"
            )
    return models


def may_be_missing(factors: Mapping[str, Any]) -> bool:
    """Return whether models.yaml marks a model as failed or replaced."""
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
    """Refuse an unquoted value that YAML reads unexpectedly."""
    text = document.written.get(place)
    if text is None:
        return  # quoted
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
            f"{path}: {field_text(place)}: expected an unambiguous value, got "
            f"{describe(value, text)}; write it in another form, or quote it"
        )


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
