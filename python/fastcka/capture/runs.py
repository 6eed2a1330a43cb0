"""Capturing the checkpoints of training runs into a store, one after the other."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.capture.factory import build_model, check_options, load_factory, load_weights
from fastcka.capture.fitting import LoadedWeights
from fastcka.capture.probe import Probe
from fastcka.capture.representations import capture_representations
from fastcka.capture.run_files import files_of_run, read_file
from fastcka.capture.torch_library import require_torch
from fastcka.capture.twins import same_captured_weights
from fastcka.errors import DeviceError, FastckaError
from fastcka.store import create_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from fastcka.capture.config import CaptureConfig, CaptureRun
    from fastcka.capture.run_files import RunFile
    from fastcka.store import Store


@dataclass(frozen=True)
class CaptureOutcome:
    """The outcome of one checkpoint.

    Attributes
    ----------
    model, step
        The key in the store.
    path
        The checkpoint; None if the factory loads the weights.
    outcome : {"captured", "reused", "failed"}
        "reused" means that the store already contained the same rows.
    message : str or None
        The reason for a failure.
    ignored, missing : tuple of str
        Weights that only the checkpoint has, and weights that only the network has (see
        `load_weights`).
    """

    model: str
    step: int
    path: Path | None
    outcome: str
    message: str | None = None
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptureResult:
    """The outcomes of all checkpoints.

    Attributes
    ----------
    checkpoints
        The outcomes, in the order of the runs and steps.
    doubtful
        A line for each group of steps of one model with the same weights.
    """

    checkpoints: tuple[CaptureOutcome, ...]
    doubtful: tuple[str, ...]


def capture_runs(
    config: CaptureConfig,
    *,
    overwrite: bool = False,
    trust_pickle: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> CaptureResult:
    """Capture every checkpoint that a configuration requests, and continue after a failure.

    Parameters
    ----------
    config
        The configuration; see `load_capture`.
    overwrite
        Replace rows in the store that were made from other weights, another probe or settings.
    trust_pickle
        Load checkpoints that could run code.
    progress
        Called with the number of checkpoints done and the number of all checkpoints.

    Returns
    -------
    CaptureResult

    Raises
    ------
    InputError
        Before anything is captured: if the factory, the probe set, a folder of checkpoints or a
        requested step does not exist, or the factory does not accept its options. Later: if the
        factory does not return a network.
    DeviceError
        If the device cannot be used.
    """
    probe = Probe.load(config.probe, batch_axis=config.input_batch_axis)
    factory = load_factory(config.model)
    for run in config.runs:
        check_options(factory, run.options)
    device = _usable(config.device)
    work = [(run, files_of_run(run)) for run in config.runs]
    total = sum(len(files) for _, files in work)
    outcomes: list[CaptureOutcome] = []
    with create_store(config.store, exist_ok=True) as store:
        for run, files in work:
            captured = _CapturedRun(config, run, device, probe, store, overwrite, trust_pickle)
            for file in files:
                if progress is not None:
                    progress(len(outcomes), total)
                outcomes.append(captured.outcome(file))
        doubtful = same_captured_weights(store, {run.name for run in config.runs})
    if progress is not None:
        progress(total, total)
    return CaptureResult(tuple(outcomes), tuple(doubtful))


class _CapturedRun:
    """The network of one run, which loads the weights of one checkpoint after the other."""

    def __init__(
        self,
        config: CaptureConfig,
        run: CaptureRun,
        device: torch.device,
        probe: Probe,
        store: Store,
        overwrite: bool,
        trust_pickle: bool,
    ) -> None:
        self._config, self._run = config, run
        self._probe, self._store = probe, store
        self._overwrite, self._trust_pickle = overwrite, trust_pickle
        self._model = build_model(load_factory(config.model), run.options).to(device)
        # Weights that one checkpoint lacks must not remain from the previous checkpoint.
        self._initial = copy.deepcopy(self._model.state_dict()) if run.allow_missing else None

    def outcome(self, file: RunFile) -> CaptureOutcome:
        loaded, message = LoadedWeights(), None
        try:
            loaded = self._load(file)
            outcome = "captured" if self._capture(file) else "reused"
        except FastckaError as error:
            outcome, message = "failed", str(error)
        except Exception as error:  # a network may raise anything
            outcome, message = "failed", f"{type(error).__name__}: {error}"
        return CaptureOutcome(
            self._run.name, file.step, file.path, outcome, message, loaded.ignored, loaded.missing
        )

    def _load(self, file: RunFile) -> LoadedWeights:
        if file.path is None:
            return LoadedWeights()
        run = self._run
        state = read_file(run, file, file.path, trust_pickle=self._trust_pickle)
        if self._initial is not None:
            self._model.load_state_dict(self._initial)
        return load_weights(
            self._model,
            state,
            where=file.path,
            strict=run.strict,
            allow_missing=run.allow_missing,
        )

    def _capture(self, file: RunFile) -> bool:
        config = self._config
        return capture_representations(
            self._model,
            self._probe,
            layers=config.layers,
            store=self._store,
            model_name=self._run.name,
            step=file.step,
            pool=config.pool,
            side=config.side,
            masks=config.masks,
            batch_axis=config.batch_axis,
            batch_size=config.batch_size,
            check_rows=config.check_rows,
            rows=config.rows,
            factors=self._run.factors,
            source={
                "checkpoint": None if file.path is None else str(file.path),
                "model": config.model,
            },
            overwrite=self._overwrite,
        )


def _usable(name: str) -> torch.device:
    require_torch()
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(f"device: {name!r} cannot be used: {error}") from error
    return device
