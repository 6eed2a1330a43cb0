"""The files of a pair's results, as bytes; nothing is written here."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.core.backend import version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastcka.pair.config import PairConfig

TIMELINE: Final = "cka_timeline.csv"
SUMMARY: Final = "summary.json"
CONFIG: Final = "config.yaml"
PLOT: Final = "cka_timeline.png"
FILES: Final = frozenset({TIMELINE, SUMMARY, CONFIG, PLOT})


@dataclass(frozen=True, slots=True)
class PairPoint:
    """The similarity at a step.

    Attributes
    ----------
    step
        The training step, the same of both models.
    cka
        Biased CKA; NaN where it is undefined.
    undefined
        Why it is undefined, or an empty text.
    bandwidths
        Widths of the Gaussian kernels of the two models; None for linear kernels.
    """

    step: int
    cka: float
    undefined: str = ""
    bandwidths: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class PairResult:
    """The similarities of a pair, and further content of its summary.

    Attributes
    ----------
    points
        One for each step, in increasing order; at least one.
    n_examples
        Number of examples that were compared, the same at every step.
    last_steps
        Last step of each model at this layer, even if the other model lacks it.
    dropped
        For each model, reason -> number of its examples that were not compared.
    device
        The device that computed it.
    program
        The program that computed it.
    notes
        What a person should know.
    """

    points: Sequence[PairPoint]
    n_examples: int
    last_steps: tuple[int, int]
    dropped: tuple[Mapping[str, int], Mapping[str, int]]
    device: str
    program: str
    notes: Sequence[str] = ()


def undefined_text(reasons: Mapping[int, str]) -> str:
    """Return why a similarity is undefined; ``reasons`` are those of the two models, 0 and 1."""
    return "; ".join(f"exp{position + 1}: {reason}" for position, reason in reasons.items())


def summary_of(config: PairConfig, result: PairResult) -> dict[str, Any]:
    """Return what ``summary.json`` holds: finite numbers, or null with the reason.

    Mean, standard deviation (of the population: 0 for one step), least and largest value are taken
    over the steps at which the similarity is defined; ``undefined`` lists the others.
    """
    defined = np.array([p.cka for p in result.points if not math.isnan(p.cka)])
    last = result.points[-1]
    return {
        "exp1": config.exp1.name,
        "exp2": config.exp2.name,
        "layer": config.layer,
        "n_checkpoints": len(result.points),
        "n_cities": result.n_examples,
        "final_cka": None if math.isnan(last.cka) else last.cka,
        "mean_cka": float(defined.mean()) if defined.size else None,
        "std_cka": float(defined.std()) if defined.size else None,
        "min_cka": float(defined.min()) if defined.size else None,
        "max_cka": float(defined.max()) if defined.size else None,
        "final_step": last.step,
        "exp1_last_step": result.last_steps[0],
        "exp2_last_step": result.last_steps[1],
        "undefined": {str(p.step): p.undefined for p in result.points if math.isnan(p.cka)},
        "estimator": "biased",
        "kernel_type": config.kernel_type,
        "bandwidths": {str(p.step): list(p.bandwidths) for p in result.points if p.bandwidths},
        "city_filter": config.city_filter,
        "dropped": {"exp1": dict(result.dropped[0]), "exp2": dict(result.dropped[1])},
        "device": result.device,
        "notes": list(result.notes),
        "program": result.program,
        "version": version,
    }


def result_files(config: PairConfig, result: PairResult) -> dict[str, bytes]:
    """Return file name -> content of a pair's results.

    Raises
    ------
    MissingExtraError
        If a plot is asked for and matplotlib is not installed.
    """
    lines = ["step,cka", *(f"{point.step},{point.cka!r}" for point in result.points)]
    summary = json.dumps(summary_of(config, result), indent=2, ensure_ascii=False, allow_nan=False)
    files = {
        TIMELINE: ("\n".join(lines) + "\n").encode(),
        CONFIG: config.to_yaml().encode(),
        SUMMARY: (summary + "\n").encode(),
    }
    if config.save_timeline_plot:
        from fastcka.pair.plot import timeline_png

        files[PLOT] = timeline_png(config, result)
    return files
