"""Analyse each experiment of a plan from its checkpoints, and write a summary."""

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
from fastcka.capture.states import WeightOptions
from fastcka.errors import InputError
from fastcka.evolution.analysis import read_analysis
from fastcka.evolution.capturing import Capture
from fastcka.evolution.experiment import Experiment, analyse
from fastcka.evolution.folder import claim
from fastcka.evolution.phases import Phases
from fastcka.evolution.schema import OTHER
from fastcka.evolution.series import read_series
from fastcka.evolution.summary import write_summary
from fastcka.files import remove_file
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
    """The files that `evolve` wrote, and the checkpoints that it could not use.

    Attributes
    ----------
    analyses
        One ``<experiment>_analysis.json`` per experiment.
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
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> EvolveResult:
    """Compare the phases of each experiment (training run) of a plan.

    For each experiment, a verdict answers whether the early network is less similar to the late one
    than the mid network is, by more than the baselines explain.

    Parameters
    ----------
    plan
        The plan, or the path of its file. Each experiment needs at least two phases.
    checkpoints
        The checkpoints of an experiment are in ``<checkpoints>/<experiment>/``.
    output
        Folder for the results; created if missing. It receives ``<experiment>_analysis.json`` (see
        `fastcka.evolution.analysis`), ``<experiment>_filters.png``, ``_features.png`` and, with a
        model and a probe, ``_activations.png``. It also receives ``summary_report.md`` and
        ``activations/``, a store. If it already contains results of the same input, they are
        computed again and replaced; for results of other input, see ``overwrite``.
    other
        Checkpoints of the same plan with another seed, in the same layout. The verdicts use them as
        a baseline.
    model
        ``package.module:factory``, or a function that builds the network of the checkpoints. If it
        has a parameter ``experiment``, it receives the name of the experiment. None: only weights
        are analysed.
    probe
        Probe set, or the path of its ``.npz``. Give it together with ``model``.
    layers
        Names and patterns of the modules whose activations are compared. Empty: the children of the
        network (see `fastcka.evolution.capturing.default_layers`).
    pool, batch_size
        See `fastcka.capture.capture_representations`.
    permutations
        Number of permuted copies of the weights. They show what diversity of filters (see
        `fastcka.evolution.diversity`) arises by chance.
    weights_key, strip, trust_pickle
        See `fastcka.capture.load_state`.
    overwrite
        Replace results in ``output`` that come from other input: another plan, other checkpoints,
        other weights in them (``weights_key``, ``strip``), another model, probe, pooling or list of
        layers. Results of experiments that are not in the plan are then deleted.
    progress
        Called with the name of each stage as it starts.

    Returns
    -------
    EvolveResult
        Checkpoints that are missing or damaged are listed in ``missing`` and in the JSON files. The
        other phases are compared without them, but a verdict needs all phases.

    Raises
    ------
    InputError
        If the plan, model or probe cannot be used, a checkpoint does not fit the model, or
        ``output`` contains results of other input and ``overwrite`` is False.
    MissingExtraError
        If PyTorch, scikit-learn or matplotlib is not installed.
    """
    planned = as_plan(plan)
    _check(planned, model, probe, permutations)
    factory = load_factory(model) if isinstance(model, str) else model
    examples = probe if isinstance(probe, Probe) or probe is None else Probe.load(probe)
    checkpoints, output = Path(checkpoints), Path(output)
    sources = {
        "checkpoints": str(checkpoints.resolve()),
        "other": None if other is None else str(Path(other).resolve()),
        "weights_key": weights_key,
        "strip": list(strip) or None,
        "model": _model_name(model),
        "probe": None if examples is None else examples.digest,
    }
    chosen = {"pool": pool, "layers": list(layers)} if examples is not None else {}
    settings = {"pool": None, "layers": None, **chosen}
    leftover = claim(output, planned, sources | settings, overwrite=overwrite)
    report = progress or (lambda _: None)
    reading = WeightOptions.checked(weights_key, strip, trust_pickle)

    def capture(name: str, make: Factory, examples: Probe) -> Capture:
        store = create_store(output / STORE, exist_ok=True)
        named = "experiment" in inspect.signature(make).parameters
        network = build_model(make, {"experiment": name} if named else {})
        return Capture(network, examples, layers, pool, batch_size, store)

    analyses: list[Path] = []
    figures: list[Path] = []
    for name, experiment in planned.experiments.items():
        report(f"{name}: reading checkpoints")
        main = read_series(planned, name, checkpoints, reading)
        second = None
        if other is not None:
            second = read_series(planned, name, Path(other), reading)
        path, drawn = analyse(
            Experiment(name, Phases(experiment.phases), main, second, permutations, sources),
            None
            if factory is None or examples is None
            else partial(capture, name, factory, examples),
            output,
            report,
        )
        analyses.append(path)
        figures += drawn
    for path in leftover:
        remove_file(path)
    return EvolveResult(
        analyses=tuple(analyses),
        figures=tuple(figures),
        summary=write_summary(output),
        missing=tuple(line for path in analyses for line in _missing_lines(path)),
    )


def _check(plan: CheckpointPlan, model: object, probe: object, permutations: int) -> None:
    if (model is None) != (probe is None):
        given, lacking = ("probe", "model") if model is None else ("model", "probe")
        raise InputError(
            f"{lacking}: expected a value, because {given} was given, got None; activations need "
            "both"
        )
    for name, experiment in plan.experiments.items():
        if len(experiment.phases) < 2:
            raise InputError(
                f"plan: expected at least 2 phases (checkpoints) for experiment {name!r}, got "
                f"{len(experiment.phases)}"
            )
    if permutations < 1:
        raise InputError(f"permutations: expected at least 1, got {permutations}")


def _model_name(model: str | Factory | None) -> str | None:
    """Return a name that is the same in every process."""
    if model is None or isinstance(model, str):
        return model
    name = getattr(model, "__qualname__", type(model).__qualname__)
    return f"{getattr(model, '__module__', None)}:{name}"


def _missing_lines(path: Path) -> list[str]:
    analysis = read_analysis(path)
    return [
        f"{analysis['experiment']}: step {entry['step']}"
        + (f" ({entry['phase']})" if entry["phase"] else "")
        + (" of the other run" if entry["run"] == OTHER else "")
        + f": {entry['reason']}"
        for entry in analysis["missing"]
    ]
