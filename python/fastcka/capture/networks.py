"""The networks of one run: one network with changing weights, or one pretrained model a step."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fastcka.capture.factory import build_model, load_factory, load_weights
from fastcka.capture.fitting import LoadedWeights
from fastcka.capture.pretrained import PretrainedSource, load_pretrained, pretrained_class
from fastcka.capture.run_files import read_file

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from fastcka.capture.config import CaptureConfig, CaptureRun
    from fastcka.capture.run_files import RunFile


class Trust(NamedTuple):
    """What may run code.

    Attributes
    ----------
    pickle
        Checkpoints that could run code.
    remote_code
        The Python code in the repository of a pretrained model.
    """

    pickle: bool = False
    remote_code: bool = False


class LoadedNetwork(NamedTuple):
    """A network with the weights of one step.

    Attributes
    ----------
    model
        The network, on the device.
    loaded
        The names of weights that were not loaded.
    source
        The origin of the weights, for the provenance.
    """

    model: torch.nn.Module
    loaded: LoadedWeights
    source: dict[str, Any]


class Networks(Protocol):
    """The networks of one run."""

    def load(self, file: RunFile) -> LoadedNetwork:
        """Return the network with the weights of a step, valid until the next call."""


def networks_of(
    config: CaptureConfig, run: CaptureRun, device: torch.device, trust: Trust
) -> Networks:
    """Return the networks of a run.

    Raises
    ------
    InputError
        If the factory does not return a network.
    """
    if run.pretrained is not None:
        return _PretrainedModels(config, run, device, trust)
    return _Checkpoints(config, run, device, trust)


def source_of(
    config: CaptureConfig, run: CaptureRun, file: RunFile, trust: Trust
) -> PretrainedSource:
    """Return where the pretrained model of a step is."""
    return PretrainedSource(
        str(file.path or run.pretrained),
        file.revision,
        local_files_only=config.local_files_only,
        trust_remote_code=trust.remote_code,
    )


class _Checkpoints:
    """One network, which loads the weights of one checkpoint after the other."""

    def __init__(
        self, config: CaptureConfig, run: CaptureRun, device: torch.device, trust: Trust
    ) -> None:
        self._factory, self._run, self._trust = config.model, run, trust
        self._model = build_model(load_factory(config.model), run.options).to(device)
        # Weights that one checkpoint lacks must not remain from the previous checkpoint.
        self._initial = copy.deepcopy(self._model.state_dict()) if run.allow_missing else None

    def load(self, file: RunFile) -> LoadedNetwork:
        loaded = LoadedWeights() if file.path is None else self._read(file, file.path)
        path = None if file.path is None else str(file.path)
        return LoadedNetwork(self._model, loaded, {"checkpoint": path, "model": self._factory})

    def _read(self, file: RunFile, path: Path) -> LoadedWeights:
        run = self._run
        state = read_file(run, file, path, trust_pickle=self._trust.pickle)
        if self._initial is not None:
            self._model.load_state_dict(self._initial)
        return load_weights(
            self._model,
            state,
            where=path,
            strict=run.strict,
            allow_missing=run.allow_missing,
        )


class _PretrainedModels:
    """Loads a pretrained model for each step."""

    def __init__(
        self, config: CaptureConfig, run: CaptureRun, device: torch.device, trust: Trust
    ) -> None:
        self._config, self._run, self._device, self._trust = config, run, device, trust
        self._class = pretrained_class(config.model)

    def load(self, file: RunFile) -> LoadedNetwork:
        source = source_of(self._config, self._run, file, self._trust)
        run = self._run
        got = load_pretrained(self._class, source, run.options, allow_missing=run.allow_missing)
        origin = {
            "pretrained": source.name,
            "revision": source.revision,
            "commit": got.commit,
            "model": self._config.model,
        }
        return LoadedNetwork(got.model.to(self._device), got.loaded, origin)
