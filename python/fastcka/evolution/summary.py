"""``summary_report.md``: the analyses in a folder as text, made from their JSON files only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastcka.evolution.analysis import find_analyses, read_analysis
from fastcka.evolution.answer import CONCLUSIONS, answer
from fastcka.evolution.schema import Analysis, Layer, Tensor
from fastcka.files import replaced_file

SUMMARY = "summary_report.md"

_MEANINGS = "\n".join(
    f"- *{name}*: {meaning.format(early='early', mid='mid', late='late')}"
    for name, meaning in CONCLUSIONS.items()
)

_HOW_TO_READ = f"""\
The question of each verdict: is the first phase less similar to the last phase than a middle phase
is? In nearly any training it is, because the middle phase is closer to the last one in time. The
*gap* is the similarity of middle and last minus the similarity of first and last. It is compared
with these baselines:

- *Control for time*: how similar the network stays over the updates from the middle to the last
  phase, minus the same over a window of at most as many updates after the first phase. Above zero,
  the network changed more early on, as it does when training converges or the learning rate falls.
- *Gain over step 0*: similarity of first and last, minus similarity of the untrained network and
  the last phase.
- *Gap to a second seed*: similarity of the final networks of two seeds, minus similarity of first
  and last. Above zero, first and last differ more than two seeds do.
- *Chance*: similarity of first and last after permuting the examples (for weights, the entries).

The conclusions, for phases called early, mid and late:

{_MEANINGS}

