"""Plans are read from files, and impossible ones are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fastcka.capture import CheckpointPlan, experiment_folder, planned_steps
from fastcka.capture.steps import parse_phases, step_of
from fastcka.errors import InputError

SAMPLE: dict[str, Any] = {
    "metadata": {
        "approach": "modified",
        "total_checkpoints": 9,
        "experiments": 3,
        "timeline_weeks": 2,
        "goal": "early against late",
    },
    "experiments": {
        name: {
            "training_steps": 2000,
            "checkpoints": {
                "early": {"step": 100, "phase": 0.05, "rationale": "5%"},
                "mid": {"step": 1000, "phase": 0.5, "rationale": "50%"},
                "late": {"step": 2000, "phase": 1.0, "rationale": "the end", "mine": [1]},
            },
            "checkpoint_steps": [100, 1000, 2000],
            "architecture": {"kind": name},
        }
        for name in ("transformer_deep_mnist", "cnn_deep_mnist", "mlp_narrow_mnist")
    },
    "analysis_plan": {"week 1": ["cosine"]},
    "honest_limitations": ["few"],
}


def test_the_sample_plan_is_read_and_written_again_key_for_key(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(SAMPLE))
    plan = CheckpointPlan.load(path)
    assert list(plan.experiments) == list(SAMPLE["experiments"])
    planned = plan.experiment("cnn_deep_mnist")
    assert planned.training_steps == 2000
    assert planned.checkpoint_steps == (100, 1000, 2000)
    assert planned.phases == {"early": 100, "mid": 1000, "late": 2000}
    assert planned.checkpoints["early"].rationale == "5%"
    plan.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == SAMPLE
    assert CheckpointPlan.load(tmp_path / "again.json") == plan


def test_phases_come_in_the_order_of_their_steps() -> None:
    content = {
        "training_steps": 9,
        "checkpoints": {"end": {"step": 9}, "start": {"step": 0}, "half": {"step": 4}},
        "checkpoint_steps": [9, 7, 4, 0],
    }
    planned = CheckpointPlan.parse({"experiments": {"a": content}}).experiment("a")
    assert list(planned.phases.items()) == [("start", 0), ("half", 4), ("end", 9)]
    assert planned.checkpoint_steps == (0, 4, 7, 9)


def test_a_made_plan_has_step_0() -> None:
    plan = CheckpointPlan.of({"a": {"early": 3, "late": 10}, "b": {"start": 0}}, 10)
    assert json.loads(plan.to_json()) == {
        "metadata": {"total_checkpoints": 4, "experiments": ["a", "b"]},
        "experiments": {
            "a": {
                "training_steps": 10,
                "checkpoints": {
                    "early": {"step": 3, "phase": 0.3},
                    "late": {"step": 10, "phase": 1.0},
                },
                "checkpoint_steps": [0, 3, 10],
            },
            "b": {
                "training_steps": 10,
                "checkpoints": {"start": {"step": 0, "phase": 0.0}},
                "checkpoint_steps": [0],
            },
        },
    }


def changed(path: str, value: object) -> dict[str, Any]:
    """The sample plan with one field changed, or removed by None."""
    plan = copy.deepcopy(SAMPLE)
    plan["experiments"] = {"cnn": plan["experiments"]["cnn_deep_mnist"]}
    *folders, last = path.split("/")
    place = plan
    for name in folders:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return plan


CNN = "experiments/cnn"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"the content: expected an object; got the list"),
        (changed("experiments", None), r"^p: experiments: missing"),
        (changed("experiments", {}), r"experiments: .*at least one experiment"),
        (changed("experiments", {"a/b": {}}), r"got 'a/b'"),
        (changed("experiments", {"..": {}}), r"got '\.\.'"),
        (changed("experiments", {"": {}}), r"got ''"),
        (changed(CNN, 3), r"experiments\.cnn: expected an object; got the number 3"),
        (changed(f"{CNN}/training_steps", None), r"experiments\.cnn\.training_steps: missing"),
        (
            changed(f"{CNN}/training_steps", 1999),
            r"contains 2000, but the training has 1999 updates",
        ),
        (changed(f"{CNN}/training_steps", "2000"), r"training_steps: .*got the text '2000'"),
        (changed(f"{CNN}/training_steps", True), r"training_steps: .*got the boolean true"),
        (changed(f"{CNN}/checkpoint_steps", None), r"experiments\.cnn\.checkpoint_steps: missing"),
        (changed(f"{CNN}/checkpoint_steps", []), r"checkpoint_steps: steps: expected at least one"),
        (changed(f"{CNN}/checkpoint_steps", "all"), r"expected a list of steps; got .*'all'"),
        (changed(f"{CNN}/checkpoint_steps", [100, -1]), r"at least 0, got -1"),
        (changed(f"{CNN}/checkpoint_steps", [100, 1.0]), r"at least 0, got 1\.0"),
        (changed(f"{CNN}/checkpoint_steps", [True]), r"at least 0, got True"),
        (changed(f"{CNN}/checkpoint_steps", [1, 1]), r"got 1 twice"),
        (changed(f"{CNN}/checkpoint_steps", [100, 2000]), r"checkpoints\.mid is step 1000, which"),
        (changed(f"{CNN}/checkpoints/mid/step", 100), r"early and checkpoints\.mid are the same"),
        (changed(f"{CNN}/checkpoints/mid/step", -5), r"cnn\.checkpoints\.mid\.step: .*got .*-5"),
        (changed(f"{CNN}/checkpoints/mid/step", None), r"checkpoints\.mid\.step: missing"),
    ],
)
def test_the_error_of_an_impossible_value_names_its_field(content: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CheckpointPlan.parse(content, "p")


def test_every_wrong_field_is_named() -> None:
    plan = changed(f"{CNN}/training_steps", "many")
    plan["metadata"] = 3
    with pytest.raises(InputError) as caught:
        CheckpointPlan.parse(plan)
    first, *problems = str(caught.value).splitlines()
    assert first == "the plan: 2 problems:"
    names = ["  metadata", "  experiments.cnn.training_steps"]
    assert [line.split(":")[0] for line in problems] == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"experiments": {"a": {}, "a": {}}}', "the key 'a' appears twice"),
        ("{}", "experiments: missing"),
    ],
)
def test_files_that_are_no_plans(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"plan\.json: .*{message}"):
        CheckpointPlan.load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"plan\.json: cannot be read"):
        CheckpointPlan.load(path)


def test_an_unknown_experiment_has_near_misses() -> None:
    with pytest.raises(InputError, match=r"no experiment 'cnn_deep'; did you mean cnn_deep_mnist"):
        CheckpointPlan.parse(SAMPLE).experiment("cnn_deep")


def test_the_folder_of_an_experiment() -> None:
    assert experiment_folder("runs", "cnn") == Path("runs/cnn")
    assert experiment_folder("runs/cnn", "cnn") == Path("runs/cnn")
    assert experiment_folder("runs/cnn/", "mlp") == Path("runs/cnn/mlp")


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("100", 100),
        ("0", 0),
        ("1", 1),
        ("2000", 2000),
        ("last", 2000),
        ("0.5", 1000),
        (".05", 100),
        ("1.0", 2000),
        ("0.0007", 1),
        ("0.3333", 667),
    ],
)
def test_a_step_as_text(text: str, step: int) -> None:
    assert step_of(text, 2000) == step


@pytest.mark.parametrize("text", ["2001", "-1", "1.1", "-0.5", "0.0", "half", "", "1e3", "nan."])
def test_impossible_steps_as_text(text: str) -> None:
    with pytest.raises(InputError, match="step"):
        step_of(text, 2000)


def test_phases_as_text() -> None:
    assert parse_phases("early=100, mid=0.5,late=last", 2000) == {
        "early": 100,
        "mid": 1000,
        "late": 2000,
    }
    for text in ("", "early", "early=", "=3", "early=1,", "a=1,a=2"):
        with pytest.raises(InputError, match="phases"):
            parse_phases(text, 2000)


def test_planned_steps() -> None:
    assert planned_steps([7, 0, 3]) == (0, 3, 7)
    for steps in ([], [-1], [1, 1], [1.0], [True], ["2"]):
        with pytest.raises(InputError, match="steps"):
            planned_steps(steps)
