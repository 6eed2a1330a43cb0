"""From the checkpoints of a run to the activations of each layer, through a store on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.activations import capture_activations
from fastcka.capture.attention import capture_attention
from fastcka.capture.factory import load_weights
from fastcka.capture.probe import Probe
from fastcka.capture.representations import capture_representations
from fastcka.errors import InputError
from fastcka.evolution.activations import units
from fastcka.evolution.attention import attention_facts
from fastcka.store import Key, Store

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fastcka.capture.pooling import Pool
    from fastcka.evolution.series import Series


@dataclass(frozen=True)
class Capture:
    """How checkpoints become activations; the same for every run.

    Attributes
    ----------
    model
        The network; its weights are replaced by those of each checkpoint.
    probe
        The examples.
    layers
        Names and patterns; empty for `default_layers`.
    pool, batch_size
        As for `fastcka.capture.capture_representations`.
    store
        What the activations are written to, and taken from where they are there already.
    """

    model: torch.nn.Module
    probe: Probe
    layers: Sequence[str]
    pool: Pool
    batch_size: int
    store: Store

    def load(self, series: Series, step: int) -> None:
        """Give the network the weights of a checkpoint.

        Raises
        ------
        InputError
            If they do not fit.
        """
        load_weights(self.model, series.state(step), where=series.paths[step])

    def run(self, series: Series, name: str, steps: Sequence[int]) -> list[str]:
        """Capture several steps of a run under this name; returns the layers."""
        for step in steps:
            self.load(series, step)
            capture_representations(
                self.model,
                self.probe,
                layers=self.layers or default_layers(self.model),
                store=self.store,
                model_name=name,
                step=step,
                pool=self.pool,
                batch_size=self.batch_size,
                overwrite=True,
            )
        own = (name, steps[0])
        return [key.layer for key in self.store.keys() if (key.model, key.step) == own]

    def read(self, name: str, steps: Sequence[int], layer: str) -> dict[int, NDArray[Any]]:
        """Return step -> (n_examples, n_features) of one layer."""
        return {step: self.store.read(Key(name, step, layer)) for step in steps}

    def units(self, layers: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Return for each layer the unit of each feature; see `activations.units`."""
        pool: Pool = "none" if self.pool == "flatten" else self.pool
        one = capture_activations(
            self.model,
            self.probe.first(),
            self.layers or default_layers(self.model),
            pool=pool,
            check_rows=False,  # the rows of all examples were checked
        )
        return {layer: units(one[layer].shape[1:]) for layer in layers}

    def attention(self, series: Series, phases: Mapping[str, int]) -> dict[str, Any]:
        """Return layer -> phase -> `attention.attention_facts`; {} for a network without heads."""
        if not has_attention(self.model):
            return {}
        found: dict[str, Any] = {}
        for phase, step in phases.items():
            self.load(series, step)
            for layer, own in capture_attention(self.model, self.probe).items():
                facts = attention_facts(own.entropy, own.mean_map)
                found.setdefault(layer, {})[phase] = facts
        return found


def default_layers(model: torch.nn.Module) -> list[str]:
    """Return each module that the network itself calls: its children, or those of their lists.

    ``nn.ModuleList`` and its like are no layers, so their members are taken. A layer that is called
    several times gives a representation a call.
    """
    import torch

    found: list[str] = []

    def visit(module: torch.nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            if type(child).forward is torch.nn.Module.forward:
                visit(child, f"{prefix}{name}.")
            else:
                found.append(f"{prefix}{name}@*")

    visit(model, "")
    if not found:
        raise InputError(f"{type(model).__name__} has no submodules; name its layers with layers=")
    return found


def has_attention(model: torch.nn.Module) -> bool:
    """Whether the network has layers that `fastcka.capture.capture_attention` can listen to."""
    from torch import nn

    return any(
        isinstance(module, nn.MultiheadAttention)
        or getattr(getattr(module, "config", None), "num_attention_heads", None) is not None
        for module in model.modules()
    )
