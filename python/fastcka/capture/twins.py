"""Finding checkpoints of a run that contain the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import StoreError
from fastcka.store.twins import equal_names, steps_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from fastcka.capture.verify import CheckedCheckpoint
    from fastcka.store import Store


def same_weights(checked: Iterable[CheckedCheckpoint]) -> list[str]:
    """Return a line for each group of checkpoints of one experiment with the same weights.

    Equal weights are rarely intended. Usually a file was copied or uploaded twice, or the network
    was not trained in between.

    Examples
    --------
    A line is ``mlp: steps 0 and 100 have the same weights``.
    """
    return _lines(
        {(entry.experiment, entry.step): entry.weights for entry in checked if entry.weights}
    )


def same_captured_weights(store: Store, models: Collection[str]) -> list[str]:
    """Return the same lines for the models in a store that `fastcka capture` wrote."""
    digests: dict[tuple[str, int], str] = {}
    for model, step in dict.fromkeys((key.model, key.step) for key in store.inventory()[0]):
        if model not in models:
            continue
        try:
            key = store.provenance(model, step).get("capture")
        except StoreError:  # `fastcka store verify` reports damaged files
            continue
        if isinstance(key, dict) and isinstance(key.get("weights"), str):
            digests[model, step] = key["weights"]
    return _lines(digests)


def _lines(digests: dict[tuple[str, int], str]) -> list[str]:
    groups = equal_names({name: (name[0], digest) for name, digest in digests.items()})
    return [
        f"{same[0][0]}: {steps_text(step for _, step in same)} have the same weights"
        for same in groups
    ]
