"""The activations of the steps of a training run, in memory or in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.capture.activations import capture_activations
from fastcka.capture.representations import capture_representations
from fastcka.store import create_store

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import torch

    from fastcka.capture.probe import Probe


class KeptInMemory:
    """Keeps activations in memory: step -> layer -> values."""

    def __init__(self) -> None:
        self._steps: dict[int, dict[str, Any]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all activations."""
        return sum(x.nbytes for layers in self._steps.values() for x in layers.values())

    def capture(
        self, model: torch.nn.Module, probe: Probe, step: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Capture a network, keep its activations as those of a step, and return them."""
        captured = capture_activations(model, probe, **options)
        self._steps[step] = {layer: x.reshape(len(x), -1) for layer, x in captured.items()}
        return self._steps[step]

    def read(self, step: int) -> dict[str, Any]:
        """Return layer -> (n_examples, n_features) of a step."""
        return self._steps[step]

    def keep(self, steps: set[int]) -> None:
        """Forget all other steps."""
        self._steps = {step: self._steps[step] for step in self._steps if step in steps}


class KeptInStore:
    """Keeps activations in a store.

    Parameters
    ----------
    folder
        The folder of the store, created if it does not exist.
    model_name
        The name of the training run in the store.
    overwrite
        Whether steps of another training run are replaced.
    """

    nbytes = 0

    def __init__(self, folder: str | os.PathLike[str], model_name: str, overwrite: bool) -> None:
        self._store = create_store(folder, exist_ok=True)
        self._model_name, self._overwrite = model_name, overwrite

    def capture(
        self, model: torch.nn.Module, probe: Probe, step: int, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Capture a network, keep its activations as those of a step, and return them."""
        capture_representations(
            model,
            probe,
            store=self._store,
            model_name=self._model_name,
            step=step,
            overwrite=self._overwrite,
            **options,
        )
        return self.read(step)

    def read(self, step: int) -> dict[str, Any]:
        """Return layer -> (n_examples, n_features) of a step."""
        keys = self._store.inventory()[0]
        chosen = [key for key in keys if (key.model, key.step) == (self._model_name, step)]
        return {key.layer: self._store.read(key) for key in chosen}

    def keep(self, _steps: set[int]) -> None:
        """Do nothing: the store keeps all steps."""
