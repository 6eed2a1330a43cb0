"""Verdicts: is the first phase less similar to the last than a middle phase is, and why?

The question is s(early, late) < s(mid, late). A yes alone means little: it holds for nearly any
training, because mid is closer to late in time. Each verdict therefore has four baselines. Three of
them are differences of similarities with an interval (`fastcka.evolution.resampling` explains what
the interval covers).

time_matched   s(mid, late) - s(early, t). The window (early, t) has at most as many updates as
               (mid, late). Above zero: more changed after early than in at least as much time
               before late. A drift at a constant rate gives zero. A falling learning rate and a
               training that converges also give values above zero. This baseline describes the
               *rate* of change, not its kind.
step_0         s(early, late) - s(step 0, late): is early more similar to late than the untrained
               network is?
other_seed     The same steps of another seed's run. For activations it includes
               s(late, late') - s(early, late): above zero, early is less similar to late than the
               final networks of two seeds are to each other. It also repeats the question and the
               control for time in the other run, because intervals from the examples of one run
               do not cover other runs.
permuted       s(early, late) after the examples (or, for weights, the entries) are permuted: the
               similarity by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastcka.evolution.phases import Question
from fastcka.evolution.resampling import CONFIDENCE, Estimate, estimate
from fastcka.evolution.schema import (
    MAIN,
    OTHER,
    Baselines,
    Name,
    OtherSeed,
    Permuted,
    Run,
    StepZero,
    TimeMatched,
    Verdict,
)

Matrix = NDArray[np.float64]


class Similarities(Protocol):
    """The similarities of one layer or tensor between several checkpoints."""

    @property
    def what(self) -> Sequence[str]:
        """What is resampled, in the plural: one name for each array of resampled similarities."""

    def matrices(self) -> tuple[list[Name], Matrix, list[Matrix]]:
        """M checkpoints; (M, M) similarities; for each name in `what`, (B, M, M) similarities.

        The b-th of these matrices is computed without part b of the data.
        """

    def permuted(self, a: Name, b: Name) -> Permuted:
        """The similarity of ``a`` and ``b`` by chance."""


def needed_steps(questions: Sequence[Question], available: Sequence[int]) -> set[int]:
    """Return the steps whose similarities the verdicts use."""
    steps = {0} & set(available)
    for question in questions:
        steps |= {question.early, question.mid, question.late}
        steps |= set() if question.matched is None else {question.matched}
    return steps


@dataclass(frozen=True)
class _Table:
    """The similarities of one layer, by the names of the checkpoints."""

    names: list[Name]
    whole: Matrix
    left_out: list[Matrix]
    what: Sequence[str]

    def has(self, run: Run, *steps: int | None) -> bool:
        return all(step is not None and (run, step) in self.names for step in steps)

    def similarity(self, a: Name, b: Name) -> float:
        return float(self.whole[self.names.index(a), self.names.index(b)])

    def difference(self, plus: tuple[Name, Name], minus: tuple[Name, Name]) -> Estimate:
        """s(plus) - s(minus), with its interval."""
        (a, b), (c, d) = (tuple(self.names.index(name) for name in pair) for pair in (plus, minus))
        value = float(self.whole[a, b] - self.whole[c, d])
        resamples = [matrices[:, a, b] - matrices[:, c, d] for matrices in self.left_out]
        return estimate(value, resamples, list(self.what))


def verdicts(
    questions: Sequence[Question],
    similarities: Similarities,
    *,
    measure: str,
    aligned: bool,
) -> list[Verdict]:
    """Answer each question for one layer or tensor.

    Parameters
    ----------
    questions
        See `Phases.questions`.
    similarities
        Similarities between the checkpoints at `needed_steps`, named (`MAIN`, step) and, for the
        run of another seed, (`OTHER`, step).
    measure
        Description of the similarity.
    aligned
        Whether the similarity can compare two runs. CKA can. The cosine of weights cannot, because
        the units of two runs are in different orders.

    Returns
    -------
    list of Verdict
        Ready for JSON, except that undefined numbers are NaN.
    """
    table = _Table(*similarities.matrices(), similarities.what)
    return [_verdict(question, table, similarities, measure, aligned) for question in questions]


def _verdict(
    question: Question, table: _Table, similarities: Similarities, measure: str, aligned: bool
) -> Verdict:
    early, mid, late = _checkpoints(question, MAIN)
    gap = table.difference((mid, late), (early, late))
    baselines: Baselines = {
        "time_matched": _time_matched(question, table, MAIN),
        "step_0": _step_0(question, table),
        "other_seed": _other_seed(question, table, aligned),
        "permuted": similarities.permuted(early, late),
    }
    conclusion = _conclusion(gap.answer, baselines)
    return {
        "phases": list(question.names),
        "steps": [question.early, question.mid, question.late],
        "measure": measure,
        "similarity": {
            "early_vs_late": table.similarity(early, late),
            "mid_vs_late": table.similarity(mid, late),
        },
        "question": gap.to_dict(),
        "interval": f"{CONFIDENCE:.0%}, jackknife over {' and '.join(table.what)}",
        "baselines": baselines,
        "conclusion": conclusion,
        "words": _words(question, conclusion, gap, baselines),
    }


def _checkpoints(question: Question, run: Run) -> tuple[Name, Name, Name]:
    return (run, question.early), (run, question.mid), (run, question.late)


def _time_matched(question: Question, table: _Table, run: Run) -> TimeMatched:
    if question.matched is None or not table.has(run, question.early, question.matched):
        length = question.late - question.mid
        why = f"no checkpoint is {length // 2} to {length} updates after step {question.early}"
        return {"available": False, "why": why}
    window: tuple[Name, Name] = ((run, question.early), (run, question.matched))
    control: tuple[Name, Name] = ((run, question.mid), (run, question.late))
    result: TimeMatched = {
        "available": True,
        "early_window": [question.early, question.matched],
        "late_window": [question.mid, question.late],
        "early_similarity": table.similarity(*window),
        "late_similarity": table.similarity(*control),
    }
    return {**result, **table.difference(control, window).to_dict()}


def _step_0(question: Question, table: _Table) -> StepZero:
    if question.early == 0:
        return {"available": False, "why": "early is step 0"}
    if not table.has(MAIN, 0):
        return {"available": False, "why": "step 0 has no checkpoint"}
    start: Name = (MAIN, 0)
    early, _, late = _checkpoints(question, MAIN)
    result: StepZero = {
        "available": True,
        "step_0_vs_early": table.similarity(start, early),
        "step_0_vs_late": table.similarity(start, late),
    }
    return {**result, **table.difference((early, late), (start, late)).to_dict()}


def _other_seed(question: Question, table: _Table, aligned: bool) -> OtherSeed:
    if not table.has(OTHER, question.early, question.mid, question.late):
        return {"available": False, "why": "there is no run of another seed with these steps"}
    early, _, late = _checkpoints(question, MAIN)
    other_early, other_mid, other_late = _checkpoints(question, OTHER)
    result: OtherSeed = {
        "available": True,
        "early_vs_other_early": table.similarity(early, other_early),
        "late_vs_other_late": table.similarity(late, other_late),
        "question": table.difference((other_mid, other_late), (other_early, other_late)).to_dict(),
        "time_matched": _time_matched(question, table, OTHER),
    }
    if aligned:
        result = {**result, **table.difference((late, other_late), (early, late)).to_dict()}
    return result


def _conclusion(answer: str, baselines: Baselines) -> str:
    if answer != "yes":
        return {
            "no": "mid is not closer",
            "undecided": "undecided",
            "undefined": "no interval",
        }[answer]
    timed, other = baselines["time_matched"], baselines["other_seed"]
    if not any((timed["available"], baselines["step_0"]["available"], other["available"])):
        return "no baseline"
    if not timed["available"] or timed["answer"] == "undefined":
        return "no control for time"
    if timed["answer"] != "yes":
        return "time may explain it"
    if not other["available"]:
        return "more than time, in one run"
    repeated = other["question"]["answer"] == "yes" and other["time_matched"].get("answer") == "yes"
    return "more than time, in two runs" if repeated else "more than time, but not in the other run"


def _words(question: Question, conclusion: str, gap: Estimate, baselines: Baselines) -> str:
    early, mid, late = question.names
    timed = baselines["time_matched"]
    less = f"{early} is less similar to {late} than {mid} is"
    common = (
        f"{less}. This holds for nearly any training, because {mid} is closer to {late} in time. "
        "These checkpoints allow"
    )
    if conclusion == "no interval":
        text = f"No verdict: there is no confidence interval ({gap.why_undefined})."
    elif conclusion == "undecided":
        text = f"The data do not show whether {early} or {mid} is more similar to {late}."
    elif conclusion == "mid is not closer":
        text = f"No: {early} is more similar to {late} than {mid} is."
    elif conclusion == "no baseline":
        text = f"{common} no baseline, so nothing follows."
    elif conclusion == "no control for time":
        why = timed.get("why") or timed.get("why_undefined") or "no interval"
        text = f"{common} no control for time ({why}), so nothing follows about {early}."
    elif conclusion == "time may explain it":
        windows = "after step {} than from step {} to {}".format(
            timed["early_window"][0], *timed["late_window"]
        )
        text = f"{less}, but the time between them may explain it: the "
        text += (
            f"network changed less {windows}, in at most as many updates."
            if timed["answer"] == "no"
            else f"data do not show whether the network changed more {windows}."
        )
    else:
        text = f"{less}, by more than time explains: {_rates(timed)} {_SECOND_SEED[conclusion]} "
        text += (
            "It shows that change slowed down, which also happens when training converges or the "
            "learning rate falls. It does not show two kinds of features."
        )
    return " ".join([text, *_remarks(question, baselines)])


_SECOND_SEED = {
    "more than time, in one run": "This holds for one run; no second seed was given.",
    "more than time, in two runs": "A second seed gives the same result.",
    "more than time, but not in the other run": "A second seed does not give this result.",
}


def _rates(timed: TimeMatched) -> str:
    (a, b), (c, d) = timed["early_window"], timed["late_window"]
    return (
        f"the network changed more from step {a} to {b} than from step {c} to {d}, which is at "
        "least as long."
    )


def _remarks(question: Question, baselines: Baselines) -> list[str]:
    early, _, late = question.names
    remarks = []
    if baselines["step_0"].get("answer") in ("undecided", "no"):
        remarks.append(
            f"As far as the data show, {early} is no more similar to {late} than step 0 is."
        )
    finals = f"the {late} networks of two seeds are to each other."
    answer: Any = baselines["other_seed"].get("answer")
    if answer == "yes":
        remarks.append(f"{early} is less similar to {late} than {finals}")
    elif answer == "no":
        remarks.append(f"{early} is more similar to {late} than {finals}")
    return remarks
