"""The checkpoints of training runs into a store, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.capture.factory import build_model, check_options, load_factory, load_weights
from fastcka.capture.finding import find_checkpoints
from fastcka.capture.probe import Probe
from fastcka.capture.representations import capture_representations
from fastcka.capture.states import load_state
from fastcka.capture.torch_library import require_torch
from fastcka.errors import DeviceError, FastckaError, InputError
from fastcka.store import create_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from fastcka.capture.config import CaptureConfig, CaptureRun
    from fastcka.capture.finding import CheckpointFile


@dataclass(frozen=True)
class CaptureOutcome:
    """What became of one checkpoint.

    Attributes
    ----------
    model, step, path
        Whose it is, and where it lies.
    outcome : {"captured", "reused", "failed"}
        Reused: the store had the same rows.
    message : str or None
        Why it failed.
    """

    model: str
    step: int
    path: Path
    outcome: str
    message: str | None = None


def capture_runs(
    config: CaptureConfig,
    *,
    overwrite: bool = False,
    trust_pickle: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> list[CaptureOutcome]:
    """Capture every checkpoint that a configuration asks for; one that fails stops no other.

    Parameters
    ----------
    config
        See `load_capture`.
    overwrite
        Replace rows that the store has from other weights or settings.
    trust_pickle
        Load checkpoints that could run code.
    progress
        Called with the number of checkpoints done and of all.

    Returns
    -------
    list of CaptureOutcome
        In the order of the runs and steps.

    Raises
    ------
    InputError
        If the factory, the probe set, a folder of checkpoints or one of the steps asked for is not
        there, or the factory does not take its options (before anything is captured), or the
        factory gives no network.
    DeviceError
        If the device cannot be used.
    """
    probe = Probe.load(config.probe, batch_axis=config.input_batch_axis)
    factory = load_factory(config.model)
    for run in config.runs:
        check_options(factory, run.options)
    device = _usable(config.device)
    work = [(run, _wanted(run)) for run in config.runs]
    total = sum(len(files) for _, files in work)
    outcomes: list[CaptureOutcome] = []
    with create_store(config.store, exist_ok=True) as store:
        for run, files in work:
            model = build_model(factory, run.options).to(device)
            for file in files:
                if progress is not None:
                    progress(len(outcomes), total)
                outcome, message = "captured", None
                try:
                    load_weights(
                        model, load_state(file.path, trust_pickle=trust_pickle), where=file.path
                    )
                    written = capture_representations(
                        model,
                        probe,
                        layers=config.layers,
                        store=store,
                        model_name=run.name,
                        step=file.step,
                        pool=config.pool,
                        side=config.side,
                        masks=config.masks,
                        batch_axis=config.batch_axis,
                        batch_size=config.batch_size,
                        check_rows=config.check_rows,
                        factors=run.factors,
                        source={"checkpoint": str(file.path), "model": config.model},
                        overwrite=overwrite,
                    )
                    outcome = "captured" if written else "reused"
                except FastckaError as error:
                    outcome, message = "failed", str(error)
                except Exception as error:  # a network may raise anything
                    outcome, message = "failed", f"{type(error).__name__}: {error}"
                outcomes.append(CaptureOutcome(run.name, file.step, file.path, outcome, message))
    if progress is not None:
        progress(total, total)
    return outcomes


def _wanted(run: CaptureRun) -> list[CheckpointFile]:
    files = find_checkpoints(run.checkpoints)
    if not files:
        raise InputError(
            f"{run.checkpoints}: has no checkpoint; expected checkpoint_step_00100.pt, "
            "checkpoint-100/ or epoch=0-step=100.ckpt"
        )
    if run.steps is None:
        return files
    of_step = {file.step: file for file in files}
    if absent := sorted(set(run.steps) - of_step.keys()):
        raise InputError(
            f"{run.checkpoints}: has no checkpoint of step {', '.join(map(str, absent))}; "
            f"it has {', '.join(map(str, of_step))}"
        )
    return [of_step[step] for step in sorted(run.steps)]


def _usable(name: str) -> torch.device:
    require_torch()
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(f"device: {name!r} cannot be used: {error}") from error
    return device
