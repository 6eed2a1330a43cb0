"""The answer for an experiment: one sentence for each set of conclusions."""

from __future__ import annotations

import pytest

from fastcka.evolution.answer import CONCLUSIONS, answer

TWO, ONE, NOT_OTHER = list(CONCLUSIONS)[:3]
LESS = "less similar to late (step 20) than mid (step 12) is"
REASON = "by more than the time between them explains."


def analysis(conclusions, kind="activations"):
    layers = {
        f"layer{i}": {
            "verdict": [
                {
                    "phases": ["early", "mid", "late"],
                    "steps": [4, 12, 20],
                    "measure": "unbiased CKA",
                    "similarity": {"early_vs_late": 0.25 + i / 4, "mid_vs_late": 0.9},
                    "conclusion": conclusion,
                }
            ]
        }
        for i, conclusion in enumerate(conclusions)
    }
    return {"activations": {}, "weights": {}, "notes": [], kind: layers}


@pytest.mark.parametrize(
    ("conclusions", "sentence"),
    [
        ([ONE, ONE], f"Yes: in all 2 layers, early (step 4) is {LESS}, {REASON}"),
        ([ONE, "undecided"], f"In part: in 1 of 2 layers, early (step 4) is {LESS}, {REASON}"),
        ([ONE], f"Yes: in the only layer, early (step 4) is {LESS}, {REASON}"),
        (
            [TWO, NOT_OTHER],
            f"Yes: in all 2 layers, early (step 4) is {LESS}, {REASON} A second seed gives the "
            "same result in 1 of these 2 layers.",
        ),
        (
            ["time may explain it", "mid is not closer"],
            f"No: in none of the 2 layers is early (step 4) shown to be {LESS}, {REASON}",
        ),
        (
            ["undecided"],
            f"No: in the only layer, early (step 4) is not shown to be {LESS}, {REASON}",
        ),
        (
            ["no interval"],
            "No answer: no layer has a confidence interval, so the data do not show whether early "
            "(step 4) or mid (step 12) is more similar to late (step 20).",
        ),
        (
            ["no baseline", "no control for time"],
            f"No answer: early (step 4) is {LESS}, but these checkpoints allow no control for the "
            "time between them.",
        ),
    ],
)
def test_the_sentence(conclusions, sentence):
    assert answer(analysis(conclusions)).sentences == (sentence,)


def test_the_numbers_and_the_limits():
    reply = answer(analysis([ONE, "undecided", "undecided"]))
    assert reply.numbers == (
        "Unbiased CKA, similarity to late (3 layers): early 0.25 to 0.75, mid 0.90",
        "  1 layer: early is less similar to late by more than time explains (one seed only)",
        "  2 layers: the data do not show which of early and mid is more similar to late",
    )
    assert "does not show that early and late have different kinds of features" in reply.limits[0]
    assert len(answer(analysis(["undecided"])).limits) == 1


def test_without_activations_the_answer_is_about_weights():
    reply = answer(analysis([ONE], "weights"))
    assert reply.sentences[0].startswith("Yes: in the only tensor, ")
    nothing = {"activations": {}, "weights": {}, "notes": ["x", "No verdict: a reason."]}
    assert answer(nothing).sentences == ("No verdict: a reason.",)
