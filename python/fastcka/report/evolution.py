"""The results of `fastcka evolve`: verdicts and similarities as tables, and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastcka.evolution.analysis import find_analyses, read_analysis
from fastcka.evolution.answer import answer
from fastcka.evolution.figures import FIGURES
from fastcka.evolution.resampling import CONFIDENCE
from fastcka.evolution.schema import OTHER, Analysis, Layer, Tensor
from fastcka.report.items import Image, Item, Listing, NotDrawn, Sheet
from fastcka.report.tested import interval_text

_VERDICTS = (
    "Is early (the first phase) less similar to late (the last phase) than mid is? gap: similarity "
    "of mid and late, minus similarity of early and late. It is above zero in nearly any training, "
    "because mid is closer to late in time. time control: how similar the network stays from mid "
    "to late, minus the same over at most as many updates after early; above zero, the network "
    "changed more early on. step 0 gain: similarity of early and late, minus similarity of step 0 "
    "and late. seed gap: similarity of the final networks of two seeds, minus similarity of early "
    "and late. chance: similarity of early and late with permuted examples (for weights, permuted "
    f"entries). low, high: limits of the {CONFIDENCE:.0%} interval for other examples and units of "
    "the same run, not for other runs; not corrected for the number of rows."
)
_ABOUT = {
    "filters": "Top: filters of one tensor at each phase. Bottom: cosine of each filter between "
    "two phases, for every tensor.",
    "features": "Diversity of the filters, compared with permuted weights; for a transformer, also "
    "the attention of each head.",
    "activations": "Unbiased CKA of each layer between all checkpoints, and the share of zero "
    "activations at each phase.",
}
_NEEDED = {
    "filters": "it needs weights of filters at the three phases",
    "features": "it needs weights of filters at the three phases",
    "activations": "it needs activations, which need a model and a probe",
}
_BASELINES = {
    "time_control": "time_matched",
    "step_0_gain": "step_0",
    "seed_gap": "other_seed",
}


def evolution(folder: Path) -> Iterator[Item]:
    """Yield tables of verdicts and similarities, and all figures; nothing without an analysis."""
    analyses = [read_analysis(path) for path in find_analyses(folder)]
    if not analyses:
        return
    verdicts = [row for analysis in analyses for row in _verdicts(analysis)]
    header = ["experiment", "kind", "layer", "early", "mid", "late", "gap", "low", "high"]
    for name in _BASELINES:
        header += [name, f"{name}_low", f"{name}_high"]
    header += ["chance", "conclusion"]
    yield Listing("Verdicts on early, mid and late", _VERDICTS, *_on_page(header, verdicts))
    yield Sheet("evolution_verdicts", "Verdicts on early, mid and late", header, verdicts)
    rows = [row for analysis in analyses for row in _similarities(analysis)]
    header = ["experiment", "kind", "layer", "pair", "similarity", "biased_cka", "relative_change"]
    yield Sheet("evolution_similarities", "Similarity of phases", header, rows)
    for analysis in analyses:
        name = str(analysis["experiment"])
        for kind in FIGURES:
            path = folder / f"{name}_{kind}.png"
            if path.is_file():
                yield Image(f"{name}: {kind}", _ABOUT[kind], path)
            else:
                reason = f"the file does not exist; {_NEEDED[kind]}"
                yield NotDrawn(f"Figure of {kind}", reason, (path.name,))
        for entry in analysis["missing"]:
            what = "Checkpoint of the second seed" if entry["run"] == OTHER else "Checkpoint"
            phase = f" ({entry['phase']})" if entry["phase"] else ""
            yield NotDrawn(what, entry["reason"], (f"{name}, step {entry['step']}{phase}",))
        for note in analysis["notes"]:
            yield NotDrawn("Part of the analysis of phases", note, (name,))


def evolution_summary(folder: Path) -> dict[str, str]:
    """Return experiment -> its phases, the answer and the numbers, as one text."""
    summary = {}
    for path in find_analyses(folder):
        analysis = read_analysis(path)
        phases = ", ".join(f"{name} {step:,}" for name, step in analysis["phases"].items())
        summarized = answer(analysis)
        numbers = " · ".join(line.strip() for line in summarized.numbers)
        text = " ".join(summarized.sentences)
        summary[analysis["experiment"]] = f"{text} Phases: {phases}." + (
            f" {numbers}." if numbers else ""
        )
    return summary


def _verdicts(analysis: Analysis) -> Iterator[list[Any]]:
    kinds: tuple[tuple[str, Mapping[str, Layer | Tensor]], ...] = (
        ("activations", analysis["activations"]),
        ("weights", analysis["weights"]),
    )
    for kind, layers in kinds:
        for name, layer in layers.items():
            for verdict in layer.get("verdict", []):
                baselines: Mapping[str, Any] = verdict["baselines"]
                row = [analysis["experiment"], kind, name, *verdict["steps"]]
                row += _interval(verdict["question"])
                for baseline in _BASELINES.values():
                    row += _interval(baselines[baseline])
                row += [baselines["permuted"].get("mean"), verdict["conclusion"]]
                yield row


def _on_page(header: list[str], rows: list[list[Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return the table with each number and its interval in one cell."""
    joined = {i for i, name in enumerate(header) if f"{name}_low" in header or name == "gap"}
    limits = {i + k for i in joined for k in (1, 2)}

    def cell(row: list[Any], i: int) -> Any:
        text = interval_text(row[i + 1], row[i + 2]) if i in joined else None
        return row[i] if text is None else f"{row[i]:.4f} ({text})"

    shown = [i for i in range(len(header)) if i not in limits]
    names = [
        f"{header[i]} ({CONFIDENCE:.0%} interval)" if i in joined else header[i] for i in shown
    ]
    return names, [[cell(row, i) for i in shown] for row in rows]


def _interval(measure: Mapping[str, Any]) -> list[Any]:
    return [measure.get("difference"), *(measure.get("interval") or [None, None])]


def _similarities(analysis: Analysis) -> Iterator[list[Any]]:
    experiment = analysis["experiment"]
    for name, layer in analysis["activations"].items():
        for pair, cka in layer["cka"].items():
            yield [experiment, "activations", name, pair, cka, layer["cka_biased"][pair], None]
    for name, tensor in analysis["weights"].items():
        for pair, cosine in tensor["similarity"].items():
            change = tensor["relative_change"][pair]
            yield [experiment, "weights", name, pair, cosine, None, change]
