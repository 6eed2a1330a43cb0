"""Finding the field of a checkpoint that contains the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.capture.names import bare_name
from fastcka.capture.wrappers import bare_state
from fastcka.errors import InputError
from fastcka.store.foreign.torch_files import dense_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import torch

#: Fields that contain the weights in the files of most training programs; the default choices.
WEIGHT_KEYS: Final = ("model_state_dict", "state_dict", "model")

_MAX_DEPTH: Final = 3
_SHOWN: Final = 8


def weights_in(
    path: Path, content: Mapping[str, Any] | torch.nn.Module, weights_key: str | None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the weights of a checkpoint by name, and its other fields.

    Raises
    ------
    InputError
        If there are no weights, or several fields may contain them. The message lists the fields.
    """
    import torch

    if isinstance(content, torch.nn.Module):
        if weights_key is not None:
            raise InputError(
                f"{path}: contains a whole network, which has no field {weights_key!r}; omit "
                "weights_key"
            )
        return bare_state(content), {}
    if weights_key is None and _is_state(content):
        return _tensors(path, "", content), {}
    key = _chosen(path, content) if weights_key is None else weights_key
    value = _field(path, content, key)
    fields = {name: field for name, field in content.items() if name != key}
    return _tensors(path, key, value), fields


def _chosen(path: Path, content: Mapping[str, Any]) -> str:
    """Return the one field that contains the weights by its name."""
    possible = {name: value for name, value in content.items() if _may_be_weights(value)}
    obvious = [key for key in WEIGHT_KEYS if key in possible]
    if not obvious:
        # If a field with such a name contains something else, an error about it helps most.
        named = [key for key in WEIGHT_KEYS if isinstance(content.get(key), dict)]
        if named and not possible and not list(_candidates(content[named[0]], "", 1)):
            return named[0]
        candidates = list(_candidates(content, "", 0))
        if candidates:
            raise InputError(_question(path, candidates))
        shown = ", ".join(sorted(map(repr, content))[:_SHOWN])
        raise InputError(
            f"{path}: no weights: expected a dict of tensors, as the whole content or in the field "
            f"{', '.join(map(repr, WEIGHT_KEYS))} or weights_key; got the fields {shown or 'none'}"
        )
    names = _names(possible[obvious[0]])
    rivals = [key for key, value in possible.items() if key in obvious or _names(value) == names]
    if len(rivals) > 1:
        raise InputError(_question(path, rivals))
    return obvious[0]


def _question(path: Path, candidates: list[str]) -> str:
    shown = ", ".join(map(repr, candidates[:_SHOWN]))
    several = "one of its fields" if len(candidates) == 1 else f"{len(candidates)} of its fields"
    return (
        f"{path}: {several} may contain the weights: {shown}; choose one, as in weights_key: "
        f"{candidates[0]}"
    )


def _field(path: Path, content: Mapping[str, Any], key: str) -> object:
    """Return a field by its name, or by its dotted path through other fields."""
    value: object = content
    rest = key
    while isinstance(value, dict):
        if rest in value:
            return value[rest]
        first, dot, rest = rest.partition(".")
        if not dot or first not in value:
            break
        value = value[first]
    candidates = list(_candidates(content, "", 0))
    shown = ", ".join(map(repr, candidates[:_SHOWN])) or "no field contains weights"
    raise InputError(f"{path}: weights_key: no field {key!r}; expected one of: {shown}")


def _tensors(path: Path, key: str, value: object) -> dict[str, torch.Tensor]:
    import torch

    where = f" under {key!r}" if key else ""
    if isinstance(value, torch.nn.Module):
        return bare_state(value)
    if not isinstance(value, dict) or not value:
        given = "an empty dict" if value == {} else type(value).__name__
        raise InputError(f"{path}: expected tensors by name{where}, got {given}")
    state: dict[str, torch.Tensor] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise InputError(f"{path}: expected names of tensors{where}, got {name!r}")
        tensor = torch.from_numpy(item) if _is_numeric_array(item) else item
        if not isinstance(tensor, torch.Tensor):
            inner = list(_candidates(value, f"{key}.", 1))
            remedy = (
                f"choose a field, as in weights_key: {inner[0]}"
                if inner
                else "save the weights without it"
            )
            raise InputError(
                f"{path}: {key}[{name!r}]: expected a tensor, got {type(item).__name__}; {remedy}"
            )
        state[name] = dense_tensor(f"{path}: {name}", tensor)
    return state


def _is_numeric_array(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biufc"


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) or _is_numeric_array(value)


def _is_state(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) for name in value)
        and all(map(_is_tensor, value.values()))
    )


def _may_be_weights(value: object) -> bool:
    """Whether a field is a network, or a dict with names whose values are mostly tensors."""
    import torch

    if isinstance(value, torch.nn.Module):
        return True
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return False
    return 2 * sum(map(_is_tensor, value.values())) > len(value)


def _names(value: Any) -> set[str]:
    import torch

    names = value.state_dict() if isinstance(value, torch.nn.Module) else value
    return {bare_name(name) for name in names if name != "n_averaged"}


def _candidates(content: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[str]:
    """Yield the dotted names of all fields that may contain weights."""
    for name, value in content.items():
        if not isinstance(name, str):
            continue
        if _may_be_weights(value):
            yield f"{prefix}{name}"
        elif isinstance(value, dict) and depth + 1 < _MAX_DEPTH:
            yield from _candidates(value, f"{prefix}{name}.", depth + 1)
