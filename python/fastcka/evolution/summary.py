"""``summary_report.md``: what the analyses say, from their JSON files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastcka.evolution.analysis import find_analyses, read_analysis
from fastcka.files import replaced_file

SUMMARY = "summary_report.md"

_HOW_TO_READ = """\
The question of each verdict: is the first phase farther from the last than a phase between them is?
In nearly any training it is, because the one between is nearer in time; so each answer stands
beside baselines.

- *Over time*: the similarity over a window of updates before the last phase minus that over a
  window of no more updates after the first. Above zero, more changed early on in no more time, as
  it does when training converges or the learning rate falls.
- *Over step 0*: how much nearer to the last phase the first one is than the untrained network.
- *Over another seed*: above zero, the first phase is farther from the last than the last networks
  of two seeds are from each other.
- *Chance*: the similarity that is left when examples (of weights: entries) are permuted.

Intervals are for 95% each, not corrected for the number of layers; they speak about other examples
and units of the same run, not about other runs.
"""


def write_summary(folder: Path) -> Path:
    """Write ``summary_report.md`` from the ``*_analysis.json`` in a folder.

    Raises
    ------
    InputError
        If one of them is no analysis that can be read.
    """
    path = folder / SUMMARY
    analyses = [read_analysis(file) for file in find_analyses(folder)]
    with replaced_file(path) as beside:
        beside.write_text(summary_text(analyses), encoding="utf-8")
    return path


def summary_text(analyses: Sequence[Mapping[str, Any]]) -> str:
    """Return the report on analyses as Markdown."""
    lines = ["# Early, middle and late in training", "", _HOW_TO_READ]
    for analysis in analyses:
        lines += [*_experiment(analysis), ""]
    return "\n".join(lines).rstrip() + "\n"


def verdict_lines(analysis: Mapping[str, Any]) -> list[str]:
    """Return for each kind of representation how many layers came to which conclusion."""
    lines = []
    for kind in ("activations", "weights"):
        counts = Counter(
            (tuple(verdict["phases"]), verdict["conclusion"])
            for layer in analysis[kind].values()
            for verdict in layer["verdict"]
        )
        for phases in dict.fromkeys(phases for phases, _ in counts):
            found = {text: n for (own, text), n in counts.items() if own == phases}
            told = "; ".join(f"{text}: {n}" for text, n in sorted(found.items()))
            total = sum(found.values())
            noun = {"activations": "layer", "weights": "tensor"}[kind]
            lines.append(
                f"{kind} ({', '.join(phases)}; {total} {noun}{'' if total == 1 else 's'}): {told}"
            )
    return lines


def _experiment(analysis: Mapping[str, Any]) -> Iterator[str]:
    phases = ", ".join(f"{name} {step:,}" for name, step in analysis["phases"].items())
    yield f"## {_cell(analysis['experiment'])}"
    yield ""
    yield f"Phases (completed updates): {phases}. Steps read: {_steps(analysis['steps'])}."
    yield ""
    for own in analysis["missing"]:
        phase = f" ({own['phase']})" if own["phase"] else ""
        run = " of the other run" if own["run"] == "other" else ""
        yield f"- **Missing: step {own['step']}{phase}{run}.** {_cell(own['reason'])}"
    for note in analysis["notes"]:
        yield f"- {_cell(note)}"
    for line in verdict_lines(analysis):
        yield f"- Verdict, {line}."
    yield ""
    yield from _similarities("Unbiased CKA of activations", "layer", analysis["activations"], "cka")
    yield from _similarities("Cosine of weights", "tensor", analysis["weights"], "similarity")
    for kind, noun in (("activations", "layer"), ("weights", "tensor")):
        yield from _verdicts(kind, noun, analysis[kind])
    yield from _diversity(analysis)
    yield from _sparsity(analysis)
    yield from _attention(analysis)


def _similarities(title: str, noun: str, layers: Mapping[str, Any], field: str) -> Iterator[str]:
    pairs = list(dict.fromkeys(pair for layer in layers.values() for pair in layer[field]))
    if not pairs:
        return
    rows = [[name, *(layer[field][pair] for pair in pairs)] for name, layer in layers.items()]
    yield from _table(title, [noun, *(pair.replace("_vs_", " / ") for pair in pairs)], rows)


def _verdicts(kind: str, noun: str, layers: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, layer in layers.items():
        for verdict in layer["verdict"]:
            baselines = verdict["baselines"]
            rows.append(
                [
                    name,
                    verdict["phases"][1],
                    _difference(verdict["question"]),
                    _difference(baselines["time_matched"]),
                    _difference(baselines["step_0"]),
                    _difference(baselines["other_seed"]),
                    _chance(baselines["permuted"]),
                    verdict["conclusion"],
                ]
            )
    header = [
        noun, "mid", "mid - early", "over time", "over step 0", "over another seed", "chance",
        "conclusion",
    ]  # fmt: skip
    if rows:
        yield from _table(f"Verdicts on {kind}", header, rows)
    words: dict[str, list[str]] = {}
    for name, layer in layers.items():
        for verdict in layer["verdict"]:
            words.setdefault(verdict["words"], []).append(name)
    for text, names in words.items():
        yield f"- {', '.join(f'`{_cell(name)}`' for name in names)}: {_cell(text)}"
    if words:
        yield ""


def _diversity(analysis: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for name, tensor in analysis["weights"].items():
        for phase, found in tensor.get("diversity", {}).items():
            rows.append(
                [
                    name,
                    phase,
                    *(
                        _beside_null(found[own])
                        for own in ("effective_rank", "participation_ratio")
                    ),
                    _silhouette(found["silhouette"]),
                ]
            )
    if rows:
        header = ["tensor", "phase", "effective rank", "participation ratio", "best silhouette"]
        yield from _table(
            "Diversity of filters (permuted weights: lowest to highest)", header, rows
        )


def _sparsity(analysis: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        [name, phase, found["zeros"], found["constant_features"], found["treves_rolls"]]
        for name, layer in analysis["activations"].items()
        for phase, found in layer["sparsity"].items()
    ]
    if rows:
        header = ["layer", "phase", "zeros", "constant features", "Treves-Rolls"]
        yield from _table("Sparsity of activations", header, rows)


def _attention(analysis: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        [
            name,
            phase,
            ", ".join(_cell(value) for value in found["entropy"]),
            found["entropy_of_uniform"],
            found["specialization"],
        ]
        for name, layer in analysis["attention"].items()
        for phase, found in layer.items()
    ]
    if rows:
        header = ["layer", "phase", "entropy of each head (nats)", "of uniform", "specialization"]
        yield from _table("Attention", header, rows)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    yield ""


def _difference(found: Mapping[str, Any]) -> str:
    if found.get("difference") is None:
        return "–"
    text = f"{found['difference']:+.3f}"
    interval = found["interval"]
    return text if interval is None else f"{text} ({interval[0]:+.3f} to {interval[1]:+.3f})"


def _chance(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.3f} ± {found['sd']:.3f}" if found["available"] else "–"


def _beside_null(found: Mapping[str, Any]) -> str:
    null = found["null"]
    return f"{_cell(found['value'])} ({_cell(null['low'])} to {_cell(null['high'])})"


def _silhouette(found: Mapping[str, Any]) -> str:
    """Return the highest silhouette, its k, and its null."""
    null = found["null"]
    columns = (found["value"], found["clusters"], null["low"], null["high"])
    known = [row for row in zip(*columns, strict=True) if row[0] is not None]
    if not known:
        return "–"
    value, k, low, high = max(known, key=lambda row: float(row[0]))
    return f"{_cell(value)} at k = {k} ({_cell(low)} to {_cell(high)})"


def _steps(steps: Sequence[int]) -> str:
    return ", ".join(f"{step:,}" for step in steps) or "none"


def _cell(value: Any) -> str:
    """Return a value as a cell: three digits, a dash for null, no character that ends a cell."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace("|", "\\|").replace("\n", " ")
