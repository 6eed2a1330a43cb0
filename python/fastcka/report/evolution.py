"""What `fastcka evolve` left in the folder: its verdicts as tables, its figures, what it lacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastcka.evolution.analysis import find_analyses, read_analysis
from fastcka.evolution.figures import FIGURES
from fastcka.evolution.summary import verdict_lines
from fastcka.report.items import Image, Item, NotDrawn, Sheet

_VERDICTS = (
    "Is the first phase farther from the last than the middle one is? difference: above zero, it "
    "is, as in nearly any training, because the middle one is nearer in time. over time: above "
    "zero, more changed after the first phase than in as much time before the last. over step 0: "
    "how much nearer to the last phase the first is than the untrained network. over other seed: "
    "above zero, the first phase is farther from the last than the last networks of two seeds are "
    "from each other. chance: the similarity with permuted examples (of weights: entries). low and "
    "high: 95% intervals for other examples and units of the same run, not for other runs, and not "
    "corrected for the number of rows."
)
_ABOUT = {
    "filters": "The filters of one tensor at each phase, and the cosine of every tensor's filters.",
    "features": "Diversity of the filters beside permuted weights; of a transformer, the attention "
    "of each head.",
    "activations": "Unbiased CKA between all steps that have a checkpoint, and sparsity.",
}
_BASELINES = {
    "over_time": "time_matched",
    "over_step_0": "step_0",
    "over_other_seed": "other_seed",
}


def evolution(folder: Path) -> Iterator[Item]:
    """Yield tables of verdicts and similarities, and every figure; nothing without an analysis."""
    analyses = [read_analysis(path) for path in find_analyses(folder)]
    if not analyses:
        return
    verdicts = [row for analysis in analyses for row in _verdicts(analysis)]
    header = ["experiment", "of", "layer", "early", "mid", "late", "difference", "low", "high"]
    for name in _BASELINES:
        header += [name, f"{name}_low", f"{name}_high"]
    header += ["chance", "conclusion"]
    yield Sheet("evolution_verdicts", "Early, middle, late", header, verdicts, about=_VERDICTS)
    rows = [row for analysis in analyses for row in _similarities(analysis)]
    header = ["experiment", "of", "layer", "pair", "similarity", "biased_cka", "relative_change"]
    yield Sheet("evolution_similarities", "Similarity of phases", header, rows)
    for analysis in analyses:
        name = str(analysis["experiment"])
        for kind in FIGURES:
            path = folder / f"{name}_{kind}.png"
            if path.is_file():
                yield Image(f"{name}: {kind}", _ABOUT[kind], path)
        for own in analysis["missing"]:
            what = "Another run's checkpoint" if own["run"] == "other" else "Checkpoint"
            where = f"{name}, step {own['step']}" + (f" ({own['phase']})" if own["phase"] else "")
            yield NotDrawn(what, str(own["reason"]), (where,))
        for note in analysis["notes"]:
            yield NotDrawn("Part of the analysis of checkpoints", str(note), (name,))


def evolution_summary(folder: Path) -> dict[str, str]:
    """Return experiment -> its phases and how many layers came to which conclusion."""
    summary = {}
    for path in find_analyses(folder):
        analysis = read_analysis(path)
        phases = ", ".join(f"{name} {step:,}" for name, step in analysis["phases"].items())
        summary[str(analysis["experiment"])] = ". ".join([phases, *verdict_lines(analysis)])
    return summary


def _verdicts(analysis: Mapping[str, Any]) -> Iterator[list[Any]]:
    for kind in ("activations", "weights"):
        for layer, found in analysis[kind].items():
            for verdict in found["verdict"]:
                row = [analysis["experiment"], kind, layer, *verdict["steps"]]
                row += _interval(verdict["question"])
                for baseline in _BASELINES.values():
                    row += _interval(verdict["baselines"][baseline])
                row += [verdict["baselines"]["permuted"].get("mean"), verdict["conclusion"]]
                yield row


def _interval(found: Mapping[str, Any]) -> list[Any]:
    return [found.get("difference"), *(found.get("interval") or [None, None])]


def _similarities(analysis: Mapping[str, Any]) -> Iterator[list[Any]]:
    name = analysis["experiment"]
    for layer, found in analysis["activations"].items():
        for pair, value in found["cka"].items():
            yield [name, "activations", layer, pair, value, found["cka_biased"][pair], None]
    for tensor, found in analysis["weights"].items():
        for pair, value in found["similarity"].items():
            yield [name, "weights", tensor, pair, value, None, found["relative_change"][pair]]
