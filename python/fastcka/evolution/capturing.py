"""Compute the activations of each layer from the checkpoints of a run, and store them."""

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
    """Computes activations from checkpoints.

    Attributes
    ----------
    model
        The network, into which the weights of each checkpoint are loaded.
    probe
        The examples.
    layers
        Names and patterns of layers; empty for `default_layers`.
    pool, batch_size
        See `fastcka.capture.capture_representations`.
    store
        The store for the activations. Activations that it already contains are reused.
    """

    model: torch.nn.Module
    probe: Probe
    layers: Sequence[str]
    pool: Pool
    batch_size: int
    store: Store

    def load(self, series: Series, step: int) -> None:
        """Load the weights of a checkpoint into the network.

        Raises
        ------
        InputError
            If the weights do not fit the network.
        """
        load_weights(self.model, series.state(step), where=series.paths[step])

    def run(self, series: Series, name: str, steps: Sequence[int]) -> list[str]:
        """Capture several steps of a run, store them as model ``name``, and return the layers."""
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
        first = (name, steps[0])
        return [key.layer for key in self.store.keys() if (key.model, key.step) == first]

    def read(self, name: str, steps: Sequence[int], layer: str) -> dict[int, NDArray[Any]]:
        """Return step -> (n_examples, n_features) of one layer."""
        return {step: self.store.read(Key(name, step, layer)) for step in steps}

    def units(self, layers: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Return layer -> unit of each feature; see `activations.units`."""
        pool: Pool = "none" if self.pool == "flatten" else self.pool
        one = capture_activations(
            self.model,
            self.probe.first(),
            self.layers or default_layers(self.model),
            pool=pool,
            check_rows=False,  # `run` has checked the rows of all examples
        )
        return {layer: units(one[layer].shape[1:]) for layer in layers}

    def attention(self, series: Series, phases: Mapping[str, int]) -> dict[str, Any]:
        """Return layer -> phase -> `attention.attention_facts`; {} without attention layers."""
        if not has_attention(self.model):
            return {}
        result: dict[str, Any] = {}
        for phase, step in phases.items():
            self.load(series, step)
            for layer, captured in capture_attention(self.model, self.probe).items():
                facts = attention_facts(captured.entropy, captured.mean_map)
                result.setdefault(layer, {})[phase] = facts
        return result


def default_layers(model: torch.nn.Module) -> list[str]:
    """Return patterns for the children of the network.

    Containers without a forward method, such as ``nn.ModuleList``, are replaced by their members. A
    layer that is called several times has one representation per call.

    Raises
    ------
    InputError
        If the network has no submodules.
    """
    import torch

    layers: list[str] = []

    def visit(module: torch.nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            if type(child).forward is torch.nn.Module.forward:
                visit(child, f"{prefix}{name}.")
            else:
                layers.append(f"{prefix}{name}@*")

    visit(model, "")
    if not layers:
        raise InputError(
            f"model: expected a network with submodules, got {type(model).__name__}, which has "
            "none; activations are captured at submodules"
        )
    return layers


def has_attention(model: torch.nn.Module) -> bool:
    """Whether the network has layers that `fastcka.capture.capture_attention` supports."""
    from torch import nn

    return any(
        isinstance(module, nn.MultiheadAttention)
        or getattr(getattr(module, "config", None), "num_attention_heads", None) is not None
        for module in model.modules()
    )
