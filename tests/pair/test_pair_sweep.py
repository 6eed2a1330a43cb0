"""A sweep as pairs: configurations, scripts and folders of results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import oracle
from checkpoint_trees import checkpoint_folder, cities, values_of, write_checkpoint
from fastcka.errors import InputError, SweepError
from fastcka.pair import load_pair, run_pair
from fastcka.pair.emit import emit_pairs
from fastcka.pair.export import write_export
from fastcka.pair.planned import planned_pairs
from fastcka.pair.scripts import divided
from fastcka.store import create_store, import_tree, open_store
from fastcka.sweep import load_sweep, plan_sweep, run_sweep
from fastcka.sweep.ledger.ledger import Ledger

FILTER = "region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$"
SEEDS = ("orig", 1, 2)
VARIANTS = (2, 10, 3)  # the store sorts 10 before 2; a pair puts 2 first


def name_of(variant, seed):
    return f"pt2-{variant}" + ("" if seed == "orig" else f"_seed{seed}")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Write and import a tree of 9 models, 2 layers and 2 steps; return its folder."""
    folder = tmp_path_factory.mktemp("pairs")
    factors = {}
    for variant in VARIANTS:
        for seed in SEEDS:
            model = name_of(variant, seed)
            factors[model] = {"family": "pt2", "variant": variant, "seed": seed}
            order = np.random.default_rng([variant, len(model)]).permutation(60)
            for layer in (3, 4):
                for step in (0, 100):
                    write_checkpoint(
                        checkpoint_folder(folder / "tree", model, layer, step, prompt="angle"),
                        values_of(model, step, layer)[order],
                        [cities()[row] for row in order],
                        layer=layer,
                        step=step,
                        metadata={"prompt_format": "angle"},
                    )
    (folder / "models.yaml").write_text(yaml.safe_dump(factors))
    import_tree(folder / "tree", folder / "store", models=folder / "models.yaml")
    return folder


@pytest.fixture
def sweep(world, tmp_path):
    """Return a function that writes a sweep of 18 pairs with changed ``keys``."""

    def load(name="exp2_seed_cka", **keys):
        compare = {
            "within": ["family", "layer"],
            "differ": ["variant", "seed"],
            "ascending": ["variant", "seed"],
            "order": {"seed": list(SEEDS)},
            "steps": "final_each",
        }
        document = {
            "store": str(world / "store"),
            "output": "out",
            "examples": FILTER,
            "compare": compare | keys.pop("compare", {}),
            "export": "pairs",
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document | keys))
        return path

    return load


def pairs_of(path):
    plan = plan_sweep(load_sweep(path))
    with open_store(plan.config.store) as store:
        return plan, planned_pairs(plan, store)


def expected(one, other, layer, step):
    rows = [
        row
        for row, city in enumerate(cities())
        if city["region"] != "Atlantis" and city["row_id"] >= 1000
    ]
    x, y = (values_of(model, step, layer)[rows] for model in (one, other))
    return oracle.cka(x, y, "biased"), len(rows)


def test_the_configurations(sweep, world, tmp_path):
    plan, pairs = pairs_of(sweep())
    names = [
        f"{name_of(i, s)}_vs_{name_of(j, t)}/layer{layer}"
        for layer in (3, 4)
        for i, j in ((2, 3), (2, 10), (3, 10))
        for s, t in (("orig", 1), ("orig", 2), (1, 2))
    ]
    assert plan.comparisons == len(names)
    assert sorted(pair.folder for pair in pairs) == sorted(names)
    (pair,) = (planned for planned in pairs if planned.folder == "pt2-2_vs_pt2-10_seed1/layer3")
    assert pair.file_name == "pt2-2_vs_pt2-10_seed1_layer3.yaml"
    folders = [
        checkpoint_folder(world / "tree", m, 3, 0, prompt="angle").parent
        for m in ("pt2-2", "pt2-10_seed1")
    ]
    assert yaml.safe_load(pair.config.to_yaml()) == {
        "exp1": {"name": "pt2-2", "repr_dir": str(folders[0]), "task": "angle"},
        "exp2": {"name": "pt2-10_seed1", "repr_dir": str(folders[1]), "task": "angle"},
        "layer": 3,
        "checkpoint_steps": None,
        "use_final_only": True,
        "city_filter": FILTER,
        "kernel_type": "linear",
        "center_kernels": True,
        "use_gpu": False,
        "save_timeline_plot": False,
        "output_dir": str(tmp_path / "out" / "pairs" / pair.folder),
    }


