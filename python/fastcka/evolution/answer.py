"""The verdicts of an experiment in a few sentences: the answer, the numbers, the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastcka.evolution.schema import Analysis, Layer, Tensor, Verdict

_MORE = (
    "more than time, in two runs",
    "more than time, in one run",
    "more than time, but not in the other run",
)
CONCLUSIONS: Mapping[str, str] = {
    _MORE[0]: "{early} is less similar to {late} by more than time explains, for both seeds",
    _MORE[1]: "{early} is less similar to {late} by more than time explains (one seed only)",
    _MORE[2]: "{early} is less similar to {late} by more than time explains, but not for the "
    "second seed",
    "time may explain it": "{early} is less similar to {late}, but time may explain it",
    "no control for time": "{early} is less similar to {late}; no control for time is possible",
    "no baseline": "{early} is less similar to {late}; no baseline is possible",
    "mid is not closer": "{early} is more similar to {late} than {mid} is",
    "undecided": "the data do not show which of {early} and {mid} is more similar to {late}",
    "no interval": "the data allow no confidence interval",
}
"""Each conclusion of a verdict, and what it means."""

_KINDS = {"activations": "layer", "weights": "tensor"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdicts of one experiment.

    Attributes
    ----------
    sentences
        The answer: one sentence, or two with a second seed, for each phase between the first and
        the last. They describe activations; without activations, they describe weights.
    numbers
        Similarities, and number of layers for each conclusion.
    limits
        What the numbers do not show.
    """

    sentences: tuple[str, ...]
    numbers: tuple[str, ...]
    limits: tuple[str, ...]


def answer(analysis: Analysis) -> Answer:
    """Summarize the verdicts of an experiment."""
    groups = {kind: _by_phases(analysis, kind) for kind in _KINDS}
    kind = "activations" if groups["activations"] else "weights"
    sentences = [_sentence(kind, verdicts) for verdicts in groups[kind]]
    if not sentences:
        reasons = [note for note in analysis["notes"] if note.startswith(("No verdict", "No comp"))]
        return Answer(tuple(reasons[:1]) or ("No verdict.",), (), ())
    numbers = [
        line for name, parts in groups.items() for part in parts for line in _numbers(name, part)
    ]
    every = [verdict for parts in groups.values() for part in parts for verdict in part]
    return Answer(tuple(sentences), tuple(numbers), tuple(_limits(every)))


def _by_phases(analysis: Analysis, kind: str) -> list[list[Verdict]]:
    """Return the verdicts on activations or weights, grouped by the phases of the question."""
    items: Sequence[Layer | Tensor] = list(
        analysis["activations"].values() if kind == "activations" else analysis["weights"].values()
    )
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for item in items:
        for verdict in item.get("verdict", []):
            groups.setdefault(tuple(verdict["phases"]), []).append(verdict)
    return list(groups.values())


def _sentence(kind: str, verdicts: Sequence[Verdict]) -> str:
    (early, mid, late), steps = verdicts[0]["phases"], verdicts[0]["steps"]
    conclusions = Counter(verdict["conclusion"] for verdict in verdicts)
    total = len(verdicts)
    more = sum(conclusions[name] for name in _MORE)
    first, middle, last = (
        f"{name} (step {step:,})" for name, step in zip((early, mid, late), steps, strict=True)
    )
    reason = "by more than the time between them explains"
    if conclusions["no interval"] == total:
        return (
            f"No answer: no {_KINDS[kind]} has a confidence interval, so the data do not show "
            f"whether {first} or {middle} is more similar to {last}."
        )
    if conclusions["no control for time"] + conclusions["no baseline"] == total:
        return (
            f"No answer: {first} is less similar to {last} than {middle} is, but these checkpoints "
            "allow no control for the time between them."
        )
    if not more:
        noun = _KINDS[kind]
        less = f"shown to be less similar to {last} than {middle} is, {reason}."
        if total == 1:
            return f"No: in the only {noun}, {first} is not {less}"
        return f"No: in none of the {total} {noun}s is {first} {less}"
    text = f"{'Yes' if more == total else 'In part'}: in {_share(more, total, _KINDS[kind])}, "
    text += f"{first} is less similar to {last} than {middle} is, {reason}."
    second = conclusions[_MORE[0]]
    if second + conclusions[_MORE[2]]:
        text += f" A second seed gives the same result in {_share_of_these(second, more, kind)}."
    return text


def _share(count: int, total: int, noun: str) -> str:
    if total == 1:
        return f"the only {noun}"
    return f"all {total} {noun}s" if count == total else f"{count} of {total} {noun}s"


def _share_of_these(count: int, total: int, kind: str) -> str:
    noun = _KINDS[kind]
    if total == 1:
        return f"this {noun}" if count else f"no {noun}"
    return f"{count or 'none'} of these {total} {noun}s"


def _numbers(kind: str, verdicts: Sequence[Verdict]) -> Iterator[str]:
    early, mid, late = verdicts[0]["phases"]
    noun, total = _KINDS[kind], len(verdicts)
    ranges = [
        f"{phase} {_range([verdict['similarity'][pair] for verdict in verdicts])}"
        for phase, pair in ((early, "early_vs_late"), (mid, "mid_vs_late"))
    ]
    counted = f"{total} {noun}{'' if total == 1 else 's'}"
    measure = verdicts[0]["measure"]
    yield f"{measure[:1].upper()}{measure[1:]}, similarity to {late} ({counted}): " + ", ".join(
        ranges
    )
    conclusions = Counter(verdict["conclusion"] for verdict in verdicts)
    for name, meaning in CONCLUSIONS.items():
        if count := conclusions[name]:
            text = meaning.format(early=early, mid=mid, late=late)
            yield f"  {count} {noun}{'' if count == 1 else 's'}: {text}"


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "undefined"
    low, high = min(known), max(known)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def _limits(verdicts: Sequence[Verdict]) -> Iterator[str]:
    if any(verdict["conclusion"] in _MORE for verdict in verdicts):
        early, _, late = verdicts[0]["phases"]
        yield (
            "Change slowed down, as it does when training converges or the learning rate falls. "
            f"This does not show that {early} and {late} have different kinds of features."
        )
    yield (
        "Intervals (95%) cover other examples and units of the same run, not other runs. They are "
        "not corrected for the number of layers and tensors."
    )
