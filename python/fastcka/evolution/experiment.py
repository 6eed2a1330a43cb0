"""Analyse one experiment: read its checkpoints, write its JSON file and its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.core.backend import version
from fastcka.evolution import activations, weights
from fastcka.evolution.analysis import read_analysis, write_analysis
from fastcka.evolution.figures import FIGURES, draw_activations, draw_features, draw_filters, save
from fastcka.evolution.phases import Phases, Question
from fastcka.evolution.schema import (
    MAIN,
    OTHER,
    Analysis,
    Layer,
    MissingStep,
    Name,
    Run,
    Tensor,
)
from fastcka.evolution.series import Missing, Series
from fastcka.evolution.verdict import needed_steps, verdicts
from fastcka.files import remove_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastcka.evolution.capturing import Capture
    from fastcka.evolution.weights import States


@dataclass(frozen=True)
class Experiment:
    """One experiment of a plan.

    Attributes
    ----------
    name
        Name in the plan.
    phases
        Phases in the plan.
    main, other
        The checkpoints of the run, and those of the run of another seed, if one was given.
    permutations
        Number of permutations for the null of the diversity of weights.
    sources
        Paths and names of the input, for the JSON file.
    """

    name: str
    phases: Phases
    main: Series
    other: Series | None
    permutations: int
    sources: dict[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> Phases | None:
        """The phases whose checkpoints can be used; None if there are fewer than two."""
        steps = {name: s for name, s in self.phases.steps.items() if s in self.main.paths}
        return Phases(steps) if len(steps) > 1 else None

    @property
    def questions(self) -> list[Question]:
        """The questions of the verdicts; none if a phase has no usable checkpoint."""
        usable = self.usable
        if usable is None or usable.steps.keys() != self.phases.steps.keys():
            return []
        return self.phases.questions(self.main.paths)

    @property
    def other_steps(self) -> list[int]:
        """The steps of the other run that the verdicts need."""
        available = () if self.other is None else self.other.paths
        return sorted(needed_steps(self.questions, list(self.main.paths)) & set(available))


def analyse(
    experiment: Experiment,
    capture: Callable[[], Capture] | None,
    output: Path,
    progress: Callable[[str], None],
) -> tuple[Path, list[Path]]:
    """Write the JSON file and the figures of an experiment, and return their paths.

    Figures of an earlier analysis of the experiment are replaced or removed.

    Parameters
    ----------
    experiment
        The experiment.
    capture
        Returns the object that computes activations. None: only weights are analysed.
    output
        Folder of the files.
    progress
        Called with the name of each part before it begins.
    """
    phases, main, other = experiment.usable, experiment.main, experiment.other
    content: Analysis = {
        "fastcka": version,
        "experiment": experiment.name,
        "complete": not (main.missing or (other is not None and other.missing)),
        "missing": [
            *_missing(MAIN, main.missing),
            *_missing(OTHER, [] if other is None else other.missing),
        ],
        "steps": list(main.paths),
        "phases": dict(experiment.phases.steps),
        "sources": experiment.sources,
        "settings": {"permutations": experiment.permutations},
        "weights": {},
        "weights_left_out": {},
        "activations": {},
        "attention": {},
        "notes": _notes(experiment, capture is not None),
    }
    states = None
    if phases is not None:
        progress(f"{experiment.name}: weights")
        states = _states(experiment, phases)
        content["weights_left_out"] = states.left_out
        content["weights"] = _weights(experiment, phases, states)
        if capture is not None:
            progress(f"{experiment.name}: activations")
            capturing = capture()
            content["settings"] |= {"pool": capturing.pool, "layers": list(capturing.layers)}
            content["activations"] = _activations(experiment, phases, capturing)
            content["attention"] = capturing.attention(main, phases.steps)
    path = write_analysis(output, content)
    progress(f"{experiment.name}: figures")
    # Drawn from the file, so that the figures show what other readers of the file get.
    return path, _figures(read_analysis(path), phases, states, output)


def _states(experiment: Experiment, phases: Phases) -> States:
    main, other = experiment.main, experiment.other
    steps = needed_steps(experiment.questions, list(main.paths)) | set(phases.steps.values())
    by_name: dict[Name, weights.Weights] = {
        (MAIN, step): state for step, state in main.weights(steps).items()
    }
    if other is not None:
        states = other.weights(experiment.other_steps)
        by_name |= {(OTHER, step): state for step, state in states.items()}
    return weights.states(by_name)


def _weights(experiment: Experiment, phases: Phases, states: States) -> dict[str, Tensor]:
    result = {}
    for name, arrays in states.tensors.items():
        tensors, shape = states.matrices(name), next(iter(arrays.values())).shape
        by_step = {step: tensor for (run, step), tensor in tensors.items() if run == MAIN}
        tensor = weights.compared(by_step, shape, phases, permutations=experiment.permutations)
        tensor["verdict"] = (
            verdicts(
                experiment.questions,
                weights.WeightSimilarities(tensors),
                measure=weights.MEASURE,
                aligned=False,
            )
            if experiment.questions
            else []
        )
        result[name] = tensor
    return result


def _activations(experiment: Experiment, phases: Phases, capture: Capture) -> dict[str, Layer]:
    name, other_steps = experiment.name, experiment.other_steps
    steps = list(experiment.main.paths)
    layers = capture.run(experiment.main, name, steps)
    if experiment.other is not None and other_steps:
        capture.run(experiment.other, _other_name(name), other_steps)
    units = capture.units(layers)
    needed = needed_steps(experiment.questions, steps)
    result = {}
    for layer in layers:
        by_step = capture.read(name, steps, layer)
        arrays: dict[Name, activations.Activations] = {
            (MAIN, step): by_step[step] for step in steps if step in needed
        }
        if experiment.other is not None:
            by_other = capture.read(_other_name(name), other_steps, layer)
            arrays |= {(OTHER, step): array for step, array in by_other.items()}
        result[layer] = activations.compared(by_step, phases)
        result[layer]["verdict"] = (
            verdicts(
                experiment.questions,
                activations.ActivationSimilarities(arrays, units[layer]),
                measure=activations.MEASURE,
                aligned=True,
            )
            if experiment.questions
            else []
        )
    return result


def _other_name(experiment: str) -> str:
    return f"{experiment} (other run)"


def _missing(run: Run, missing: Sequence[Missing]) -> list[MissingStep]:
    return [
        {"step": entry.step, "phase": entry.phase, "run": run, "reason": entry.reason}
        for entry in missing
    ]


def _notes(experiment: Experiment, with_activations: bool) -> list[str]:
    notes = []
    phases = experiment.phases.steps
    if experiment.usable is None:
        notes.append("No comparison: fewer than two phases have a usable checkpoint.")
    elif not experiment.questions:
        why = (
            "a phase has no usable checkpoint"
            if len(phases) > 2
            else "a verdict needs at least three phases, and the plan has two"
        )
        notes.append(f"No verdict: {why}.")
    for run in (experiment.main, experiment.other):
        notes += [] if run is None else [f"{line}." for line in run.doubtful]
    if not with_activations:
        notes.append("No activations: no model and probe were given.")
    if experiment.other is None:
        notes.append("No second seed was given, so nothing here applies to other training runs.")
    return notes


def _figures(
    analysis: Analysis, phases: Phases | None, states: States | None, output: Path
) -> list[Path]:
    draw: dict[str, Callable[[], Figure]] = {}
    filters = [name for name, tensor in analysis["weights"].items() if "filters" in tensor]
    if phases is not None and states is not None and filters:
        shapes = {name: analysis["weights"][name]["shape"] for name in filters}
        first = next((name for name in filters if len(shapes[name]) == 4), filters[0])
        arrays = states.tensors[first]
        by_phase = {phase: arrays[MAIN, step].astype(float) for phase, step in phases.steps.items()}
        draw["filters"] = partial(draw_filters, analysis, first, by_phase)
        draw["features"] = partial(draw_features, analysis)
    if analysis["activations"]:
        draw["activations"] = partial(draw_activations, analysis)
    drawn = []
    for name in FIGURES:
        path = output / f"{analysis['experiment']}_{name}.png"
        if name in draw:
            drawn.append(save(draw[name](), path))
        else:
            remove_file(path)
    return drawn
