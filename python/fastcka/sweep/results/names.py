"""Names of models in figures: the same in the heatmaps of a sweep and in its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SEPARATOR = " · "
NAMING = ("family", "variant", "seed")
"""The factors that name a model by default, the most significant first."""


def model_names(
    models: Mapping[str, Mapping[str, str | None]], fields: Sequence[str]
) -> dict[str, str]:
    """Return model -> its labels in ``fields``, "mlp · seed 0".

    The name of a field precedes its labels if one of them does not start with a letter. A model
    without fields keeps its name; models with equal labels have it in brackets.
    """
    bare = {
        field: all((labels.get(field) or "a")[0].isalpha() for labels in models.values())
        for field in fields
    }
    names = {
        model: SEPARATOR.join(
            ("" if bare[field] else f"{field} ") + (labels.get(field) or "–") for field in fields
        )
        for model, labels in models.items()
    }
    texts = list(names.values())
    return {
        model: model if not name else f"{name} ({model})" if texts.count(name) > 1 else name
        for model, name in names.items()
    }
