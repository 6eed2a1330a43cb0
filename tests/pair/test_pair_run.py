"""`fastcka pair` on a small tree: its values, its files and their fields."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
import yaml

import oracle
from checkpoint_trees import checkpoint_folder, cities, values_of, write_checkpoint
from fastcka.errors import FilterError, ImportRefusedError, InputError
from fastcka.pair import load_pair, run_pair
from fastcka.store import import_tree


def read_summary(folder):
    """Read strict JSON: NaN fails."""
    return json.loads((folder / "summary.json").read_text("utf-8"), parse_constant=pytest.fail)


def test_the_files_of_a_pair(pair_config, expected):
    path = pair_config()
    run = run_pair(load_pair(path))
    assert run.output.parts[-2:] == ("pt2-1_vs_pt2-2_seed1", "layer5")
    assert {file.name for file in run.output.iterdir()} == {
        "cka_timeline.csv",
        "summary.json",
        "config.yaml",
    }
    assert [file.name for file in run.output.parent.iterdir()] == ["layer5"]
    # The last step of both models; pt2-2_seed1 has a later one.
    value, kept = expected(200)
    with (run.output / "cka_timeline.csv").open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["step", "cka"]
    assert row[0] == "200"
    assert float(row[1]) == pytest.approx(value, abs=1e-12)
    summary = read_summary(run.output)
    assert summary == run.summary
    numbers = {
        name: summary[name] for name in ("final_cka", "mean_cka", "std_cka", "min_cka", "max_cka")
    }
    assert numbers == pytest.approx(
        {"final_cka": value, "mean_cka": value, "std_cka": 0, "min_cka": value, "max_cka": value},
        abs=1e-12,
    )
    about = {name: summary[name] for name in ("exp1", "exp2", "layer", "n_checkpoints", "n_cities")}
    assert about == {
        "exp1": "pt2-1",
        "exp2": "pt2-2_seed1",
        "layer": 5,
        "n_checkpoints": 1,
        "n_cities": kept,
    }
    steps = [summary[name] for name in ("final_step", "exp1_last_step", "exp2_last_step")]
    assert steps == [200, 200, 300]
    outside = {"outside the filter": 60 - kept}
    assert summary["dropped"] == {"exp1": outside, "exp2": outside}
    assert summary["notes"] == []
    copied = yaml.safe_load((run.output / "config.yaml").read_text("utf-8"))
    assert copied == yaml.safe_load(path.read_text("utf-8"))
    assert load_pair(run.output / "config.yaml") == load_pair(path)


def test_every_common_step(pair_config, expected):
    run = run_pair(load_pair(pair_config(use_final_only=False, city_filter=None)))
    values = [expected(step, keep=lambda city: True)[0] for step in (0, 100, 200)]
    assert [point.step for point in run.result.points] == [0, 100, 200]
    np.testing.assert_allclose([p.cka for p in run.result.points], values, rtol=0, atol=1e-12)
    summary = read_summary(run.output)
    assert (summary["n_checkpoints"], summary["n_cities"]) == (3, 60)
    assert summary["mean_cka"] == pytest.approx(np.mean(values))
    assert summary["std_cka"] == pytest.approx(np.std(values))  # population standard deviation
    assert (summary["min_cka"], summary["max_cka"]) == pytest.approx((min(values), max(values)))
    assert summary["final_cka"] == pytest.approx(values[-1])


def test_a_listed_step_that_is_missing_is_an_error(pair_config):
    run = run_pair(load_pair(pair_config(checkpoint_steps=[100, 0], use_final_only=False)))
    assert [point.step for point in run.result.points] == [0, 100]
    with pytest.raises(InputError, match=r"exp1 has no complete step 300; .* are 0, 100, 200"):
        run_pair(load_pair(pair_config(checkpoint_steps=[300])), overwrite=True)


def test_an_incomplete_checkpoint_is_noted(pair_config, two_models, expected):
    (checkpoint_folder(two_models, "pt2-1", 5, 200) / "representations.pt").unlink()
    run = run_pair(load_pair(pair_config()))
    assert run.summary["final_step"] == 100
    assert run.summary["final_cka"] == pytest.approx(expected(100)[0], abs=1e-12)
    (note,) = run.summary["notes"]
    for text in ("exp1", "checkpoint-200", "representations.pt is missing"):
        assert text in note


def test_a_damaged_checkpoint_is_an_error(pair_config, two_models):
    damaged = checkpoint_folder(two_models, "pt2-1", 5, 200) / "representations.pt"
    damaged.write_bytes(damaged.read_bytes()[:500])
    with pytest.raises(ImportRefusedError, match="checkpoint-200"):
        run_pair(load_pair(pair_config()))


def test_the_folder_final_is_not_a_step(pair_config, two_models):
    folder = checkpoint_folder(two_models, "pt2-1", 5, "final")
    write_checkpoint(folder, values_of("other", 400, 5), cities(), layer=5, step=400)
    run = run_pair(load_pair(pair_config()))
    assert run.summary["final_step"] == 200
    assert "final" in run.summary["notes"][0]


def test_models_with_some_common_ids(pair_config, two_models):
    folder = checkpoint_folder(two_models, "pt2-2_seed1", 5, 200)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    rows = list(range(10, 60))
    write_checkpoint(
        folder,
        values_of("pt2-2_seed1", 200, 5)[rows],
        [cities()[row] for row in rows],
        layer=5,
        step=200,
    )
    run = run_pair(load_pair(pair_config(city_filter="region:^(?!Atlantis).*")))
    kept = [row for row in rows if cities()[row]["region"] != "Atlantis"]
    one, other = (values_of(model, 200, 5)[kept] for model in ("pt2-1", "pt2-2_seed1"))
    assert run.summary["final_cka"] == pytest.approx(oracle.cka(one, other, "biased"), abs=1e-12)
    assert run.summary["n_cities"] == len(kept)
    atlantis = [sum(city["region"] == "Atlantis" for city in cities()[a:]) for a in (0, 10)]
    assert run.summary["dropped"] == {
        "exp1": {
            "outside the filter": atlantis[0],
            "not in the other model": 10 - (atlantis[0] - atlantis[1]),
        },
        "exp2": {"outside the filter": atlantis[1]},
    }
    # A timeline needs the same examples at all steps.
    every = pair_config(city_filter=None, use_final_only=False)
    with pytest.raises(InputError, match=r"step 200: .* 10 are there at one of them only, '1000'"):
        run_pair(load_pair(every), overwrite=True)


def test_a_filter_whose_columns_differ_between_the_models(pair_config, two_models):
    """The columns differ for one example, and one model lacks ten examples."""
    for model, moved in (("pt2-1", []), ("pt2-2_seed1", [30])):
        rows = [row for row in reversed(range(60)) if row >= 10 or model == "pt2-1"]
        write_checkpoint(
            checkpoint_folder(two_models, model, 5, 400),
            values_of(model, 400, 5)[rows],
            [cities()[row] | ({"region": "Atlantis"} if row in moved else {}) for row in rows],
            layer=5,
            step=400,
        )
    keys = {"city_filter": "region:^(?!Atlantis).*", "checkpoint_steps": [400]}
    run = run_pair(load_pair(pair_config(**keys)))
    atlantis = [row for row, city in enumerate(cities()) if city["region"] == "Atlantis"]
    assert 30 not in atlantis
    kept = [row for row in range(10, 60) if row not in (*atlantis, 30)]
    one, other = (values_of(model, 400, 5)[kept] for model in ("pt2-1", "pt2-2_seed1"))
    assert run.summary["final_cka"] == pytest.approx(oracle.cka(one, other, "biased"), abs=1e-12)
    absent = [row for row in range(10) if row not in atlantis]
    assert run.summary["dropped"] == {
        "exp1": {"outside the filter": len(atlantis) + 1, "not in the other model": len(absent)},
        "exp2": {"outside the filter": len([row for row in atlantis if row >= 10]) + 1},
    }


def test_another_order_of_the_rows_at_a_step(pair_config, two_models, expected):
    rows = list(reversed(range(60)))
    folder = checkpoint_folder(two_models, "pt2-1", 5, 100)
    shutil.rmtree(folder)
    write_checkpoint(
        folder, values_of("pt2-1", 100, 5)[rows], [cities()[r] for r in rows], layer=5, step=100
    )
    run = run_pair(load_pair(pair_config(use_final_only=False)))
    values = [expected(step)[0] for step in (0, 100, 200)]
    assert [point.cka for point in run.result.points] == pytest.approx(values, abs=1e-12)


def test_duplicate_ids_are_refused(pair_config, two_models):
    metadata = checkpoint_folder(two_models, "pt2-2_seed1", 5, 200) / "metadata.json"
    fields = json.loads(metadata.read_text())
    fields["city_info"][7]["row_id"] = fields["city_info"][3]["row_id"]
    metadata.write_text(json.dumps(fields))
    with pytest.raises(ImportRefusedError, match="at 3 and at 7"):
        run_pair(load_pair(pair_config()))


def test_ids_of_two_kinds_are_refused(pair_config, two_models):
    metadata = checkpoint_folder(two_models, "pt2-2_seed1", 5, 200) / "metadata.json"
    fields = json.loads(metadata.read_text())
    fields["city_info"] = [row | {"city_id": row["row_id"]} for row in fields["city_info"]]
    metadata.write_text(json.dumps(fields))
    with pytest.raises(InputError, match="exp1 are named by row_id, those of exp2 by city_id"):
        run_pair(load_pair(pair_config()))


@pytest.mark.parametrize("ids", ["row_id", "0 to n-1"])
def test_ids_of_one_model_only_are_refused(pair_config, two_models, ids):
    """Ids that look like positions are no exception."""
    for model in ("pt2-1", "pt2-2_seed1"):
        metadata = checkpoint_folder(two_models, model, 5, 200) / "metadata.json"
        fields = json.loads(metadata.read_text())
        for row, city in enumerate(fields["city_info"]):
            if model == "pt2-2_seed1":
                del city["row_id"]
            elif ids != "row_id":
                city["row_id"] = row
        metadata.write_text(json.dumps(fields))
    expected = (
        r"model 'pt2-2_seed1', step 200, .* has no example ids.*'pt2-1'.* 60 rows, named by id"
    )
    with pytest.raises(InputError, match=expected):
        run_pair(load_pair(pair_config(city_filter=None)))


def test_models_without_ids_in_bfloat16(pair_config, two_models):
    """Without ids, rows are matched by position, and a note reports it."""
    values = []
    for model in ("pt2-1", "pt2-2_seed1"):
        folder = checkpoint_folder(two_models, model, 5, 200)
        metadata = json.loads((folder / "metadata.json").read_text())
        for row in metadata["city_info"]:
            del row["row_id"]
        (folder / "metadata.json").write_text(json.dumps(metadata))
        saved = torch.load(folder / "representations.pt")
        del saved["representations"]
        saved["representations_flat"] = saved["representations_flat"].bfloat16()
        torch.save(saved, folder / "representations.pt")
        values.append(saved["representations_flat"].double().numpy()[30:])
    config = pair_config(city_filter="city_id:^[3-5][0-9]$")
    run = run_pair(load_pair(config))
    assert run.summary["final_cka"] == pytest.approx(oracle.cka(*values, "biased"), abs=1e-12)
    assert run.summary["n_cities"] == 30
    assert run.summary["notes"] == ["the examples have no ids: rows are matched by position"]


def test_a_representation_without_variance(pair_config, two_models):
    folder = checkpoint_folder(two_models, "pt2-1", 5, 200)
    saved = torch.load(folder / "representations.pt")
    for name in ("representations", "representations_flat"):
        saved[name] = torch.full_like(saved[name], 0.1)
    torch.save(saved, folder / "representations.pt")
    run = run_pair(load_pair(pair_config(use_final_only=False)))
    summary = read_summary(run.output)
    assert summary["final_cka"] is None
    assert list(summary["undefined"]) == ["200"]
    assert "exp1: zero variance" in summary["undefined"]["200"]
    assert summary["n_checkpoints"] == 3
    assert summary["mean_cka"] == pytest.approx(np.mean([p.cka for p in run.result.points[:2]]))
    assert (run.output / "cka_timeline.csv").read_text().splitlines()[-1] == "200,nan"
    only = run_pair(load_pair(pair_config()), overwrite=True)
    assert read_summary(only.output)["mean_cka"] is None


def test_a_gaussian_kernel(pair_config, two_models):
    run = run_pair(load_pair(pair_config(kernel_type="rbf", city_filter=None)))
    x, y = (values_of(model, 200, 5).astype(float) for model in ("pt2-1", "pt2-2_seed1"))
    value, widths = oracle.rbf_cka(x, y)
    assert run.summary["final_cka"] == pytest.approx(value, abs=1e-12)
    assert run.summary["bandwidths"] == {"200": pytest.approx(widths)}
    assert run.summary["kernel_type"] == "rbf"
    folder = checkpoint_folder(two_models, "pt2-1", 5, 200)
    saved = torch.load(folder / "representations.pt")
    saved["representations_flat"][:50] = 1  # most examples are equal, so the median distance is 0
    torch.save(saved, folder / "representations.pt")
    undefined = run_pair(load_pair(pair_config(kernel_type="rbf")), overwrite=True)
    assert "exp1: the median distance" in read_summary(undefined.output)["undefined"]["200"]


def test_from_a_store(pair_config, two_models, tmp_path):
    tree = run_pair(load_pair(pair_config()))
    import_tree(two_models, tmp_path / "store")
    sides = {
        f"exp{number}": {"name": name, "repr_dir": str(tmp_path / "store")}
        for number, name in ((1, "pt2-1"), (2, "pt2-2_seed1"))
    }
    stored = run_pair(load_pair(pair_config(**sides)), overwrite=True)
    different = {name for name, value in stored.summary.items() if tree.summary[name] != value}
    assert different <= {"final_cka", "mean_cka", "min_cka", "max_cka"}  # by rounding at most
    assert stored.summary["final_cka"] == pytest.approx(tree.summary["final_cka"], abs=1e-12)
    mixed = run_pair(load_pair(pair_config(exp2=sides["exp2"])), overwrite=True)
    assert mixed.summary == tree.summary
    sides["exp1"]["name"] = "pt2-3"
    with pytest.raises(InputError, match="no model 'pt2-3'"):
        run_pair(load_pair(pair_config(**sides)), overwrite=True)


def test_notes_on_the_device_and_equal_models(pair_config, two_models):
    run = run_pair(load_pair(pair_config(use_gpu=True)))
    assert run.summary["device"] == "cpu"
    assert run.summary["notes"] == ["use_gpu: true, but it was computed on the CPU"]
    one = checkpoint_folder(two_models, "pt2-1", 5, 200)
    twin = checkpoint_folder(two_models, "pt2-9", 5, 200)
    twin.mkdir(parents=True)
    for file in one.iterdir():
        (twin / file.name).write_bytes(file.read_bytes())
    same = run_pair(
        load_pair(pair_config(exp2={"name": "pt2-9", "repr_dir": str(twin.parent)})),
        overwrite=True,
    )
    assert "same values" in same.summary["notes"][0]


def test_pairs_that_cannot_be_compared(pair_config, two_models):
    with pytest.raises(FilterError, match="unknown field 'regoin'; did you mean region"):
        run_pair(load_pair(pair_config(city_filter="regoin:^A")))
    nothing = r"^city_filter: the filter .* keeps no example of the pair at step 200"
    with pytest.raises(FilterError, match=nothing):
        run_pair(load_pair(pair_config(city_filter="region:Mu")))
    few = r"at least 2 examples, and the pair at step 200 has 1 \(without 59 outside the filter\)"
    with pytest.raises(InputError, match=few):
        run_pair(load_pair(pair_config(city_filter="city_id:^1000$")))
    with pytest.raises(InputError, match="of layer 5, the configuration says layer: 6"):
        run_pair(load_pair(pair_config(layer=6)))
    folder = checkpoint_folder(two_models, "pt2-1", 5, 0).parent
    side = {"name": "b", "repr_dir": str(folder)}
    with pytest.raises(InputError, match="same representations"):
        run_pair(load_pair(pair_config(exp2=side)))
    side = {"name": "b", "repr_dir": str(folder.parent)}
    with pytest.raises(InputError, match=r"did you mean .*/representations\?"):
        run_pair(load_pair(pair_config(exp2=side)))
    side = {"name": "b", "repr_dir": str(folder / "absent")}
    with pytest.raises(InputError, match="absent cannot be read: No such file"):
        run_pair(load_pair(pair_config(exp2=side)))


def test_a_slow_pattern_is_stopped(pair_config, two_models):
    metadata = checkpoint_folder(two_models, "pt2-1", 5, 200) / "metadata.json"
    fields = json.loads(metadata.read_text())
    fields["city_info"][0]["name"] = "a" * 40 + "!"
    metadata.write_text(json.dumps(fields))
    with pytest.raises(FilterError, match="too much time"):
        run_pair(load_pair(pair_config(city_filter="name:^(a|aa|a?b?a)+$")))


def test_models_without_a_common_step_are_refused(pair_config, two_models):
    for step in (0, 100, 200):
        checkpoint_folder(two_models, "pt2-1", 5, step).rename(
            checkpoint_folder(two_models, "pt2-1", 5, step + 1)
        )
    with pytest.raises(InputError, match="no step in common: the last of exp1 is 201"):
        run_pair(load_pair(pair_config()))


def test_the_plot(pair_config):
    pytest.importorskip("matplotlib")
    run = run_pair(load_pair(pair_config(save_timeline_plot=True, use_final_only=False)))
    assert (run.output / "cka_timeline.png").read_bytes().startswith(b"\x89PNG")
