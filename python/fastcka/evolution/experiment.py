"""The analysis of one experiment: from its checkpoints to its JSON file and its figures."""

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
from fastcka.evolution.series import Missing, Series
from fastcka.evolution.verdict import OTHER, OWN, needed_steps, verdicts
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
        In the plan.
    phases
        As planned.
    own, other
        The checkpoints of the run, and those of another seed's run; None where none was given.
    permutations
        Of the null beside the diversity of weights.
    sources
        What was given, for the JSON file.
    """

    name: str
    phases: Phases
    own: Series
    other: Series | None
    permutations: int
    sources: dict[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> Phases | None:
        """The phases whose checkpoints are there; None if fewer than two are."""
        there = {name: s for name, s in self.phases.steps.items() if s in self.own.paths}
        return Phases(there) if len(there) > 1 else None

    @property
    def questions(self) -> list[Question]:
        """The questions of the verdicts; none unless all phases are there."""
        complete = self.phases.steps.keys() == (self.found or self.phases).steps.keys()
        return self.phases.questions(self.own.paths) if complete and self.found else []

    @property
    def other_steps(self) -> list[int]:
        """The steps of the other run that the verdicts read."""
        there = () if self.other is None else self.other.paths
        return sorted(needed_steps(self.questions, list(self.own.paths)) & set(there))


def analyse(
    experiment: Experiment,
    capture: Callable[[], Capture] | None,
    output: Path,
    progress: Callable[[str], None],
) -> tuple[Path, list[Path]]:
    """Write the JSON file and the figures of an experiment; figures that it has no longer go.

    Parameters
    ----------
    experiment
        What is analysed.
    capture
        Makes what gives activations; None: weights alone are analysed.
    output
        The folder.
    progress
        Called with what begins.
    """
    phases, other = experiment.found, experiment.other
    content: dict[str, Any] = {
        "fastcka": version,
        "experiment": experiment.name,
        "complete": not (experiment.own.missing or (other is not None and other.missing)),
        "missing": [
            *_missing(OWN, experiment.own.missing),
            *_missing(OTHER, [] if other is None else other.missing),
        ],
        "steps": list(experiment.own.paths),
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
            own = capture()
            content["settings"] |= {"pool": own.pool, "layers": list(own.layers)}
            content["activations"] = _activations(experiment, phases, own)
            content["attention"] = own.attention(experiment.own, phases.steps)
    path = write_analysis(output, content)
    progress(f"{experiment.name}: figures")
    # From the file, as everyone else reads it.
    return path, _figures(read_analysis(path), phases, states, output)


def _states(experiment: Experiment, phases: Phases) -> States:
    steps = needed_steps(experiment.questions, list(experiment.own.paths)) | set(
        phases.steps.values()
    )
    by_name = {(OWN, step): own for step, own in experiment.own.weights(steps).items()}
    if experiment.other is not None:
        others = experiment.other.weights(experiment.other_steps)
        by_name |= {(OTHER, step): own for step, own in others.items()}
    return weights.states(by_name)


def _weights(experiment: Experiment, phases: Phases, states: States) -> dict[str, Any]:
    found = {}
    for name, arrays in states.tensors.items():
        tensors, shape = states.matrices(name), next(iter(arrays.values())).shape
        own = {step: tensor for (run, step), tensor in tensors.items() if run == OWN}
        found[name] = weights.compared(own, shape, phases, permutations=experiment.permutations)
        found[name]["verdict"] = (
            verdicts(
                experiment.questions,
                weights.WeightSimilarities(tensors),
                measure=weights.MEASURE,
                aligned=False,
            )
            if experiment.questions
            else []
        )
    return found


def _activations(experiment: Experiment, phases: Phases, capture: Capture) -> dict[str, Any]:
    name, others = experiment.name, experiment.other_steps
    steps = list(experiment.own.paths)
    layers = capture.run(experiment.own, name, steps)
    if experiment.other is not None and others:
        capture.run(experiment.other, _other_name(name), others)
    units = capture.units(layers)
    needed = needed_steps(experiment.questions, steps)
    found = {}
    for layer in layers:
        by_step = capture.read(name, steps, layer)
        found[layer] = activations.compared(by_step, phases)
        arrays = {(OWN, step): by_step[step] for step in steps if step in needed}
        if experiment.other is not None:
            by_other = capture.read(_other_name(name), others, layer)
            arrays |= {(OTHER, step): own for step, own in by_other.items()}
        found[layer]["verdict"] = (
            verdicts(
                experiment.questions,
                activations.ActivationSimilarities(arrays, units[layer]),
                measure=activations.MEASURE,
                aligned=True,
            )
            if experiment.questions
            else []
        )
    return found


def _other_name(experiment: str) -> str:
    return f"{experiment} (other run)"


def _missing(run: str, missing: Sequence[Missing]) -> list[dict[str, Any]]:
    return [
        {"step": own.step, "phase": own.phase, "run": run, "reason": own.reason} for own in missing
    ]


def _notes(experiment: Experiment, with_activations: bool) -> list[str]:
    notes = []
    phases = experiment.phases.steps
    if experiment.found is None:
        notes.append("Nothing is compared: fewer than two phases have a checkpoint.")
    elif not experiment.questions:
        why = "not every phase has a checkpoint" if len(phases) > 2 else "there are two phases only"
        notes.append(f"No verdict: {why}.")
    for run in (experiment.own, experiment.other):
        notes += [] if run is None else [f"{line}." for line in run.doubtful]
    if not with_activations:
        notes.append("No activations: no model and probe were given.")
    if experiment.other is None:
        notes.append("No other seed's run was given, so nothing here is about other runs.")
    return notes


def _figures(
    analysis: dict[str, Any], phases: Phases | None, states: States | None, output: Path
) -> list[Path]:
    draw: dict[str, Callable[[], Figure]] = {}
    filters = [name for name, own in analysis["weights"].items() if "filters" in own]
    if phases is not None and states is not None and filters:
        shapes = {name: analysis["weights"][name]["shape"] for name in filters}
        first = next((name for name in filters if len(shapes[name]) == 4), filters[0])
        arrays = states.tensors[first]
        by_phase = {phase: arrays[OWN, step].astype(float) for phase, step in phases.steps.items()}
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
