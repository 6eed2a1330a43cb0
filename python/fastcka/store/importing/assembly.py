"""Aligning the layers of a step to the same examples in the same order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.errors import ImportRefusedError, InputError
from fastcka.store.file.layer_array import as_layer_array
from fastcka.store.importing.example_table import ExampleTable
from fastcka.store.importing.finding import ImportFinding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastcka.store.importing.tree import TreeLayer, TreeStep


_BLOCK_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True, eq=False)
class AssembledStep:
    """The content of one file of the store.

    Attributes
    ----------
    layers
        Name -> (n_examples, ...) array or tensor.
    table
        The examples of all layers, in the order of the first layer.
    n_reordered
        Number of layers whose rows were in another order.
    findings
        The findings of this step.
    """

    layers: Mapping[str, Any]
    table: ExampleTable
    n_reordered: int
    findings: Sequence[ImportFinding]


def assembled(tree_step: TreeStep) -> AssembledStep | list[ImportFinding]:
    """Read a step's layers and align them by id; or return why nothing is left to import.

    A faulty layer is skipped. If layers contradict each other, all of them are refused, because
    nobody can know which one is right.
    """
    findings: list[ImportFinding] = []
    layers = [
        layer for layer in tree_step.read(findings) if _is_storable(tree_step, layer, findings)
    ]
    if not layers:
        return findings
    model, step = tree_step.model, tree_step.step
    try:
        orders = _orders(layers)
    except ImportRefusedError as error:
        findings.append(ImportFinding("skipped", error.reason, str(error), model, step))
        return findings
    first = layers[0].table
    for layer in layers[1:]:
        differing = _differing_columns(first, layer.table, orders[layer.name])
        if differing:
            detail = f"columns {', '.join(differing)}: taken from layer {layers[0].name}"
            findings.append(
                ImportFinding(
                    "doubtful", "columns differ between layers", detail, model, step, layer.name
                )
            )
    if first.positional_ids:
        detail = f"{tree_step.folder}: no ids: rows are named 0 to {len(first.ids) - 1}"
        detail += f" ({first.doubt})" if first.doubt else ""
        findings.append(ImportFinding("doubtful", "rows named by position", detail, model, step))
    for column, why in first.left_out.items():
        detail = f"{tree_step.folder}: column {column!r}: {why}"
        findings.append(ImportFinding("doubtful", "column left out", detail, model, step))
    values = {
        layer.name: layer.values if (order := orders[layer.name]) is None else layer.values[order]
        for layer in layers
    }
    n_reordered = sum(order is not None for order in orders.values())
    return AssembledStep(values, first, n_reordered, findings)


def _is_storable(step: TreeStep, layer: TreeLayer, findings: list[ImportFinding]) -> bool:
    """Read a whole layer, so that one with NaN is skipped and does not stop the others."""
    try:
        source = as_layer_array(layer.name, layer.values)
        rows = max(1, _BLOCK_BYTES // source.row_bytes)
        for start in range(0, source.n_examples, rows):
            source.rows(start, min(start + rows, source.n_examples))
    except InputError as error:
        key = (step.model, step.step, layer.name)
        detail = f"{step.folder}: {error}"
        findings.append(ImportFinding("skipped", "not a representation", detail, *key))
        return False
    return True


def _orders(layers: Sequence[TreeLayer]) -> dict[str, NDArray[np.int64] | None]:
    """Return layer -> the rows that bring it into the first layer's order; None if it is in it.

    Raises
    ------
    ImportRefusedError
        If the layers have different examples.
    """
    first = layers[0]
    orders: dict[str, NDArray[np.int64] | None] = {}
    for layer in layers:
        ids, others = first.table.ids, layer.table.ids
        if len(ids) != len(others):
            raise ImportRefusedError(
                "row counts differ",
                f"layer {first.name} has {len(ids)} rows, layer {layer.name} has {len(others)}",
            )
        if first.table.positional_ids != layer.table.positional_ids:
            one, other = (first, layer) if layer.table.positional_ids else (layer, first)
            raise ImportRefusedError(
                "ids of some layers only",
                f"layer {one.name} has ids ({one.table.id_source}), layer {other.name} has none, "
                "so their rows cannot be matched",
            )
        if others is ids or others == ids:
            orders[layer.name] = None
            continue
        rows = {name: row for row, name in enumerate(others)}
        absent = [name for name in ids if name not in rows]
        if absent:
            raise ImportRefusedError(
                "ids differ between layers",
                f"{len(absent)} of {len(ids)} ids of layer {first.name} are not in layer "
                f"{layer.name}, for example {absent[0]!r}",
            )
        orders[layer.name] = np.array([rows[name] for name in ids], dtype=np.int64)
    return orders


def _differing_columns(
    first: ExampleTable, other: ExampleTable, order: NDArray[np.int64] | None
) -> list[str]:
    if first is other:
        return []
    rows = range(len(first.ids)) if order is None else order.tolist()
    names = dict.fromkeys([*first.columns, *other.columns])
    return [
        name
        for name in names
        if name not in first.columns
        or name not in other.columns
        or not _same(first.columns[name], [other.columns[name][row] for row in rows])
    ]


def _same(one: list[Any], other: list[Any]) -> bool:
    return one == other or all(
        a == b
        or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(one, other, strict=True)
    )
