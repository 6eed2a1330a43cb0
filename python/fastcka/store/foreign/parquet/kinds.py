"""The types of the columns of a Parquet file."""

from __future__ import annotations

from typing import Any


def list_columns(schema: Any) -> list[str]:
    """Return the columns that contain a list or a tensor of numbers for each row, in order."""
    return [field.name for field in schema if is_list(field.type) or is_tensor(field.type)]


def is_list(kind: Any) -> bool:
    """Return whether values are lists of numbers, nested or not."""
    from pyarrow import types

    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(lists) and (is_list(kind.value_type) or is_number(kind.value_type))


def is_tensor(kind: Any) -> bool:
    """Return whether values are tensors of a fixed shape."""
    import pyarrow as pa

    return isinstance(kind, pa.FixedShapeTensorType)


def fixed_lengths(kind: Any) -> list[int]:
    """Return the lengths that the type fixes for a list or tensor and for lists inside."""
    from pyarrow import types

    lengths = []
    kind = kind.storage_type if is_tensor(kind) else kind
    while is_list(kind):
        if types.is_fixed_size_list(kind):
            lengths.append(kind.list_size)
        kind = kind.value_type
    return lengths


def is_number(kind: Any) -> bool:
    """Return whether values are integers, floats or booleans."""
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def is_text(kind: Any) -> bool:
    """Return whether values are texts, or categories that are texts."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_plain(kind: Any) -> bool:
    """Return whether values are numbers, texts or times, or categories of them."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return is_number(kind) or is_text(kind) or types.is_temporal(kind)