@pytest.mark.parametrize(
    ("steps", "listed", "final", "compared"),
    [
        ("final_common", None, True, [100]),
        ("all", None, False, [0, 100]),
        ([0], [0], False, [0]),
    ],
)
def test_the_steps(sweep, steps, listed, final, compared):
    within = ["layer", "step"]
    _, pairs = pairs_of(sweep(compare={"steps": steps, "within": within}))
    keys = yaml.safe_load(pairs[0].config.to_yaml())
    assert (keys["checkpoint_steps"], keys["use_final_only"]) == (listed, final)
    assert len(pairs) == 18
    assert [cell.step for cell in pairs[0].cells] == compared


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        ({"within": ["family"]}, "of two layers"),
        ({"within": ["layer"], "steps": "all"}, "at two steps"),
        ({"within": ["model"], "differ": ["layer"], "ascending": [], "order": {}}, "with itself"),
    ],
)
def test_comparisons_that_are_not_pairs_are_refused(sweep, compare, expected):
    with pytest.raises(SweepError, match=expected):
        pairs_of(sweep(compare=compare))


def exported(path):
    """Run the sweep; return folder -> (summary, csv, config) of each pair."""
    result = run_sweep(path)
    folders = {}
    for summary in (result.output / "pairs").glob("*/*/summary.json"):
        folder = summary.parent
        folders["/".join(folder.parts[-2:])] = (
            json.loads(summary.read_text(), parse_constant=pytest.fail),
            (folder / "cka_timeline.csv").read_text(),
            (folder / "config.yaml").read_text(),
        )
    return folders


@pytest.mark.parametrize(
    "compare",
    [{}, {"steps": "all", "within": ["layer", "step"]}],
    ids=["final_each", "all"],
)
def test_the_export_equals_the_runs_of_single_pairs(sweep, tmp_path, compare, no_figures):
    path = sweep(compare=compare)
    _, pairs = pairs_of(path)
    written = exported(path)
    assert set(written) == {pair.folder for pair in pairs}
    for pair in pairs[::5]:
        summary, table, text = written[pair.folder]
        run = run_pair(pair.config, overwrite=True)
        assert run.output == tmp_path / "out" / "pairs" / pair.folder
        assert (run.output / "config.yaml").read_text() == text
        assert summary.keys() == run.summary.keys()
        for name, value in summary.items():
            if name.endswith("_cka"):
                assert value == pytest.approx(run.summary[name], abs=1e-6)
            elif name != "program":
                assert value == run.summary[name], name
        dropped = [sum(summary["dropped"][side].values()) for side in ("exp1", "exp2")]
        assert dropped == [60 - summary["n_cities"]] * 2
        rows = [line.split(",") for line in table.splitlines()]
        assert rows[0] == ["step", "cka"]
        assert [int(step) for step, _ in rows[1:]] == [cell.step for cell in pair.cells]
        for (step, cka), point in zip(rows[1:], run.result.points, strict=True):
            names = summary["exp1"], summary["exp2"], summary["layer"]
            value, n_examples = expected(*names, int(step))
            assert point.cka == pytest.approx(value, abs=1e-12)
            assert float(cka) == pytest.approx(value, abs=1e-6)
            assert summary["n_cities"] == n_examples


