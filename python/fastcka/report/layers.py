"""The layers of a figure over families, in the order and with the names of its legend."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.stats import PairTable


@dataclass(frozen=True, slots=True)
class FamilyLayer:
    """A layer, and the families that have pairs of models at it.

    Attributes
    ----------
    layer, name
        Its label, and its name in the legend, "cnn · layer conv1".
    families
        Family -> position of the layer among those of the family.
    group
        Number of the group of layers that the same families have.
    position, size
        Position of the layer in its group, and the number of layers of the group.
    """

    layer: str
    name: str
    families: dict[str, int]
    group: int
    position: int
    size: int


def layers_by_family(table: PairTable, field: str) -> list[FamilyLayer]:
    """Return the layers of each family in their order, then those that several families have."""
    pairs = table.keep(table.same(field) & table.same("layer"))
    having = {*zip(pairs.a["layer"], pairs.a[field], strict=True)}
    every = [name for name in table.labels(field) if name is not None]
    groups: dict[tuple[str, ...], list[str]] = {}
    for layer in table.labels("layer"):
        families = tuple(family for family in every if (layer, family) in having)
        if layer is not None and families:
            groups.setdefault(families, []).append(layer)
    ordered = sorted(groups.items(), key=lambda group: (len(group[0]), every.index(group[0][0])))
    order = {
        family: [layer for layer in table.labels("layer") if (layer, family) in having]
        for family in every
    }
    shown = []
    for number, (families, layers) in enumerate(ordered):
        owners = ", ".join(families) if len(families) < len(every) else f"every {field}"
        prefix = f"{owners} · " if len(groups) > 1 else ""
        for i, layer in enumerate(layers):
            places = {family: order[family].index(layer) for family in families}
            shown.append(
                FamilyLayer(layer, f"{prefix}layer {layer}", places, number, i, len(layers))
            )
    return shown