Each interval is for 95% and is not corrected for the number of layers. Intervals cover other
examples and units of the same run, not other runs.
"""


def write_summary(folder: Path) -> Path:
    """Write ``summary_report.md`` from the ``*_analysis.json`` in a folder.

    Raises
    ------
    InputError
        If one of these files is not an analysis.
    """
    path = folder / SUMMARY
    analyses = [read_analysis(file) for file in find_analyses(folder)]
    with replaced_file(path) as temporary:
        temporary.write_text(summary_text(analyses), encoding="utf-8")
    return path


def summary_text(analyses: Sequence[Analysis]) -> str:
    """Return the summary of analyses as Markdown."""
    lines = ["# Early, middle and late in training", "", _HOW_TO_READ]
    for analysis in analyses:
        lines += [*_experiment(analysis), ""]
    return "\n".join(lines).rstrip() + "\n"


def _experiment(analysis: Analysis) -> Iterator[str]:
    phases = ", ".join(f"{name} {step:,}" for name, step in analysis["phases"].items())
    yield f"## {_cell(analysis['experiment'])}"
    yield ""
    yield f"Phases (completed updates): {phases}. Checkpoints used: {_steps(analysis['steps'])}."
    yield ""
    summary = answer(analysis)
    yield f"**{_cell(' '.join(summary.sentences))}**"
    yield ""
    for line in summary.numbers:
        indent = len(line) - len(line.lstrip())
        yield f"{' ' * indent}- {_cell(line.strip())}"
    for line in (*summary.limits, *analysis["notes"]):
        yield f"- {_cell(line)}"
    for entry in analysis["missing"]:
        phase = f" ({entry['phase']})" if entry["phase"] else ""
        run = " of the other run" if entry["run"] == "other" else ""
        yield f"- **Missing: step {entry['step']}{phase}{run}.** {_cell(entry['reason'])}"
    yield ""
    cka = {name: layer["cka"] for name, layer in analysis["activations"].items()}
    cosines = {name: tensor["similarity"] for name, tensor in analysis["weights"].items()}
    yield from _similarities("Unbiased CKA of activations", "layer", cka)
    yield from _similarities("Cosine of weights", "tensor", cosines)
    yield from _verdicts("activations", "layer", analysis["activations"])
    yield from _verdicts("weights", "tensor", analysis["weights"])
    yield from _diversity(analysis)
    yield from _sparsity(analysis)
    yield from _attention(analysis)


def _similarities(
    title: str, noun: str, layers: Mapping[str, Mapping[str, float | None]]
) -> Iterator[str]:
    pairs = list(dict.fromkeys(pair for values in layers.values() for pair in values))
    if not pairs:
        return
    rows = [[name, *(values[pair] for pair in pairs)] for name, values in layers.items()]
    yield from _table(title, [noun, *(pair.replace("_vs_", " / ") for pair in pairs)], rows)


def _verdicts(kind: str, noun: str, layers: Mapping[str, Layer | Tensor]) -> Iterator[str]:
    rows: list[list[Any]] = []
    for name, layer in layers.items():
        for verdict in layer.get("verdict", []):
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
        noun, "middle phase", "gap", "control for time", "gain over step 0",
        "gap to a second seed", "chance", "conclusion",
    ]  # fmt: skip
    if rows:
        yield from _table(f"Verdicts on {kind} (differences with 95% intervals)", header, rows)
    words: dict[str, list[str]] = {}
    for name, layer in layers.items():
        for verdict in layer.get("verdict", []):
            words.setdefault(verdict["words"], []).append(name)
    for text, names in words.items():
        yield f"- {', '.join(f'`{_cell(name)}`' for name in names)}: {_cell(text)}"
    if words:
        yield ""


def _diversity(analysis: Analysis) -> Iterator[str]:
    rows = [
        [
            name,
            phase,
            _with_null(measures["effective_rank"]),
            _with_null(measures["participation_ratio"]),
            _silhouette(measures["silhouette"]),
        ]
        for name, tensor in analysis["weights"].items()
        for phase, measures in tensor.get("diversity", {}).items()
    ]
    if rows:
        header = ["tensor", "phase", "effective rank", "participation ratio", "best silhouette"]
        yield from _table(
            "Diversity of filters (in parentheses: range for permuted weights)", header, rows
        )


def _sparsity(analysis: Analysis) -> Iterator[str]:
    rows = [
        [name, phase, measures["zeros"], measures["constant_features"], measures["treves_rolls"]]
        for name, layer in analysis["activations"].items()
        for phase, measures in layer["sparsity"].items()
    ]
    if rows:
        header = ["layer", "phase", "zeros", "constant features", "Treves-Rolls sparsity"]
        yield from _table("Sparsity of activations", header, rows)


def _attention(analysis: Analysis) -> Iterator[str]:
    rows = [
        [
            name,
            phase,
            ", ".join(_cell(value) for value in facts["entropy"]),
            facts["entropy_of_uniform"],
            facts["specialization"],
        ]
        for name, layer in analysis["attention"].items()
        for phase, facts in layer.items()
    ]
    if rows:
        header = [
            "layer",
            "phase",
            "entropy of each head (nats)",
            "entropy of uniform attention",
            "specialization",
        ]
        yield from _table("Attention", header, rows)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(_cell(value) for value in row)} |"
    yield ""


def _difference(measure: Mapping[str, Any]) -> str:
    if measure.get("difference") is None:
        return "–"
    text = f"{measure['difference']:+.3f}"
    interval = measure["interval"]
    return text if interval is None else f"{text} ({interval[0]:+.3f} to {interval[1]:+.3f})"


def _chance(measure: Mapping[str, Any]) -> str:
    return f"{measure['mean']:.3f} ± {measure['sd']:.3f}" if measure["available"] else "–"


def _with_null(measure: Mapping[str, Any]) -> str:
    null = measure["null"]
    return f"{_cell(measure['value'])} ({_cell(null['low'])} to {_cell(null['high'])})"


def _silhouette(measure: Mapping[str, Any]) -> str:
    """Return the highest silhouette with its k and its null."""
    null = measure["null"]
    columns = (measure["value"], measure["clusters"], null["low"], null["high"])
    known = [row for row in zip(*columns, strict=True) if row[0] is not None]
    if not known:
        return "–"
    value, k, low, high = max(known, key=lambda row: float(row[0]))
    return f"{_cell(value)} at k = {k} ({_cell(low)} to {_cell(high)})"


def _steps(steps: Sequence[int]) -> str:
    return ", ".join(f"{step:,}" for step in steps) or "none"


def _cell(value: Any) -> str:
    """Return a value as a Markdown cell: three decimals, a dash for None, `|` escaped."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace("|", "\\|").replace("\n", " ")
