"""The labels and arrays of what a caller passes as representations."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Mapping, Sequence
from typing import Any

from fastcka.arrays import mapping_of, no_array
from fastcka.errors import InputError


def members_of(representations: Any, argument: str) -> tuple[list[Any] | None, list[Any]]:
    """Return the labels, None if there are none, and the arrays.

    Parameters
    ----------
    representations
        A sequence or another iterable of arrays, a mapping from label to array, an object with the
        ``items`` of a mapping, or (label, array) pairs, such as the items of a mapping.
    argument
        The name of the argument in error messages.

    Raises
    ------
    InputError
        For anything else. The message names the right call for what was passed.
    """
    mapping = mapping_of(representations)
    if mapping is not None:
        return list(mapping), list(mapping.values())
    if type(representations) not in (list, tuple):
        _refuse_others(representations, argument)
    members = list(representations)
    if members and type(members[0]) is tuple and _are_items(representations, members):
        return [label for label, _ in members], [array for _, array in members]
    if members and all(_is_row(member) for member in members):
        raise _one_array(f"{len(members)} lists of numbers", argument)
    return None, members


def refuse_stacks(representations: Any, argument: str) -> None:
    """Refuse an array whose first axis may count representations as well as examples."""
    if getattr(representations, "ndim", 0) > 2:
        raise InputError(
            f"{argument}: expected a sequence or mapping of arrays, got one array of shape "
            f"{tuple(representations.shape)}: if its first axis counts representations, pass "
            "list(array); if it counts examples, pass [array]"
        )


def refuse_lists_of_matrices(arrays: Sequence[Any], names: Sequence[str]) -> None:
    """Refuse a list of matrices as one of several representations: its items may be layers."""
    for x, name in zip(arrays, names, strict=True):
        if type(x) in (list, tuple) and x and getattr(x[0], "ndim", 0) > 1:
            raise InputError(
                f"{name} must be an array, got a list of {len(x)} arrays, the first of shape "
                f"{tuple(x[0].shape)}: if these are representations, compare(a, b) compares two "
                "lists; if they are examples, pass numpy.stack(list)"
            )


def not_an_array(x: Mapping[Any, Any], name: str) -> InputError:
    """Return the error for a mapping where an array is expected."""
    keys = ", ".join(map(repr, list(x)[:4])) + (", ..." if len(x) > 4 else "")
    return InputError(
        f"{name} must be an array, got a mapping with the keys {keys}: compare(a, b) compares "
        "every array of one mapping with every array of another; for all pairs, put all arrays "
        'into one mapping, with keys such as ("model1", "layer1")'
    )


def _refuse_others(representations: Any, argument: str) -> None:
    expected = f"{argument}: expected a sequence or mapping of arrays, got"
    if hasattr(representations, "state_dict") and hasattr(representations, "forward"):
        raise InputError(
            f"{expected} a network ({type(representations).__name__}): "
            "fastcka.capture.capture_activations(network, inputs, layers) returns such a mapping"
        )
    if hasattr(representations, "read_many") and hasattr(representations, "keys"):
        raise InputError(
            f"{expected} a store: read the representations, "
            "{key: store.read(key) for key in store.keys()}; `fastcka run` compares whole stores"
        )
    if isinstance(representations, str | bytes) or hasattr(representations, "__fspath__"):
        raise InputError(
            f"{expected} {representations!r}: fastcka.open_store opens a store, "
            "Comparison.load a saved comparison, and fastcka.store.read_array reads one array"
        )
    if other := no_array(representations):
        raise InputError(f"{expected} {other}")
    shape = getattr(representations, "shape", None)
    is_sequence_of_objects = str(getattr(representations, "dtype", "")) == "object"
    if shape is not None and len(shape) <= 2 and not (is_sequence_of_objects and len(shape) == 1):
        raise _one_array(f"one array of shape {tuple(shape)}", argument)
    if not isinstance(representations, Iterable):
        raise InputError(f"{expected} {type(representations).__name__}")


def _one_array(what: str, argument: str) -> InputError:
    return InputError(
        f"{argument}: expected a sequence or mapping of arrays, got {what}: fastcka.cka(x, y) "
        "compares two arrays, fastcka.compare([x, y]) all pairs of several"
    )


def _are_items(representations: Any, members: list[Any]) -> bool:
    """Return whether each member is a (label, array) pair."""
    if not all(type(member) is tuple and len(member) == 2 for member in members):
        return False
    return isinstance(representations, ItemsView) or all(
        isinstance(label, str)
        or (hasattr(array, "shape") and isinstance(label, int | float | tuple))
        for label, array in members
    )


def _is_row(member: Any) -> bool:
    return (
        type(member) in (list, tuple)
        and len(member) > 0
        and all(isinstance(value, int | float) for value in member)
    )
