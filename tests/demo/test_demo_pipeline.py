"""A shorter demo through `run_demo`: its files, checked independently."""

from __future__ import annotations

import csv
import io
import itertools
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from sklearn.datasets import load_digits

import fastcka.demo.pipeline
import oracle
from fastcka.capture import checkpoint_path, read_checkpoint, weights_digest
from fastcka.demo import DemoResult, print_report, run_demo
from fastcka.errors import InputError, MissingExtraError, WriteError
from fastcka.store import Key, open_store

pytestmark = pytest.mark.usefixtures("no_drawing_in_module")

STEPS = (0, 4, 25)
SEEDS = (0, 3)
LAYERS = {
    "mlp": ["hidden1", "hidden2", "hidden3", "hidden4", "logits"],
    "cnn": ["conv1", "conv2", "conv3", "dense", "logits"],
    "transformer": ["embedding", "block1", "block2", "pool", "logits"],
}
MODELS = [f"{family}-seed{seed}" for family in LAYERS for seed in SEEDS]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, no_drawing_in_module: None) -> DemoResult:
    return run_demo(tmp_path_factory.mktemp("demo") / "new" / "demo", steps=STEPS, seeds=SEEDS)


@pytest.fixture
def copy(demo: DemoResult, tmp_path: Path) -> Path:
    shutil.copytree(demo.directory, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def rows(demo: DemoResult) -> list[dict[str, str]]:
    with (demo.results / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _files(directory: Path) -> dict[str, tuple[int, int]]:
    paths = (path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


def test_store_contains_every_layer_network_and_step(demo: DemoResult) -> None:
    expected = {
        (f"{family}-seed{seed}", step, layer)
        for family, layers in LAYERS.items()
        for layer in layers
        for seed in SEEDS
        for step in STEPS
    }
    with open_store(demo.store) as store:
        assert set(map(tuple, store.keys())) == expected
        assert len(store.keys()) == len(expected)
        for family in LAYERS:
            for seed in SEEDS:
                assert store.factors(f"{family}-seed{seed}") == {"family": family, "seed": seed}


def test_probe_is_held_out_and_the_same_for_all_networks(demo: DemoResult) -> None:
    digits = load_digits()
    with open_store(demo.store) as store:
        examples = [
            store.examples(Key(model, step, "logits")) for model in MODELS for step in STEPS
        ]
    ids = examples[0].ids
    assert len(ids) == len(set(ids)) >= 500
    for other in examples:
        np.testing.assert_array_equal(other.ids, ids)
    positions = [int(name.removeprefix("digit-")) for name in ids]
    np.testing.assert_array_equal(examples[0].columns["digit"], digits.target[positions])
    training, probe = fastcka.demo.pipeline.load_split()
    assert set(training.ids) | set(probe.ids) == {f"digit-{i:04d}" for i in range(1797)}
    assert not set(training.ids) & set(probe.ids)
    assert tuple(ids) == probe.ids


def test_activations_equal_those_of_the_checkpoint_on_the_probe(demo: DemoResult) -> None:
    with open_store(demo.store) as store:
        positions = [
            int(name.removeprefix("digit-"))
            for name in store.examples(Key("mlp-seed3", 25, "logits")).ids
        ]
        images = load_digits().images[positions].reshape(len(positions), 64) / 16
        path = checkpoint_path(demo.directory / "checkpoints" / "mlp-seed3", 25)
        state = {k: v.double().numpy() for k, v in read_checkpoint(path).model_state_dict.items()}
        x = images
        for layer in ("hidden1", "hidden2", "hidden3", "hidden4"):
            x = np.maximum(x @ state[f"{layer}.0.weight"].T + state[f"{layer}.0.bias"], 0)
            np.testing.assert_allclose(store.read(Key("mlp-seed3", 25, layer)), x, atol=1e-5)
        x = x @ state["logits.weight"].T + state["logits.bias"]
        np.testing.assert_allclose(store.read(Key("mlp-seed3", 25, "logits")), x, atol=1e-5)


def test_training_changes_the_weights_and_learns(demo: DemoResult) -> None:
    for model in MODELS:
        states = [
            read_checkpoint(checkpoint_path(demo.directory / "checkpoints" / model, step))
            for step in STEPS
        ]
        assert [state.step for state in states] == list(STEPS)
        weights = [state.model_state_dict["logits.weight"] for state in states]
        assert not torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[1], weights[2])
        assert states[0].loss is None
        assert states[2].loss is not None
        assert states[2].loss < np.log(10)  # the loss of guessing


def test_results_have_every_pair_of_a_step_once(rows: list[dict[str, str]]) -> None:
    representations = [(model, layer) for model in MODELS for layer in LAYERS[model.split("-")[0]]]
    expected = {
        (step, frozenset(pair))
        for step in STEPS
        for pair in itertools.combinations(representations, 2)
    }
    compared = []
    for row in rows:
        assert row["step_a"] == row["step_b"]
        pair = frozenset(((row["model_a"], row["layer_a"]), (row["model_b"], row["layer_b"])))
        compared.append((int(row["step_a"]), pair))
        assert row["n_examples"] == "600"
    assert len(compared) == len(expected) == len(STEPS) * 30 * 29 // 2
    assert set(compared) == expected


def test_cka_values_equal_the_definition(demo: DemoResult, rows: list[dict[str, str]]) -> None:
    with open_store(demo.store) as store:
        for row in random.Random(0).sample(rows, 8):
            x, y = (
                store.read(Key(row[f"model_{s}"], int(row[f"step_{s}"]), row[f"layer_{s}"]))
                for s in "ab"
            )
            for estimator in ("biased", "unbiased"):
                expected = oracle.cka(x, y, estimator)
                assert abs(float(row[f"cka_{estimator}"]) - expected) <= 1e-6, (row, estimator)
            assert row["cka"] == row["cka_unbiased"]


def test_summary_means_equal_those_of_the_rows(
    demo: DemoResult, rows: list[dict[str, str]]
) -> None:
    def depth(row: dict[str, str], side: str) -> int:
        return LAYERS[row[f"family_{side}"]].index(row[f"layer_{side}"])

    kinds: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        depths = sorted((depth(row, "a"), depth(row, "b")))
        if row["model_a"] == row["model_b"]:
            side = "one network"
        elif row["family_a"] == row["family_b"]:
            side = "two seeds"
        else:
            side = "two families"
        titles = []
        if side == "one network" and depths[1] - depths[0] == 1:
            titles.append("one network, adjacent layers")
        if depths == [0, 4] and side != "two families":
            titles.append(f"{side}, first and last")
        if depths[0] == depths[1]:
            titles.append("two seeds, same layer" if side == "two seeds" else f"{side}, same depth")
            if side == "two families" and depths == [4, 4]:
                titles.append("two families, logits")
        for title in titles:
            kinds.setdefault(title, {}).setdefault(int(row["step_a"]), []).append(float(row["cka"]))
    assert {row.title for row in demo.summary} == set(kinds)
    for line in demo.summary:
        assert [mean.step for mean in line.means] == list(STEPS)
        for mean in line.means:
            values = kinds[line.title][mean.step]
            assert mean.n == len(values), line.title
            assert mean.value == pytest.approx(np.mean(values), abs=1e-12)
    # 3 families, 1 pair of seeds, 5 layers.
    counts = {line.title: line.means[0].n for line in demo.summary}
    assert counts["two seeds, same layer"] == 15
    assert counts["one network, adjacent layers"] == 6 * 4
    assert counts["two families, same depth"] == 3 * 4 * 5


def test_accuracy_equals_that_of_the_stored_logits(demo: DemoResult) -> None:
    assert set(demo.accuracy) == {(family, seed) for family in LAYERS for seed in SEEDS}
    with open_store(demo.store) as store:
        for (family, seed), by_step in demo.accuracy.items():
            for step in STEPS:
                key = Key(f"{family}-seed{seed}", step, "logits")
                digits = store.examples(key).columns["digit"]
                right = [
                    int(np.argmax(row)) == digit
                    for row, digit in zip(store.read(key), digits, strict=True)
                ]
                assert by_step[step] == pytest.approx(sum(right) / len(right))


def test_figures_the_page_and_the_sweep_are_written(demo: DemoResult) -> None:
    assert demo.report == demo.results / "report" / "index.html"
    assert demo.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    for picture in [demo.overview, *(demo.results / "figures").iterdir()]:
        assert picture.read_bytes().startswith(b"\x89PNG"), picture
    assert len(list((demo.results / "figures").iterdir())) == len(STEPS)
    assert demo.sweep == demo.directory / "sweep.yaml"
    assert demo.comparisons == len(STEPS) * 435
    assert set(demo.seconds) == {"train", "capture", "sweep", "report"}


def test_second_run_recomputes_nothing(demo: DemoResult) -> None:
    kept = [demo.directory / "checkpoints", demo.store / "models", demo.results / "matrices"]
    before = [_files(directory) for directory in kept]
    table = (demo.results / "results.csv").read_bytes()
    again = run_demo(demo.directory, steps=STEPS, seeds=SEEDS)
    assert (again.runs_trained, again.steps_captured, again.groups_computed) == (0, 0, 0)
    assert (again.runs_reused, again.steps_reused, again.groups_reused) == (6, 18, 3)
    assert [_files(directory) for directory in kept] == before
    assert (demo.results / "results.csv").read_bytes() == table
    assert again.summary == demo.summary
    assert again.accuracy == demo.accuracy


def test_deleted_files_are_recreated_with_the_same_values(demo: DemoResult, copy: Path) -> None:
    checkpoint_path(copy / "checkpoints" / "cnn-seed3", 25).unlink()
    with open_store(copy / "store") as store:
        lost = store.info(Key("mlp-seed0", 4, "logits")).path
    lost.unlink()
    again = run_demo(copy, steps=STEPS, seeds=SEEDS)
    assert (again.runs_trained, again.steps_captured, again.groups_computed) == (1, 1, 0)
    assert again.summary == demo.summary


def test_other_weights_are_captured_and_compared_again(demo: DemoResult, copy: Path) -> None:
    path = checkpoint_path(copy / "checkpoints" / "mlp-seed0", 4)
    content = torch.load(path, weights_only=True)
    content["model_state_dict"]["hidden1.0.bias"] += 0.5
    content["digest"] = weights_digest(content["model_state_dict"])
    torch.save(content, path)
    again = run_demo(copy, steps=STEPS, seeds=SEEDS)
    assert (again.runs_trained, again.steps_captured, again.groups_computed) == (0, 1, 1)
    assert again.summary != demo.summary


def test_checkpoint_of_another_run_is_refused(copy: Path) -> None:
    path = checkpoint_path(copy / "checkpoints" / "mlp-seed0", 4)
    content = torch.load(path, weights_only=True)
    content["run_id"] = "17"
    torch.save(content, path)
    with pytest.raises(InputError, match=r"mlp-seed0.*expected a checkpoint of run '.*', got '17'"):
        run_demo(copy, steps=STEPS, seeds=SEEDS)


def test_random_states_threads_and_relative_paths_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    result = run_demo("demo", steps=(0, 1), seeds=(0,))
    for path in (result.store, result.sweep, result.results, result.overview):
        assert path.parent == Path("demo")
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    assert torch.get_num_threads() == threads


def test_report_and_progress(demo: DemoResult, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as bars:
        again = run_demo(demo.directory, steps=STEPS, seeds=SEEDS, progress=bars)
        assert [task.description for task in bars.tasks] == ["train", "capture", "sweep", "report"]
        assert bars.finished
    out = capsys.readouterr()
    assert (out.out, out.err) == ("", "")

    file = io.StringIO()
    print_report(Console(file=file, width=80), again)
    text = file.getvalue()
    for line in again.summary:
        for mean in line.means:
            assert f"{mean.value:.2f} ({mean.n})" in text
    accuracies = [again.accuracy["cnn", seed][25] for seed in SEEDS]
    assert f"{100 * np.mean(accuracies):.1f}" in text
    for path in (again.report, again.overview, again.results, again.store, again.sweep):
        assert str(path) in text
    assert "6 networks reused" in text
    assert max(map(len, text.replace(str(demo.directory), "").splitlines())) <= 80


def _untouched(*_: object, **__: object) -> None:
    raise AssertionError("the demo started its work")


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastcka.demo.pipeline, "load_split", _untouched)


@pytest.mark.usefixtures("no_work")
def test_a_file_as_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(InputError, match="expected a directory, got the file"):
        run_demo(tmp_path / "demo")
    assert (tmp_path / "demo").read_text() == "mine"
    reason = r"below: cannot be made: Not a directory: .*demo$"
    with pytest.raises(WriteError, match=reason):
        run_demo(tmp_path / "demo" / "below")


@pytest.mark.usefixtures("no_work")
def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"which is not empty and has no demo\.json"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.usefixtures("no_work")
def test_a_demo_with_other_settings_is_refused(copy: Path) -> None:
    before = _files(copy)
    with pytest.raises(InputError, match=r"steps \[0, 4, 25\] there, \[0, 4, 26\] now"):
        run_demo(copy, steps=(0, 4, 26), seeds=SEEDS)
    assert _files(copy) == before


@pytest.mark.usefixtures("no_work")
def test_an_edited_sweep_is_not_overwritten(copy: Path) -> None:
    with (copy / "sweep.yaml").open("a") as file:
        file.write("precision: float64\n")
    with pytest.raises(InputError, match=r"sweep\.yaml was edited after the demo wrote it"):
        run_demo(copy, steps=STEPS, seeds=SEEDS)
    assert "float64" in (copy / "sweep.yaml").read_text()


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("library", ["torch", "sklearn", "matplotlib", "jinja2", "plotly"])
def test_missing_libraries_name_the_extras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library}.*\[torch,report\] extra"):
        run_demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    "arguments",
    [
        {"steps": ()},
        {"steps": (0, -1)},
        {"steps": (0, 2.5)},
        {"steps": (5, 5)},
        {"seeds": ()},
        {"seeds": (1, 1)},
        {"seeds": (-1,)},
        {"seeds": ("0",)},
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, arguments: dict[str, tuple[object, ...]]
) -> None:
    with pytest.raises(InputError, match=next(iter(arguments))):
        run_demo(tmp_path / "demo", **arguments)
    assert not (tmp_path / "demo").exists()
