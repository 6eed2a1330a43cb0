"""The files and messages of `fastcka evolve`, also when checkpoints are missing."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from fastcka.cli.app import app
from fastcka.errors import InputError
from fastcka.evolution import evolve, read_analysis, write_summary
from fastcka.report import write_report

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def weights_only(trained, tmp_path, no_drawing):
    """Call `fastcka evolve` without a model, on checkpoints that a test may change."""
    checkpoints = tmp_path / "checkpoints"
    shutil.copytree(trained / "seed0", checkpoints)
    output = tmp_path / "output"

    def call(*more):
        arguments = [trained / "plan.json", "--checkpoints", checkpoints, "--output", output]
        arguments += ["--permutations", 1, *more]
        return CliRunner().invoke(app, ["evolve", *map(str, arguments)])

    return call, checkpoints, output


def test_the_files_of_an_experiment(analysed, strict):
    for name in ("attention", "convolution"):
        content = strict(analysed / f"{name}_analysis.json")
        assert (content["format"], content["schema_version"]) == ("fastcka.evolution", 1)
        assert content["complete"] is True
        assert content["missing"] == []
        pairs = {"early_vs_mid", "early_vs_late", "mid_vs_late"}
        assert all(set(part["similarity"]) == pairs for part in content["weights"].values())
        assert all(set(part["cka"]) == pairs for part in content["activations"].values())
        for figure in ("features", "filters", "activations"):
            assert (analysed / f"{name}_{figure}.png").read_bytes().startswith(PNG)


def test_every_verdict_has_its_baselines(analysed, strict):
    content = strict(analysed / "attention_analysis.json")
    for kind in ("weights", "activations"):
        for part in content[kind].values():
            (verdict,) = part["verdict"]
            assert verdict["steps"] == [4, 12, 20]
            baselines = verdict["baselines"]
            assert set(baselines) == {"time_matched", "step_0", "other_seed", "permuted"}
            assert baselines["time_matched"]["early_window"] == [4, 12]
            assert baselines["other_seed"]["available"]
            assert verdict["similarity"]["early_vs_late"] == pytest.approx(
                part["similarity" if kind == "weights" else "cka"]["early_vs_late"], abs=1e-6
            )


def test_the_summary_is_made_from_the_json_alone(analysed, tmp_path, strict):
    for path in analysed.glob("*.json"):
        shutil.copy(path, tmp_path)
    again = write_summary(tmp_path).read_text("utf-8")
    assert again == (analysed / "summary_report.md").read_text("utf-8")
    path = tmp_path / "attention_analysis.json"
    content = strict(path)
    content["weights"]["0.weight"]["similarity"]["early_vs_late"] = -0.123456
    path.write_text(json.dumps(content))
    assert "| -0.123 |" in write_summary(tmp_path).read_text("utf-8")
    for part in content["activations"].values():
        for verdict in part["verdict"]:
            assert verdict["words"] in again


def test_weights_alone_need_no_model(weights_only, strict):
    call, _, output = weights_only
    done = call("--json")
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["missing"] == []
    assert set(answer["answers"]) == {"attention", "convolution"}
    content = strict(output / "convolution_analysis.json")
    assert content["activations"] == {}
    assert content["weights"]
    assert any("No activations" in note for note in content["notes"])
    assert any("No second seed" in note for note in content["notes"])
    assert not (output / "convolution_activations.png").exists()


def test_a_missing_checkpoint_is_named_and_the_status_is_1(weights_only, strict):
    call, checkpoints, output = weights_only
    assert call().exit_code == 0
    (checkpoints / "attention" / "checkpoint_step_00012.pt").unlink()
    done = call()
    assert done.exit_code == 1
    assert "attention: step 12 (mid): missing" in done.stderr
    content = strict(output / "attention_analysis.json")
    assert content["complete"] is False
    assert [entry["step"] for entry in content["missing"]] == [12]
    # The other phases are compared; the verdict needs all of them.
    assert all(set(part["similarity"]) == {"early_vs_late"} for part in content["weights"].values())
    assert all(part["verdict"] == [] for part in content["weights"].values())
    assert strict(output / "convolution_analysis.json")["complete"] is True
    assert "**Missing: step 12 (mid).**" in (output / "summary_report.md").read_text("utf-8")


def test_an_experiment_without_checkpoints_leaves_no_old_results(weights_only, strict):
    call, checkpoints, output = weights_only
    call()
    assert (output / "attention_filters.png").exists()
    shutil.rmtree(checkpoints / "attention")
    done = call()
    assert done.exit_code == 1
    assert done.stderr.count("attention: step") == 4
    content = strict(output / "attention_analysis.json")
    assert content["weights"] == {}
    assert "fewer than two phases" in content["notes"][0]
    assert not list(output.glob("attention_*.png"))


def test_a_damaged_checkpoint_and_one_of_another_step(weights_only):
    call, checkpoints, _ = weights_only
    late = checkpoints / "attention" / "checkpoint_step_00020.pt"
    late.write_bytes(late.read_bytes()[:-200])
    folder = checkpoints / "convolution"
    shutil.copy(folder / "checkpoint_step_00004.pt", folder / "checkpoint_step_00012.pt")
    done = call()
    assert done.exit_code == 1
    assert "attention: step 20 (late): truncated" in done.stderr
    assert "convolution: step 12 (mid): wrong step" in done.stderr


def test_a_tensor_of_zeros_is_null_and_not_nan(weights_only, strict):
    call, checkpoints, output = weights_only
    path = checkpoints / "convolution" / "checkpoint_step_00004.pt"
    content = torch.load(path, weights_only=True)
    content["model_state_dict"]["1.bias"].zero_()
    content["model_state_dict"]["count"] = torch.tensor(3)
    for other in path.parent.glob("*.pt"):
        whole = content if other == path else torch.load(other, weights_only=True)
        whole["model_state_dict"]["count"] = torch.tensor(3)
        torch.save(whole, other)
    assert call().exit_code == 0
    content = strict(output / "convolution_analysis.json")
    assert content["weights"]["1.bias"]["similarity"]["early_vs_mid"] is None
    assert content["weights"]["1.bias"]["verdict"][0]["conclusion"] == "no interval"
    assert content["weights_left_out"] == {"count": "int64 numbers are not weights"}


def test_checkpoints_of_two_architectures_are_refused(weights_only):
    call, checkpoints, _ = weights_only
    path = checkpoints / "convolution" / "checkpoint_step_00012.pt"
    content = torch.load(path, weights_only=True)
    content["model_state_dict"]["1.bias"] = torch.zeros(3)
    torch.save(content, path)
    done = call()
    assert done.exit_code == 2
    assert "got shape (3,) at step 12 and (10,) at step 0" in done.stderr


def test_a_wrong_call(trained, tmp_path):
    common = (trained / "plan.json", trained / "seed0", tmp_path / "output")
    with pytest.raises(InputError, match="model: expected a value, because probe was given"):
        evolve(*common, probe=trained / "probe.npz")
    with pytest.raises(InputError, match="permutations: expected at least 1, got 0"):
        evolve(*common, permutations=0)
    assert not (tmp_path / "output").exists()


def test_an_analysis_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "a_analysis.json"
    path.write_text('{"format": "fastcka.evolution", "schema_version": 99}')
    with pytest.raises(InputError, match="schema_version: expected 1, got 99"):
        read_analysis(path)
    path.write_text('{"format": "fastcka.evolution", "loss": NaN}')
    with pytest.raises(InputError, match="NaN is not JSON"):
        read_analysis(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="is not an analysis"):
        write_summary(tmp_path)


def test_a_model_that_does_not_fit_is_named(trained, tmp_path):
    with pytest.raises(InputError, match=r"checkpoint_step_00000\.pt.*Linear"):
        evolve(
            trained / "plan.json",
            trained / "seed0",
            tmp_path,
            model=lambda: torch.nn.Linear(2, 2),
            probe=trained / "probe.npz",
            permutations=1,
        )


def test_the_report_includes_it(analysed, tmp_path):
    result = write_report(analysed, out=tmp_path / "report")
    page = result.page.read_text("utf-8")
    assert page.count("data:image/png;base64,") == 6
    assert len(result.figures) == 6
    assert "more than time" in page
    verdicts = (tmp_path / "report" / "tables" / "evolution_verdicts.csv").read_text("utf-8")
    assert verdicts.startswith("experiment,kind,layer,early,mid,late,gap,low,high,time_control")
    analysis = read_analysis(analysed / "attention_analysis.json")
    layer, part = next(iter(analysis["activations"].items()))
    row = next(r for r in verdicts.splitlines() if r.startswith(f"attention,activations,{layer},"))
    assert float(row.split(",")[6]) == part["verdict"][0]["question"]["difference"]


def test_the_report_lists_figures_that_do_not_exist(weights_only):
    call, _, output = weights_only
    call()
    missing = {item.what: item for item in write_report(output).not_drawn}
    assert "needs activations" in missing["Figure of activations"].reason
    names = {f"{name}_activations.png" for name in ("attention", "convolution")}
    assert set(missing["Figure of activations"].where) == names


def evolved(trained, output, **options):
    """Analyse the weights of one experiment of the plan."""
    plan = json.loads((trained / "plan.json").read_text())
    phases = options.pop("phases", {})
    for name in list(plan["experiments"]):
        if name != options.get("experiment", "convolution"):
            del plan["experiments"][name]
        for phase, step in phases.items():
            if name in plan["experiments"]:
                plan["experiments"][name]["checkpoints"][phase] = {"step": step}
    options.pop("experiment", None)
    file = output.parent / "one.json"
    file.write_text(json.dumps(plan))
    folder = options.pop("checkpoints", trained / "seed0")
    return evolve(file, folder, output, permutations=1, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiment": "attention"}, "experiment 'convolution', which the plan does not have"),
        ({"phases": {"early": 0}}, "other phases: early 4, mid 12, late 20 there, early 0, mid 12"),
        ({"checkpoints": "seed1"}, "other checkpoints: .*seed0' there, .*seed1' now"),
        ({"weights_key": "model_state_dict"}, "another weights_key: none there, 'model_state_d"),
        ({"other": None}, "another second seed: .*seed1' there, none now"),
    ],
)
def test_results_of_other_input_are_replaced_only_on_request(trained, tmp_path, change, message):
    output = tmp_path / "output"
    evolved(trained, output, other=trained / "seed1")
    before = contents(output)
    options = {"other": trained / "seed1"} | change
    if "checkpoints" in change:
        options["checkpoints"] = trained / change["checkpoints"]
    with pytest.raises(InputError, match=message) as caught:
        evolved(trained, output, **options)
    assert "overwrite=True (--overwrite)" in str(caught.value)
    assert contents(output) == before
    result = evolved(trained, output, **options, overwrite=True)
    after = contents(output)
    assert after != before
    # An experiment that is not in the plan has neither files nor a line in the summary.
    names = {path.name for path in (*result.analyses, *result.figures, result.summary)}
    assert set(after) == names


def test_the_same_input_is_computed_again_and_more_input_may_be_added(trained, tmp_path):
    output = tmp_path / "output"
    evolved(trained, output)
    first = contents(output)
    evolved(trained, output)
    assert contents(output) == first
    evolved(trained, output, other=trained / "seed1")
    assert contents(output) != first


def test_files_without_an_analysis_are_not_replaced(trained, tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    for name in ("summary_report.md", "convolution_filters.png"):
        mine = output / name
        mine.write_text("mine")
        with pytest.raises(InputError, match=f"contains {name}, but no analysis"):
            evolved(trained, output)
        assert mine.read_text() == "mine"
        mine.unlink()
    (output / "convolution_analysis.json").write_text("{}")
    with pytest.raises(InputError, match=r"is not an analysis.*--overwrite"):
        evolved(trained, output)
    evolved(trained, output, overwrite=True)
    (output / "thesis_analysis.json").write_text('{"chapters": 7}')
    with pytest.raises(InputError, match=r"thesis_analysis\.json is not an analysis"):
        evolved(trained, output, overwrite=True)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="output: expected a folder, got the file"):
        evolved(trained, file)
    assert file.read_text() == "mine"


def test_the_command_prints_the_answer_first(weights_only):
    call, checkpoints, output = weights_only
    done = call()
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip()]
    assert lines[0][0] == "attention"
    assert lines[0][1].startswith(("Yes: in ", "In part: in ", "No: in none of the "))
    assert "early (step 4)" in lines[0][1]
    assert [line[0] for line in lines if line[0] in ("numbers", "not", "details")] == [
        *("numbers", "not", "numbers", "not", "details")
    ]
    assert "No second seed was given" in done.stdout
    (checkpoints / "attention" / "checkpoint_step_00012.pt").unlink()
    assert "No verdict: a phase has no usable checkpoint." in call().stdout
    content = json.loads((output / "attention_analysis.json").read_text())
    content["sources"]["other"] = "/seed1"
    (output / "attention_analysis.json").write_text(json.dumps(content))
    done = call()
    assert done.exit_code == 2
    assert "another second seed: '/seed1' there, none now" in " ".join(done.stderr.split())
    assert call("--overwrite").exit_code == 1