def test_a_second_sweep_keeps_pairs_that_were_run_separately(sweep, tmp_path, no_figures):
    both = exported(sweep())
    pairs = tmp_path / "out" / "pairs"
    by_hand = pairs / "pt2-2_vs_pt2-3_seed1" / "layer4"
    (pair,) = (planned for planned in pairs_of(sweep())[1] if planned.config.output_dir == by_hand)
    run_pair(pair.config, overwrite=True)
    stamps = {path: path.stat().st_mtime_ns for path in pairs.glob("*/layer3/*")}
    left = exported(sweep(select={"layer": ["3"]}))
    assert set(left) == {name for name in both if name.endswith("layer3")} | {
        "pt2-2_vs_pt2-3_seed1/layer4"
    }
    # Unchanged files are not written again.
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_a_pair_of_a_failed_group_has_no_folder(sweep, tmp_path, no_figures):
    path = sweep(compare={"steps": "all", "within": ["layer", "step"]})
    everything = exported(path)
    plan, _ = pairs_of(path)
    failed = {group.position for group in plan.groups if group.fields == {"layer": "3", "step": 0}}
    assert len(failed) == 1
    with open_store(plan.config.store) as store, Ledger(tmp_path / "out/ledger.sqlite") as ledger:
        assert write_export(plan, store, ledger, failed) == 9
    left = {"/".join(path.parts[-3:-1]) for path in tmp_path.glob("out/pairs/*/*/summary.json")}
    assert left == {name for name in everything if name.endswith("layer4")}


def test_without_the_tree_the_store_is_read(sweep, world):
    (world / "tree").rename(world / "elsewhere")
    try:
        _, pairs = pairs_of(sweep())
        pair = pairs[0]
        assert pair.config.exp1.repr_dir == world / "store"
        assert pair.config.exp1.task is None
        run = run_pair(pair.config)
    finally:
        (world / "elsewhere").rename(world / "tree")
    value, _ = expected(run.summary["exp1"], run.summary["exp2"], run.summary["layer"], 100)
    assert run.summary["final_cka"] == pytest.approx(value, abs=1e-12)


def test_an_undefined_value_is_null_with_the_reason(tmp_path, rng, no_figures):
    with create_store(tmp_path / "store") as store:
        for step in (0, 1):
            flat = np.full((9, 3), 0.5) if step else rng.normal(size=(9, 3))
            store.write(model="a", step=step, layers={"5": flat})
            store.write(model="b", step=step, layers={"5": rng.normal(size=(9, 3))})
    path = tmp_path / "sweep.yaml"
    path.write_text("{store: store, output: out, compare: {within: [step]}, export: pairs}")
    ((name, (summary, table, _)),) = exported(path).items()
    assert name == "a_vs_b/layer5"
    assert summary["final_cka"] is None
    assert summary["mean_cka"] == summary["max_cka"] > 0
    assert list(summary["undefined"]) == ["1"]
    assert summary["undefined"]["1"].startswith("exp1: zero variance")
    assert table.splitlines()[-1] == "1,nan"


def test_two_pairs_with_one_folder_are_refused(tmp_path, rng):
    with create_store(tmp_path / "store") as store:
        for model in ("a/b", "a-b", "c"):
            store.write(model=model, step=0, layers={"x": rng.normal(size=(9, 3))})
    path = tmp_path / "sweep.yaml"
    path.write_text("{store: store, output: out, compare: {}, select: {model: [a/b, c]}}")
    _, (pair,) = pairs_of(path)
    assert pair.folder == "a-b_vs_c/layerx"
    assert run_pair(pair.config).summary["layer"] == "x"
    path.write_text("{store: store, output: out2, compare: {}}")
    with pytest.raises(SweepError, match=r"folder a-b_vs_c/layerx: .* rename a model"):
        pairs_of(path)


def test_divided_evenly_and_by_cost():
    parts = divided([1] * 252, 4)
    assert [len(part) for part in parts] == [63] * 4
    assert sorted(index for part in parts for index in part) == list(range(252))
    costs = np.random.default_rng(0).integers(1, 100, size=250).tolist()
    parts = divided(costs, 4)
    assert sorted(map(len, parts)) == [62, 62, 63, 63]
    assert sorted(index for part in parts for index in part) == list(range(250))
    # By hand: 8 and 7 start the parts, then each cost goes to the cheaper part.
    costs = [8, 7, 6, 5, 4, 3, 2, 1]
    assert divided(costs, 2) == [[0, 3, 4, 7], [1, 2, 5, 6]]
    assert [sum(costs[index] for index in part) for part in divided(costs, 2)] == [18, 18]


