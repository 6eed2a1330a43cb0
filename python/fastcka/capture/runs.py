"""Capturing the checkpoints of training runs into a store, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.capture.factory import check_options, load_factory
from fastcka.capture.fitting import LoadedWeights
from fastcka.capture.networks import Trust, networks_of
from fastcka.capture.pretrained import pretrained_class
from fastcka.capture.representations import capture_representations
from fastcka.capture.run_files import files_of_run
from fastcka.capture.run_probes import probes_of
from fastcka.capture.torch_library import require_torch
from fastcka.capture.twins import same_captured_weights
from fastcka.errors import DeviceError, FastckaError, InputError
from fastcka.store import create_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from fastcka.capture.config import CaptureConfig, CaptureRun
    from fastcka.capture.networks import LoadedNetwork, Networks
    from fastcka.capture.probe import Probe
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
        The checkpoint, or the folder of a pretrained model; None if the factory loads the weights
        or the model is on the Hub.
    outcome : {"captured", "reused", "failed", "compared"}
        "reused" means that the store already contained the same rows; "compared", that the layers
        were compared and not stored.
    message : str or None
        The reason for a failure.
    ignored, missing : tuple of str
        Weights that only the checkpoint has, and weights that only the network has (see
        `load_weights`).
    revision : str or None
        The revision of a pretrained model on the Hub.
    """

    model: str
    step: int
    path: Path | None
    outcome: str
    message: str | None = None
    ignored: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    revision: str | None = None

    @classmethod
    def of(
        cls,
        run: CaptureRun,
        file: RunFile,
        loaded: LoadedWeights,
        outcome: str,
        message: str | None = None,
    ) -> CaptureOutcome:
        """Return the outcome of a step of a run, whose weights were loaded."""
        return cls(
            run.name,
            file.step,
            file.path,
            outcome,
            message,
            loaded.ignored,
            loaded.missing,
            file.revision,
        )


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
    trust_remote_code: bool = False,
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
    trust_remote_code
        Run the Python code in the repositories of pretrained models that have some.
    progress
        Called with the number of checkpoints done and the number of all checkpoints.

    Returns
    -------
    CaptureResult

    Raises
    ------
    InputError
        Before anything is captured: if the factory, the probe set, a tokenizer, a folder of
        checkpoints or a requested step does not exist, or the factory does not accept its options.
        Later: if the factory does not return a network.
    DeviceError
        If the device cannot be used.
    """
    if config.store is None:
        raise InputError("store is missing: expected the folder of the representations")
    trust = Trust(trust_pickle, trust_remote_code)
    device, work, probes = prepared(config, trust)
    total = sum(len(files) for _, files in work)
    outcomes: list[CaptureOutcome] = []
    with create_store(config.store, exist_ok=True) as store:
        for run, files in work:
            networks = networks_of(config, run, device, trust)
            captured = _CapturedRun(config, run, networks, probes[run.name], store, overwrite)
            for file in files:
                if progress is not None:
                    progress(len(outcomes), total)
                outcomes.append(captured.outcome(file))
        doubtful = same_captured_weights(store, {run.name for run in config.runs})
    if progress is not None:
        progress(total, total)
    return CaptureResult(tuple(outcomes), tuple(doubtful))


def prepared(
    config: CaptureConfig, trust: Trust
) -> tuple[torch.device, list[tuple[CaptureRun, list[RunFile]]], dict[str, Probe]]:
    """Check a configuration; return its device, its runs with their steps, and the probe of each.

    Raises
    ------
    InputError, DeviceError
        As `capture_runs`, before anything is captured.
    """
    for run in config.runs:
        if run.pretrained is None:
            check_options(load_factory(config.model), run.options)
        else:
            pretrained_class(config.model)
    device = _usable(config.device)
    work = [(run, files_of_run(run)) for run in config.runs]
    return device, work, probes_of(config, work, trust)


class _CapturedRun:
    """Captures the networks of one run, one step after the other."""

    def __init__(
        self,
        config: CaptureConfig,
        run: CaptureRun,
        networks: Networks,
        probe: Probe,
        store: Store,
        overwrite: bool,
    ) -> None:
        self._config, self._run, self._networks = config, run, networks
        self._probe, self._store, self._overwrite = probe, store, overwrite

    def outcome(self, file: RunFile) -> CaptureOutcome:
        loaded, message = LoadedWeights(), None
        try:
            network = self._networks.load(file)
            loaded = network.loaded
            outcome = "captured" if self._capture(file, network) else "reused"
        except FastckaError as error:
            outcome, message = "failed", str(error)
        except Exception as error:  # a network may raise anything
            outcome, message = "failed", f"{type(error).__name__}: {error}"
        return CaptureOutcome.of(self._run, file, loaded, outcome, message)

    def _capture(self, file: RunFile, network: LoadedNetwork) -> bool:
        config = self._config
        return capture_representations(
            network.model,
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
            source=network.source,
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
