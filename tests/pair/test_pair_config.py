"""The keys of a pair's configuration, typed strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastcka.errors import PairConfigError
from fastcka.pair import PairConfig, load_pair

# A complete configuration of a study.
SAMPLE = """\
exp1:
  name: pt2-1
  repr_dir: data/pt2-1/analysis_higher/distance_firstcity_last_and_trans_l5/representations
  task: distance
exp2:
  name: pt2-2_seed1
  repr_dir: data/pt2-2_seed1/analysis_higher/angle_firstcity_last_and_trans_l5/representations
  task: angle
layer: 5
checkpoint_steps: null
use_final_only: true
city_filter: region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$
kernel_type: linear
center_kernels: true
use_gpu: true
save_timeline_plot: false
output_dir: data/cka_analysis/pt2-1_vs_pt2-2_seed1/layer5
"""


@pytest.fixture
def loaded(tmp_path):
    def load(text):
        path = tmp_path / "pair.yaml"
        path.write_text(text)
        return load_pair(path)

    return load


def test_the_sample_is_read(loaded):
    config = loaded(SAMPLE)
    assert (config.exp2.name, config.exp2.task) == ("pt2-2_seed1", "angle")
    assert config.checkpoint_steps is None
    assert config.use_final_only
    assert config.city_filter == "region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$"
    # Relative to the working directory, from which the scripts run the configurations.
    assert config.output_dir == Path("data/cka_analysis/pt2-1_vs_pt2-2_seed1/layer5")


def test_the_sample_is_written_unchanged(loaded):
    assert loaded(SAMPLE).to_yaml() == SAMPLE


def test_a_configuration_survives_writing_and_reading(loaded):
    config = PairConfig.model_validate(
        {
            "exp1": {"name": "no", "repr_dir": "/a b/ü: c"},
            "exp2": {"name": "0123", "repr_dir": "/" + "long folder/" * 40, "task": "1e-3"},
            "layer": "blocks.3",
            "checkpoint_steps": [328125, 0],
            "city_filter": "id:^#'\"$",
            "output_dir": "null",
        }
    )
    assert config.checkpoint_steps == (0, 328125)
    assert "checkpoint_steps: [0, 328125]\n" in config.to_yaml()
    assert "task: null" not in config.to_yaml()
    assert loaded(config.to_yaml()) == config


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("kernel_type: linear", "kernel_type: poly", "kernel_type: expected 'linear' or 'rbf'"),
        ("center_kernels: true", "center_kernels: false", "center_kernels: expected true"),
        ("use_gpu: true", "use_gpu: 1", "use_gpu: Input should be a valid boolean"),
        ("layer: 5", "layer: 5.0", "layer: expected the number of a layer"),
        ("layer: 5", "layer: true", "layer: expected the number of a layer"),
        ("layer: 5\n", "", "layer: missing"),
        ("checkpoint_steps: null", "checkpoint_steps: []", "checkpoint_steps: expected null"),
        ("checkpoint_steps: null", "checkpoint_steps: [1, 1]", "distinct steps"),
        ("checkpoint_steps: null", "checkpoint_steps: [x]", "got the list ['x']"),
        ("use_final_only", "use_final", "use_final: unknown key; did you mean use_final_only?"),
        ("  task: angle", "  tasks: angle", "exp2.tasks: unknown key; did you mean task?"),
        ("  name: pt2-1\n", "  name: 21\n", "exp1.name: Input should be a valid string"),
        ("city_filter: region:", "city_filter: region", "city_filter: filter "),
        ("[0-9]{3,}$", "[0-9", "city_filter: filter term"),
        ("output_dir: ", "output_dir: ''\n#", "output_dir: expected a path"),
    ],
)
def test_wrong_values_are_refused(loaded, old, new, expected):
    assert old in SAMPLE
    with pytest.raises(PairConfigError) as caught:
        loaded(SAMPLE.replace(old, new, 1))
    assert expected in str(caught.value)
    assert str(caught.value).count("pair.yaml") >= 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PairConfigError, match=r"none\.yaml: cannot be read"):
        load_pair(tmp_path / "none.yaml")
