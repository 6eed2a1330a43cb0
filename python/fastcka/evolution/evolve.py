"""From a plan and the checkpoints that it names to an analysis of each experiment, and a report."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastcka.capture.factory import build_model, load_factory
from fastcka.capture.plan import CheckpointPlan, as_plan
from fastcka.capture.probe import Probe
from fastcka.capture.states import Reading
from fastcka.errors import InputError
from fastcka.evolution.analysis import read_analysis
from fastcka.evolution.capturing import Capture
from fastcka.evolution.experiment import Experiment, analyse
from fastcka.evolution.phases import Phases
from fastcka.evolution.series import read_series
from fastcka.evolution.summary import write_summary
from fastcka.evolution.verdict import OTHER
from fastcka.files import make_folder
from fastcka.out_of_memory import named_shortage
from fastcka.store import create_store

if TYPE_CHECKING:
    import os

    import torch

    from fastcka.capture.pooling import Pool

    Factory = Callable[..., torch.nn.Module]

PERMUTATIONS = 20
STORE = "activations"


@dataclass(frozen=True)
class EvolveResult:
    """What `evolve` wrote, and what it lacked.

    Attributes
    ----------
    analyses
        ``<experiment>_analysis.json``, one an experiment.
    figures
        PNG files.
    summary
        ``summary_report.md``.
    missing
        A line for each checkpoint that is missing or cannot be used: experiment, step, reason.
    """

    analyses: tuple[Path, ...]
    figures: tuple[Path, ...]
    summary: Path
    missing: tuple[str, ...]


@named_shortage("comparing the phases of a training")
def evolve(
    plan: CheckpointPlan | str | os.PathLike[str],
    checkpoints: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    other: str | os.PathLike[str] | None = None,
    model: str | Factory | None = None,
    probe: Probe | str | os.PathLike[str] | None = None,
    layers: Sequence[str] = (),
    pool: Pool = "flatten",
    batch_size: int = 256,
    permutations: int = PERMUTATIONS,
    weights_key: str | None = None,
    strip: Sequence[str] = (),
    trust_pickle: bool = False,
    progress: Callable[[str], None] | None = None,
) -> EvolveResult:
    """Analyse how the phases of each experiment of a plan differ.

    Parameters
    ----------
    plan
        The plan, or the path of its file. Each experiment needs two phases or more.
    checkpoints
        The checkpoints of an experiment are in ``<checkpoints>/<experiment>/``.
    output
        Made if need be. Receives ``<experiment>_analysis.json`` (see `fastcka.evolution.analysis`),
        ``<experiment>_filters.png``, ``_features.png`` and, with a model and a probe,
        ``_activations.png``; ``summary_report.md``; and ``activations/``, a store.
    other
        Another seed's run of the same plan, laid out alike: a baseline of the verdicts.
    model
        ``package.module:factory`` or a function, which makes the network of the checkpoints; if it
        has a parameter ``experiment``, it is given the name. None: weights alone are analysed.
    probe
        Probe set or the path of its ``.npz``; with ``model``.
    layers
        Names and patterns of the modules whose activations are compared; empty: every module that
        the network itself calls (see `fastcka.evolution.capturing.default_layers`).
    pool, batch_size
        See `fastcka.capture.capture_representations`.
    permutations
        Of the weights, for the null beside the diversity.
    weights_key, strip, trust_pickle
        See `fastcka.capture.load_state`.
    progress
        Called with what begins.

    Returns
    -------
    EvolveResult
        Checkpoints that are missing or damaged are in ``missing`` and in the JSON files; what can
        be compared without them is, but a verdict needs all phases.

    Raises
    ------
    InputError
        If the plan, model or probe cannot be used, or a checkpoint does not fit the model.
    MissingExtraError
        If PyTorch, scikit-learn or matplotlib is not installed.
    """
    planned = as_plan(plan)
    _check(planned, model, probe, permutations)
    factory = load_factory(model) if isinstance(model, str) else model
    examples = probe if isinstance(probe, Probe) or probe is None else Probe.load(probe)
    checkpoints, output = Path(checkpoints), Path(output)
    sources = {
        "checkpoints": str(checkpoints),
        "other": None if other is None else str(other),
        "model": model if isinstance(model, str) or model is None else repr(model),
        "probe": None if examples is None else examples.digest,
    }
    report = progress or (lambda _: None)
    reading = Reading.of(weights_key, strip, trust_pickle)
    make_folder(output)

    def capture(name: str, make: Factory, examples: Probe) -> Capture:
        store = create_store(output / STORE, exist_ok=True)
        wanted = "experiment" in inspect.signature(make).parameters
        network = build_model(make, {"experiment": name} if wanted else {})
        return Capture(network, examples, layers, pool, batch_size, store)

    analyses: list[Path] = []
    figures: list[Path] = []
    for name, experiment in planned.experiments.items():
        report(f"{name}: reading checkpoints")
        own = read_series(planned, name, checkpoints, reading)
        others = None
        if other is not None:
            others = read_series(planned, name, Path(other), reading)
        path, drawn = analyse(
            Experiment(name, Phases(experiment.phases), own, others, permutations, sources),
            None
            if factory is None or examples is None
            else partial(capture, name, factory, examples),
            output,
            report,
        )
        analyses.append(path)
        figures += drawn
    return EvolveResult(
        analyses=tuple(analyses),
        figures=tuple(figures),
        summary=write_summary(output),
        missing=tuple(line for path in analyses for line in _missing_lines(path)),
    )


def _check(plan: CheckpointPlan, model: object, probe: object, permutations: int) -> None:
    if (model is None) != (probe is None):
        given, lacking = ("probe", "model") if model is None else ("model", "probe")
        raise InputError(f"{given} was given without {lacking}; activations need both")
    for name, experiment in plan.experiments.items():
        if len(experiment.phases) < 2:
            raise InputError(
                f"experiment {name!r} has {len(experiment.phases)} phases (its checkpoints); at "
                "least 2 are compared"
            )
    if permutations < 1:
        raise InputError(f"permutations must be at least 1, got {permutations}")


def _missing_lines(path: Path) -> list[str]:
    analysis = read_analysis(path)
    return [
        f"{analysis['experiment']}: step {own['step']}"
        + (f" ({own['phase']})" if own["phase"] else "")
        + (" of the other run" if own["run"] == OTHER else "")
        + f": {own['reason']}"
        for own in analysis["missing"]
    ]
