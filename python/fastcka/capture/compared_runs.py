"""Comparing the layers of training runs batch by batch, without a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastcka.capture.comparing import LabelledNetwork, compared
from fastcka.capture.networks import Trust, networks_of
from fastcka.capture.options import CaptureOptions
from fastcka.capture.runs import CaptureOutcome, prepared
from fastcka.errors import InputError, StoreError
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from fastcka.capture.config import CaptureConfig, CaptureRun
    from fastcka.capture.networks import LoadedNetwork
    from fastcka.capture.probe import Probe
    from fastcka.capture.run_files import RunFile
    from fastcka.core import Comparison


class ComparedRuns(NamedTuple):
    """The comparison of the layers of all checkpoints, and the checkpoints.

    Attributes
    ----------
    comparison
        Its labels are ``{"model": ..., "step": ..., "layer": ...}``.
    checkpoints
        The checkpoints, in the order of the runs and steps.
    """

    comparison: Comparison
    checkpoints: tuple[CaptureOutcome, ...]


@named_shortage("comparing layers", CAPTURE_REMEDY)
def compare_runs(
    config: CaptureConfig,
    *,
    memory: int | str | None = None,
    trust_pickle: bool = False,
    trust_remote_code: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ComparedRuns:
    """Compare the layers of all checkpoints of a configuration, by unbiased CKA.

    The networks of all checkpoints are in memory and run on each batch one after the other; see
    `compare_networks`. Nothing is stored.

    Parameters
    ----------
    config
        The configuration; see `load_capture`. Its store is ignored.
    memory
        As for `compare_networks`.
    trust_pickle, trust_remote_code
        As for `capture_runs`.
    progress
        Called with the number of examples done and the number of all examples.

    Raises
    ------
    InputError
        As for `capture_runs`, if a checkpoint cannot be loaded, if tokens are rows and two runs
        have other tokens, or as for `compare_networks`.
    DeviceError
        If the device cannot be used.
    NetworkError, OutOfMemoryError
        As for `compare_networks`.
    """
    trust = Trust(trust_pickle, trust_remote_code)
    device, work, probes = prepared(config, trust)
    if config.rows != "examples":
        _require_equal(probes)
    networks: list[LabelledNetwork] = []
    checkpoints: list[CaptureOutcome] = []
    for run, files in work:
        for file in files:
            network = _loaded(config, run, file, device, trust)
            if any(network.model is other.model for other in networks):
                raise InputError(
                    f"model: {config.model} returned the same network for two checkpoints, which "
                    f"then have the same weights (the second is {run.name}, step {file.step}): "
                    "return a new network from each call, or capture into a store"
                )
            label = {"model": run.name, "step": file.step}
            networks.append(LabelledNetwork(label, network.model, probes[run.name]))
            checkpoints.append(CaptureOutcome.of(run, file, network.loaded, "compared"))
    options = CaptureOptions(
        config.layers,
        config.pool,
        config.side,
        config.masks,
        config.batch_axis,
        config.batch_size,
        config.check_rows,
        config.rows,
    )
    comparison = compared(networks, options, estimator="unbiased", memory=memory, progress=progress)
    return ComparedRuns(comparison, tuple(checkpoints))


def _loaded(
    config: CaptureConfig, run: CaptureRun, file: RunFile, device: torch.device, trust: Trust
) -> LoadedNetwork:
    """Return the network of a step, which no later call changes."""
    try:
        return networks_of(config, run, device, trust).load(file)
    except (InputError, StoreError) as error:
        raise InputError(f"{run.name}, step {file.step}: {error}") from error


def _require_equal(probes: dict[str, Probe]) -> None:
    (first, expected), *others = probes.items()
    for name, probe in others:
        if probe.digest != expected.digest:
            raise InputError(
                f"runs: expected the same tokens in all runs, because tokens are rows, but {name} "
                f"has other tokens than {first}; name one tokenizer in probe.tokenizer, or write "
                "rows: examples"
            )
