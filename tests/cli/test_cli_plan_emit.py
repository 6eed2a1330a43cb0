"""``fastcka plan --emit-configs`` and ``--emit-scripts``: the files and the output."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from checkpoint_trees import checkpoint_folder, write_model
from fastcka.pair import load_pair
from fastcka.store import import_tree


@pytest.fixture
def sweep(tmp_path):
    for model in ("pt2-1", "pt2-2", "pt2-3"):
        write_model(tmp_path / "tree", model)
    import_tree(tmp_path / "tree", tmp_path / "store")
    compare = {"within": ["layer"], "steps": "final_common"}
    path = tmp_path / "seeds.yaml"
    path.write_text(yaml.safe_dump({"store": "store", "output": "out", "compare": compare}))
    return path


def test_configurations_and_scripts(call, strict_json, sweep, tmp_path):
    scripts = tmp_path / "scripts"
    done = call("plan", sweep, "--emit-scripts", scripts, "--chunks", 4)
    assert done.exit_code == 0
    assert f"{scripts / 'configs'} (6)" in done.stdout
    names = [f"run_seeds_chunk{chunk}.sh" for chunk in (1, 2, 3, 4)]
    for name in (*names, "run_seeds_4chunks_parallel.sh"):
        assert str(scripts / name) in done.stdout
        assert (scripts / name).is_file()
    listed = [(scripts / name).read_text().count(".yaml ") for name in names]
    assert sorted(listed) == [1, 1, 2, 2]
    configs = {path.name: load_pair(path) for path in (scripts / "configs").iterdir()}
    assert len(configs) == 6
    one = configs["pt2-1_vs_pt2-3_layer4.yaml"]
    assert one.exp2.repr_dir == checkpoint_folder(tmp_path / "tree", "pt2-3", 4, 0).parent
    assert one.use_final_only

    answer = strict_json(
        call("plan", sweep, "--emit-configs", tmp_path / "configs", "--json").stdout
    )
    assert answer["emitted"] == {
        "configs": str(tmp_path / "configs"),
        "n_pairs": 6,
        "n_from_store": 0,
        "scripts": [],
    }
    assert len(list((tmp_path / "configs").iterdir())) == 6
    assert "emitted" not in strict_json(call("plan", sweep, "--json").stdout)


def test_a_pair_then_the_sweep(call, sweep, tmp_path):
    """Results of `fastcka pair` in the output of the sweep do not stop the sweep."""
    call("plan", sweep, "--emit-configs", tmp_path / "configs")
    config = next(Path(tmp_path / "configs").iterdir())
    assert call("pair", config).exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pairs"]
    done = call("run", sweep)
    assert done.exit_code == 0, done.stderr


def test_wrong_calls(call, sweep, tmp_path):
    for options in (("--chunks", 2), ("--emit-scripts", tmp_path / "scripts")):
        done = call("plan", sweep, *options)
        assert done.exit_code == 2
        assert "expected both or neither" in done.stderr
    done = call("plan", sweep, "--emit-configs", tmp_path / "tree")
    assert done.exit_code == 2
    assert "--emit-configs: " in done.stderr
    assert "choose an empty or a new folder" in done.stderr
    for document in ({"compare": {"steps": "final_common"}}, {"export": "pairs"}):
        text = yaml.safe_load(sweep.read_text()) | {"compare": {"steps": "final_common"}}
        sweep.write_text(yaml.safe_dump(text | document))
        done = call("plan", sweep, "--emit-configs", tmp_path / "configs")
        assert done.exit_code == 2
        assert "of two layers" in done.stderr or "with itself" in done.stderr
        assert not (tmp_path / "configs").exists()
