"""sweep.yaml: accepted values, and the messages of refusals."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fastcka.errors import FastckaError, SweepError
from fastcka.sweep import SweepConfig, load_sweep

MINIMAL = "store: s\noutput: o\ncompare: {within: [layer], differ: [seed]}\n"


def _refusal(tmp_path, text):
    path = tmp_path / "sweep.yaml"
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(SweepError) as caught:
        load_sweep(path)
    assert isinstance(caught.value, FastckaError)
    message = str(caught.value)
    assert message.startswith(str(path))
    return message.removeprefix(f"{path}: ")


def test_defaults_and_paths_relative_to_the_file(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "sweep.yaml").write_text(MINIMAL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config = load_sweep("elsewhere/sweep.yaml")
    assert config.store == folder / "s"
    assert config.output == folder / "o"
    assert (config.estimator, config.device, config.precision) == ("unbiased", "auto", "high")
    assert config.compare.steps == "all"
    assert config.select == {}


def test_absolute_paths_stay(tmp_path):
    (tmp_path / "sweep.yaml").write_text(MINIMAL.replace("o\n", "/srv/o\n"), encoding="utf-8")
    assert str(load_sweep(tmp_path / "sweep.yaml").output) == "/srv/o"


def test_a_single_selected_value_is_read_as_a_list(tmp_path):
    text = MINIMAL + "select: {seed: orig, step: [0, 100], lr: 1.0e-3, deep: true}\n"
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    select = load_sweep(tmp_path / "sweep.yaml").select
    assert select == {"seed": ["orig"], "step": [0, 100], "lr": [0.001], "deep": [True]}
    assert [type(values[0]) for values in select.values()] == [str, int, float, bool]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            MINIMAL + "estimater: biased",
            "estimater: unknown field; did you mean estimator? (allowed: store,",
        ),
        (
            "store: s\noutput: o\ncompare: {withn: [layer]}",
            "compare.withn: unknown field; did you mean within? (allowed: within, differ, same, ",
        ),
        ("output: o\ncompare: {}", "store: missing; expected the folder of the representation"),
        ("store: s\noutput: o", "compare: missing; expected a mapping with within"),
        ("store: [s]\noutput: o\ncompare: {}", "store: expected a path; got the list ['s']"),
        (
            MINIMAL + "estimator: debiased",
            "'biased', 'unbiased' or 'feature_corrected'; got the text 'debiased'",
        ),
        (
            MINIMAL + "inference: {alternative: less}",
            "inference: alternative: expected one of two-sided, greater; got 'less'",
        ),
        (
            MINIMAL + "inference: {fold: 3}",
            "inference: expected alternative, level, folds or blocks, got the key 'fold'",
        ),
        (MINIMAL + "inference: yes please", "inference: expected true, false or a mapping with"),
        (
            MINIMAL + "device: gpu",
            "device: expected 'auto', 'cpu', 'cuda', 'cuda:<number>' or 'cuda:all'; got",
        ),
        (MINIMAL + "select: [seed]", "select: expected a mapping; got the list ['seed']"),
        (MINIMAL + "select: {seed: []}", "select.seed: expected one value or a list of values"),
        (
            MINIMAL + "select: {seed: }",
            "select.seed: expected one value or a list of values; got nothing",
        ),
        (MINIMAL + "select: {seed: [.inf]}", "select.seed[0]: expected a text, a finite number"),
        (MINIMAL + "select: {day: [2024-05-06]}", "got `2024-05-06`, which YAML reads as a date"),
        (MINIMAL + "exclude: {seed: []}", "exclude.seed: expected one value or a list of values"),
        (MINIMAL + "exclude: [seed]", "exclude: expected a mapping; got the list ['seed']"),
        (MINIMAL + "examples: region", "examples: filter 'region': expected field:pattern terms"),
        (MINIMAL + "examples: 'id:('", "not a regular expression"),
        (MINIMAL + "examples: [id:a]", "examples: expected a filter, field:pattern terms joined"),
        (MINIMAL + "export: csv", "export: expected 'pairs'; got the text 'csv'"),
        (
            "store: s\noutput: o\ncompare: {order: [1, 2]}",
            "compare.order: expected a mapping; got the list [1, 2]",
        ),
        ("store: s\noutput: o\ncompare: {order: {seed: []}}", "compare.order.seed: expected one"),
        ("store: s\noutput: o\ncompare: {left: seed}", "compare.left: expected a mapping; got"),
        ("store: s\noutput: o\ncompare: {disjoint: 3}", "compare.disjoint: expected field names"),
        (
            "store: s\noutput: o\ncompare: {steps: {nearest: {step: 1}}}",
            "compare.steps: expected 'all', 'final_each', 'final_common', 'all_common', a list of",
        ),
        ("store: s\noutput: o\ncompare: {steps: {fraction: 2}}", "{fraction: F} with F from 0 to"),
        (
            "store: s\noutput: o\ncompare: {within: 3}",
            "compare.within: expected field names",
        ),
        ("store: s\noutput: o\ncompare: {within: [layer, layer]}", "expected each field once"),
        ("store: s\noutput: o\ncompare: [layer]", "compare: expected a mapping; got the list"),
        ("store: s\noutput: o\ncompare: {steps: last}", "'final_common', 'all_common', a list"),
        ("store: s\noutput: o\ncompare: {steps: [1, 1]}", "distinct whole numbers >= 0"),
        ("store: s\noutput: o\ncompare: {steps: [-1]}", "distinct whole numbers >= 0"),
        ("store: s\noutput: o\ncompare: {steps: [true]}", "distinct whole numbers >= 0"),
        ("store: s\noutput: o\ncompare: {steps: []}", "distinct whole numbers >= 0"),
        ("store: s\noutput: o\ncompare: {steps: [1e3]}", "distinct whole numbers >= 0"),
        ("store: s\nstore: t\noutput: o", "line 2: the key 'store' appears twice"),
        (MINIMAL + "select: {seed: 1, seed: 2}", "line 4: select: the key 'seed' appears twice"),
        ("store: &here s\noutput: *here", "line 1: `&here`: anchors and aliases are not allowed"),
        ("store: s\n<<: {output: o}", "line 2: `<<` is not allowed"),
        (
            MINIMAL + "select: {no: [1]}",
            "select: expected text as a key, got `no`, which YAML reads as the boolean false",
        ),
        ("- store", "expected a mapping (field: value lines), got a list"),
        ("sweep", "expected a mapping (field: value lines), got one value"),
        ("", "expected a mapping (field: value lines), got an empty file"),
        ("store: [", "not valid YAML"),
        ("store: s\n---\nstore: t", "not valid YAML"),
        ("store: !!python/object/apply:os.system [id]", "not valid YAML"),
        ("store: 2024-13-45", "not valid YAML"),
        (b"store: \xff", "not UTF-8 text (byte 7)"),
        ("[" * 5_000, "nested too deeply"),
        ("# " + "x" * (1 << 20), "expected at most 1048576 bytes"),
    ],
)
def test_an_error_names_the_file_the_field_and_the_remedy(tmp_path, text, expected):
    assert expected in _refusal(tmp_path, text)


def test_one_error_lists_all_wrong_fields(tmp_path):
    message = _refusal(tmp_path, "output: o\ncompare: {steps: x}\nprecison: high\n")
    first, *problems = message.splitlines()
    assert first == "3 problems:"
    assert [line.split(":")[0] for line in problems] == ["  store", "  compare.steps", "  precison"]


def test_a_missing_file(tmp_path):
    with pytest.raises(SweepError, match=r"none\.yaml: cannot be read: No such file"):
        load_sweep(tmp_path / "none.yaml")


def test_a_config_made_in_python_is_as_strict():
    with pytest.raises(ValidationError, match="estimator"):
        SweepConfig(store="s", output="o", compare={"within": ["layer"]}, estimator="x")
    config = SweepConfig(store="s", output="o", compare={"within": ["layer"], "steps": (0, 1)})
    assert config.compare.steps == (0, 1)


def test_a_single_field_or_step_is_read_as_a_list(tmp_path):
    text = "store: s\noutput: o\ncompare: {within: layer, differ: seed, steps: 100}\n"
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    compare = load_sweep(tmp_path / "sweep.yaml").compare
    assert (compare.within, compare.differ, compare.steps) == (("layer",), ("seed",), (100,))
    assert "compare.steps: expected" in _refusal(tmp_path, text.replace("100", "true"))
    assert "compare.steps: expected" in _refusal(tmp_path, text.replace("100", "-1"))


def test_every_field_of_a_study(tmp_path):
    text = """
