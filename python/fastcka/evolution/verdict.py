"""The document's question, answered beside its baselines and in no more words than they carry.

The question: is the early phase farther from the late one than the middle phase is,
s(early, late) < s(mid, late)? By itself a yes says little, because it is true of nearly any
trajectory: mid is nearer to late in time. So four baselines stand beside it, each a difference of
similarities with an interval (see `fastcka.evolution.resampling` for what that speaks about):

time_matched   s(mid, late) - s(early, t), where (early, t) lasts as many updates as (mid, late),
               or fewer. Above zero: more changed after early than in as much time before late.
               A drift at a constant rate has zero. A learning rate that falls, or a training that
               converges, is above zero too: this is about the *rate* of change, not its kind.
step_0         s(early, late) - s(step 0, late): is early any nearer to late than no training is?
other_seed     another seed's run at the same steps. Activations: s(late, late') - s(early, late);
               above zero, early is farther from late than two finished networks are from each
               other. In any case the question and the control for time, asked of that run: an
               interval from one run's examples cannot say that they would come out so in another.
permuted       s(early, late) with the pairing destroyed: what is there by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastcka.evolution.phases import Question
from fastcka.evolution.resampling import CONFIDENCE, Estimate, estimate

Name = tuple[str, int]
Matrix = NDArray[np.float64]
OWN, OTHER = "own", "other"


class Similarities(Protocol):
    """The similarities of one layer: of the whole data, with parts left out, and by chance."""

    @property
    def what(self) -> Sequence[str]:
        """What is resampled, in the plural; one name for each array of `matrices`."""

    def matrices(self) -> tuple[list[Name], Matrix, list[Matrix]]:
        """Names; (M, M) similarities; a (B, M, M) array for each thing that is resampled."""

    def permuted(self, a: Name, b: Name) -> dict[str, Any]:
        """The similarity of ``a`` and ``b`` with the pairing destroyed."""


def needed_steps(questions: Sequence[Question], available: Sequence[int]) -> set[int]:
    """The steps whose similarities a verdict reads."""
    steps = {0} & set(available)
    for asked in questions:
        steps |= {asked.early, asked.mid, asked.late}
        steps |= set() if asked.matched is None else {asked.matched}
    return steps


@dataclass(frozen=True)
class _Table:
    names: list[Name]
    whole: Matrix
    left_out: list[Matrix]
    what: Sequence[str]

    def has(self, run: str, *steps: int | None) -> bool:
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
) -> list[dict[str, Any]]:
    """Answer each question for one layer.

    Parameters
    ----------
    questions
        See `Phases.questions`.
    similarities
        Of the layer's representations at `needed_steps`, named (`OWN`, step) and, where there is
        another run, (`OTHER`, step).
    measure
        What the similarity is, in words.
    aligned
        Whether representations of two runs can be compared: CKA can, the cosine of weights cannot,
        as two runs have their units in different orders.

    Returns
    -------
    list of dict
        ``phases``, ``steps``, ``measure``, ``question``, ``baselines``, ``conclusion`` and
        ``words``; JSON-able but for NaN.
    """
    table = _Table(*similarities.matrices(), similarities.what)
    return [_verdict(asked, table, similarities, measure, aligned) for asked in questions]


def _verdict(
    asked: Question, table: _Table, similarities: Similarities, measure: str, aligned: bool
) -> dict[str, Any]:
    early, mid, late = ((OWN, step) for step in (asked.early, asked.mid, asked.late))
    question = table.difference((mid, late), (early, late))
    timed = _time_matched(asked, table, OWN)
    other = _other_seed(asked, table, aligned)
    baselines = {
        "time_matched": timed,
        "step_0": _step_0(asked, table),
        "other_seed": other,
        "permuted": similarities.permuted(early, late),
    }
    conclusion = _conclusion(question.answer, baselines)
    return {
        "phases": list(asked.names),
        "steps": [asked.early, asked.mid, asked.late],
        "measure": measure,
        "similarity": {
            "early_vs_late": table.similarity(early, late),
            "mid_vs_late": table.similarity(mid, late),
        },
        "question": question.to_dict(),
        "interval": f"{CONFIDENCE:.0%}, jackknife over {' and '.join(table.what)}",
        "baselines": baselines,
        "conclusion": conclusion,
        "words": _words(asked, conclusion, question, baselines),
    }


def _time_matched(asked: Question, table: _Table, run: str) -> dict[str, Any]:
    if asked.matched is None or not table.has(run, asked.early, asked.matched):
        length = asked.late - asked.mid
        return _none(
            f"no checkpoint lies {length // 2} to {length} updates after step {asked.early}"
        )
    window = ((run, asked.early), (run, asked.matched))
    control = ((run, asked.mid), (run, asked.late))
    return {
        "available": True,
        "early_window": [asked.early, asked.matched],
        "late_window": [asked.mid, asked.late],
        "early_similarity": table.similarity(*window),
        "late_similarity": table.similarity(*control),
        **table.difference(control, window).to_dict(),
    }


def _step_0(asked: Question, table: _Table) -> dict[str, Any]:
    if asked.early == 0 or not table.has(OWN, 0):
        return _none("early is step 0" if asked.early == 0 else "there is no checkpoint of step 0")
    start, early, late = ((OWN, step) for step in (0, asked.early, asked.late))
    return {
        "available": True,
        "step_0_vs_early": table.similarity(start, early),
        "step_0_vs_late": table.similarity(start, late),
        **table.difference((early, late), (start, late)).to_dict(),
    }


def _other_seed(asked: Question, table: _Table, aligned: bool) -> dict[str, Any]:
    if not table.has(OTHER, asked.early, asked.mid, asked.late):
        return _none("there is no other seed's run with these steps")
    early, late = (OWN, asked.early), (OWN, asked.late)
    other_early, other_mid, other_late = (
        (OTHER, step) for step in (asked.early, asked.mid, asked.late)
    )
    result: dict[str, Any] = {
        "available": True,
        "early_vs_other_early": table.similarity(early, other_early),
        "late_vs_other_late": table.similarity(late, other_late),
    }
    if aligned:
        result |= table.difference((late, other_late), (early, late)).to_dict()
    result["question"] = table.difference(
        (other_mid, other_late), (other_early, other_late)
    ).to_dict()
    result["time_matched"] = _time_matched(asked, table, OTHER)
    return result


def _none(why: str) -> dict[str, Any]:
    return {"available": False, "why": why}


def _conclusion(answer: str, baselines: dict[str, Any]) -> str:
    if answer != "yes":
        return {
            "no": "mid is not nearer",
            "undecided": "not distinguished",
            "undefined": "no interval",
        }[answer]
    timed, other = baselines["time_matched"], baselines["other_seed"]
    if not any(baselines[name]["available"] for name in ("time_matched", "step_0", "other_seed")):
        return "no baseline"
    if not timed["available"] or timed["answer"] == "undefined":
        return "no control for time"
    if timed["answer"] != "yes":
        return "time may explain it"
    if not other["available"]:
        return "more than time, in one run"
    repeated = other["question"]["answer"] == "yes" and other["time_matched"].get("answer") == "yes"
    return "more than time, in two runs" if repeated else "more than time, but not in the other run"


def _words(asked: Question, conclusion: str, question: Estimate, baselines: dict[str, Any]) -> str:
    early, mid, late = asked.names
    timed = baselines["time_matched"]
    text = {
        "no interval": f"No interval is possible ({question.why_undefined}), so no verdict is.",
        "not distinguished": f"Whether {early} or {mid} is farther from {late} cannot be told.",
        "mid is not nearer": f"No: {early} is nearer to {late} than {mid} is.",
        "no baseline": (
            f"{early} is farther from {late} than {mid} is, as in nearly any training, because "
            f"{mid} is nearer in time. No baseline is possible with these checkpoints, so nothing "
            "follows."
        ),
        "no control for time": (
            f"{early} is farther from {late} than {mid} is, as in nearly any training, because "
            f"{mid} is nearer in time. No control for time is possible "
            f"({timed.get('why', 'no interval')}), so nothing follows about {early} itself."
        ),
        "time may explain it": (
            f"{early} is farther from {late} than {mid} is, and the time between them may be why: "
            f"that more changed in the updates after {early} than in as many before {late} "
            f"{'is not so' if timed.get('answer') == 'no' else 'cannot be told'}."
        ),
    }.get(conclusion)
    if text is None:
        text = (
            f"{early} is farther from {late} than {mid} is, and more than time accounts for: from "
            f"step {timed['early_window'][0]} to {timed['early_window'][1]} more changed than from "
            f"step {timed['late_window'][0]} to {timed['late_window'][1]}."
        )
        text += {
            "more than time, in one run": " This holds for one run; another seed's was not given.",
            "more than time, in two runs": " Another seed's run says the same.",
            "more than time, but not in the other run": " Another seed's run does not.",
        }[conclusion]
        text += (
            " It shows that change slowed down, as it does when training converges or the learning "
            "rate falls; it does not show two kinds of features."
        )
    other = baselines["other_seed"]
    start = baselines["step_0"]
    notes = []
    if start.get("answer") in ("undecided", "no"):
        notes.append(f"{early} is no nearer to {late} than step 0 is, as far as can be told.")
    if other.get("answer") == "yes":
        notes.append(
            f"{early} is farther from {late} than the {late} networks of two seeds are from each "
            "other."
        )
    elif other.get("answer") == "no":
        notes.append(
            f"{early} is nearer to {late} than the {late} networks of two seeds are to each other."
        )
    return " ".join([text, *notes])