def test_configurations_are_written_once(sweep, tmp_path):
    plan, pairs = pairs_of(sweep())
    emitted = emit_pairs(plan, tmp_path / "configs")
    assert (emitted.n_pairs, emitted.n_from_store, emitted.scripts) == (18, 0, ())
    files = sorted((tmp_path / "configs").iterdir())
    assert [file.name for file in files] == sorted(pair.file_name for pair in pairs)
    assert [load_pair(file) for file in files] == [
        pair.config for pair in sorted(pairs, key=lambda pair: pair.file_name)
    ]
    with pytest.raises(InputError, match=r"--emit-configs: .* something else"):
        emit_pairs(plan, tmp_path / "configs")
    with pytest.raises(InputError, match="--chunks: expected 1 to 18"):
        emit_pairs(plan, tmp_path / "s" / "configs", scripts=tmp_path / "s", chunks=19)
    assert not (tmp_path / "s").exists()


def bash(script, *options, **variables):
    return subprocess.run(
        ["bash", str(script), *options],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | variables,
        check=False,
    )


@pytest.fixture
def command(tmp_path):
    """Write a command `fastcka` in a folder with a space in its name; return the PATH to it."""
    folder = tmp_path / "bin of mine"
    folder.mkdir()
    path = folder / "fastcka"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -m fastcka "$@"\n')
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_the_scripts_run(sweep, tmp_path, command, world):
    path = sweep(name="exp2 seed_cka", select={"variant": [2, 3], "layer": ["3"]})
    plan, pairs = pairs_of(path)
    assert len(pairs) == 3
    folder = tmp_path / "my scripts"
    emitted = emit_pairs(plan, folder / "configs", scripts=folder, chunks=2, name=path.stem)
    first, second, both = emitted.scripts
    assert [script.name for script in emitted.scripts] == [
        "run_exp2_seed_cka_chunk1.sh",
        "run_exp2_seed_cka_chunk2.sh",
        "run_exp2_seed_cka_2chunks_parallel.sh",
    ]
    for script in emitted.scripts:
        assert "set -euo pipefail" in script.read_text()
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0

    done = bash(first, **command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "chunk 1 of 2: 2 pairs: 2 computed, 0 there before, 0 failed, 0 not" in done.stdout
    done = bash(both, **command)  # continues with the missing pair
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 computed, 2 there before" in done.stdout
    assert "1 computed, 0 there before" in done.stdout
    assert "2 of 2 parts without failures" in done.stdout
    results = {}
    for pair in pairs:
        summary = json.loads((pair.config.output_dir / "summary.json").read_text())
        results[pair.folder] = summary["final_cka"]
        value, _ = expected(summary["exp1"], summary["exp2"], 3, 100)
        assert summary["final_cka"] == pytest.approx(value, abs=1e-12)
    log = folder / "logs" / "chunk1" / f"{Path(pairs[0].file_name).stem}.log"
    assert "CKA at step 100" in log.read_text()

    # A failed pair is named with its reason and does not stop the others.
    broken = checkpoint_folder(world / "tree", pairs[0].config.exp1.name, 3, 100, prompt="angle")
    (broken / "metadata.json").rename(broken / "away")
    (broken.parent / "checkpoint-0").rename(broken.parent / "not-0")
    try:
        done = bash(both, "--overwrite", **command)
    finally:
        (broken / "away").rename(broken / "metadata.json")
        (broken.parent / "not-0").rename(broken.parent / "checkpoint-0")
    assert done.returncode == 1
    model = pairs[0].config.exp1.name
    named = [pair for pair in pairs if model in (pair.config.exp1.name, pair.config.exp2.name)]
    failures = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert len(failures) == len(named)
    assert all("metadata.json is missing" in line for line in failures)
    for pair in pairs:  # the earlier results are kept
        summary = json.loads((pair.config.output_dir / "summary.json").read_text())
        assert summary["final_cka"] == results[pair.folder]

    missing = bash(second, FASTCKA="no-such-command")
    assert missing.returncode == 127
    assert "set FASTCKA" in missing.stderr