store: s
output: o
select: {family: [pt2, pt3]}
exclude: {variant: 3, seed: 2}
examples: region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$
compare:
  within: [family, layer]
  same: status
  differ: [seed]
  disjoint: [tasks]
  overlapping: [countries]
  ascending: [variant, seed]
  order: {seed: [orig, 1, 2]}
  left: {variant: 1}
  right: {}
  steps: {nearest: {step: 328130, tolerance: 16}}
export: pairs
"""
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    config = load_sweep(tmp_path / "sweep.yaml")
    assert config.exclude == {"variant": [3], "seed": [2]}
    assert config.examples == "region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$"
    assert config.export == "pairs"
    compare = config.compare
    assert (compare.same, compare.disjoint, compare.overlapping) == (
        ("status",),
        ("tasks",),
        ("countries",),
    )
    assert (compare.ascending, compare.order) == (("variant", "seed"), {"seed": ["orig", 1, 2]})
    assert (compare.left, compare.right) == ({"variant": [1]}, {})
    assert compare.model_dump(mode="json")["steps"] == {
        "nearest": {"step": 328130, "tolerance": 16}
    }
    plain = SweepConfig(store="s", output="o", compare={})
    assert (plain.exclude, plain.examples, plain.export) == ({}, None, None)
    assert (plain.compare.left, plain.compare.right, plain.compare.order) == (None, None, {})


def test_paths_are_normalised(tmp_path):
    text = f"store: ../{tmp_path.name}/s\noutput: ./x/../o\ncompare: {{}}\n"
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    config = load_sweep(tmp_path / "sweep.yaml")
    assert (str(config.store), str(config.output)) == (f"{tmp_path}/s", f"{tmp_path}/o")
