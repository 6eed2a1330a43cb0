"""The cells and files of the results, and the folder that contains them."""

from __future__ import annotations

import csv
import fcntl
import json
import os

import numpy as np
import pytest

from fastcka import Comparison
from fastcka.errors import LedgerError, SweepConfigError, SweepError
from fastcka.stats import read_results
from fastcka.store import create_store
from fastcka.sweep import plan_sweep, run_sweep
from fastcka.sweep.ledger.values import GroupValues
from fastcka.sweep.results.exports import undefined_reasons
from fastcka.sweep.results.table import cell, uncell


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=cmd|'/c calc'!A1", "'=cmd|'/c calc'!A1"),
        ("+1", "'+1"),
        ("-model", "'-model"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("'=1", "''=1"),
        ("it's", "it's"),
        ("plain", "plain"),
        ("a=b", "a=b"),
        (-3, "-3"),
        (-0.25, "-0.25"),
        (0.1 + 0.2, "0.30000000000000004"),
        (float("nan"), "nan"),
        (True, "true"),
        (None, "null"),
        (["=a", "b+c"], '["=a", "b+c"]'),
    ],
)
def test_cells(value, expected):
    assert cell(value) == expected


def test_names_that_are_formulas_commas_and_paths(tmp_path, config_for):
    names = ['=HYPERLINK("http://x")', "-1+1", "../../etc", 'a,"b"\nc']
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "store") as store:
        for name in names:
            layers = {"../up/down": rng.normal(size=(8, 2)), "@x $y$": rng.normal(size=(8, 2))}
            store.write(model=name, step=0, layers=layers, factors={"note": f"@{name}"})
    result = run_sweep(config_for(within=["layer"]))
    with result.results_path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + 12
    assert {len(row) for row in rows} == {len(rows[0])}
    texts = [text for row in rows[1:] for text in row]
    assert not [t for t in texts if t[:1] in ("=", "+", "@")]
    assert all(_is_number(t) for t in texts if t.startswith("-"))
    record = json.loads(result.run_path.read_text(encoding="utf-8"))
    for group in record["groups"]:
        for name in (group["matrix"], group["figure"]):
            path = (result.output / name).resolve()
            assert path.is_file()
            assert path.parent.parent == result.output
    assert [group["name"] for group in record["groups"]] == ["layer=../up/down", "layer=@x $y$"]


@pytest.mark.parametrize("text", ["=1", "'=1", "''=1", "'a", "'", "", "a", "\r", "-1", "\uff1d"])
def test_a_text_is_read_back_from_its_cell(text):
    assert uncell(cell(text)) == text


BREAKS = ["a\rb", "a\r\nb", "a\nb", "\rb", 'a"\r"b', "a\x85b\u2028c\x0b\x0cd", "'=a\r", "plain"]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_line_breaks_in_names_break_no_row(tmp_path, config_for):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    factor = "=note\r"
    with create_store(tmp_path / "store") as store:
        for name in BREAKS:
            layers = {"a": rng.normal(size=(8, 2))}
            store.write(model=name, step=0, layers=layers, factors={factor: name})
    result = run_sweep(config_for(within=["layer"]))
    raw = result.results_path.read_bytes()
    lines = raw.replace(b"\r", b"").count(b"\n")
    table = read_results(result.results_path)
    assert set(table.models()) == set(BREAKS)
    assert set(table.labels(factor)) == set(BREAKS)
    frame = pandas.read_csv(result.results_path, dtype=str)
    assert len(frame) == len(BREAKS) * (len(BREAKS) - 1) // 2
    assert set(frame["model_a"]) | set(frame["model_b"]) == {cell(name) for name in BREAKS}
    assert lines > len(frame)
    assert {name[:1] for name in frame.columns} & set("=+-@") == set()


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_two_runs_in_two_folders_write_equal_files(trained, config_for, tmp_path, but_for_seconds):
    fields = {"within": ["layer"], "differ": ["seed"], "steps": "final_each"}
    one = run_sweep(config_for(**fields, output=tmp_path / "one"), threads=1)
    two = run_sweep(config_for(**fields, output=tmp_path / "two"), threads=2)
    assert but_for_seconds(one.results_path) == but_for_seconds(two.results_path)
    assert [p.name for p in one.figures] == [p.name for p in two.figures]
    for a, b in zip(one.figures, two.figures, strict=True):
        assert a.read_bytes() == b.read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_files_of_former_groups_are_removed(trained, config_for):
    first = run_sweep(config_for(within=["layer", "step"]))
    (first.output / "figures" / "mine.png").write_bytes(b"kept")
    (first.output / "matrices" / ".tmp-00ff-0009_x.npz").write_bytes(b"of a killed run")
    second = run_sweep(config_for(within=["layer"], steps="final_each"))
    record = json.loads(second.run_path.read_text(encoding="utf-8"))
    files = {
        f"{folder}/{path.name}"
        for folder in ("matrices", "figures")
        for path in (second.output / folder).iterdir()
    }
    wanted = {group[kind] for group in record["groups"] for kind in ("matrix", "figure")}
    assert files == wanted | {"figures/mine.png"}


def test_two_columns_of_one_name_are_refused(tmp_path, config_for):
    with create_store(tmp_path / "store") as store:
        for model in "ab":
            x = np.random.default_rng(0).normal(size=(8, 2))
            factors = {"seed": 0, "seed_a": 0}
            store.write(model=model, step=0, layers={"l": x}, factors=factors)
    with pytest.raises(SweepError, match="two columns 'seed_a'"):
        run_sweep(config_for(within=["seed_a"]))
    assert not (tmp_path / "out").exists()  # refused before anything was computed


# --- the folder --------------------------------------------------------------------------------


def test_a_folder_with_other_files_is_refused(trained, config_for, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(SweepConfigError, match=r"other files .* \(thesis\.tex"):
        run_sweep(config_for(within=["layer"]))
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_file_for_a_folder_is_refused(trained, config_for, tmp_path):
    (tmp_path / "out").write_text("", encoding="utf-8")
    for output in (tmp_path / "out", tmp_path / "out" / "below"):
        config = config_for(within=["layer"], output=output)
        for begin in (run_sweep, plan_sweep):
            with pytest.raises(SweepConfigError, match=r"output: .*out is a file; expected a fol"):
                begin(config)


def test_a_folder_that_cannot_be_made_is_an_error(trained, config_for):
    with pytest.raises(LedgerError, match="output: the folder /proc/out cannot be made or written"):
        run_sweep(config_for(within=["layer"], output="/proc/out"))


@pytest.mark.parametrize("where", ["store", "store/results"])
def test_results_in_the_store_are_refused(trained, config_for, tmp_path, where):
    with pytest.raises(SweepConfigError, match="is inside the store"):
        run_sweep(config_for(within=["layer"], output=tmp_path / where))


@pytest.mark.usefixtures("no_figures")
def test_two_runs_do_not_write_in_one_folder(trained, config_for, tmp_path):
    (tmp_path / "out").mkdir()
    handle = os.open(tmp_path / "out" / ".lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(LedgerError, match="another run is writing in"):
            run_sweep(config_for(within=["layer"]))
    finally:
        os.close(handle)
    # A run that is killed at once leaves only a lock file, which blocks no later run.
    assert run_sweep(config_for(within=["layer"])).groups_computed == 2


def test_why_a_similarity_is_undefined_depends_on_the_estimator():
    """The unbiased estimator is undefined at positions 1 and 2, the biased one only at 2."""
    nan = np.nan
    values = GroupValues(
        matrices={
            "biased": np.array([[1, 0.5, nan], [0.5, 1, nan], [nan, nan, nan]]),
            "unbiased": np.array([[1, nan, nan], [nan, nan, nan], [nan, nan, nan]]),
            "hsic_biased": np.diag([2.0, 0.125, 0.0]),
            "hsic_unbiased": np.diag([1.0, -0.25, 0.0]),
        },
        moments={},
        provenance={"products": "float64"},
    )
    constant = "zero variance: no feature varies over the examples"
    assert undefined_reasons(values, "biased", 8) == {2: constant}
    assert undefined_reasons(values, "unbiased", 8) == {
        1: "its unbiased self-HSIC is zero within rounding, for example because all examples are "
        "equally far from each other",
        2: constant,
    }


def test_files_of_an_interrupted_run_are_written_again(
    trained, config_for, no_figures, monkeypatch
):
    unbiased = config_for(within=["layer", "step", "variant"])
    biased = unbiased.model_copy(update={"estimator": "biased"})
    first = run_sweep(unbiased)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fastcka.sweep.running.run.draw_figures", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(biased)
    assert not first.run_path.exists()
    run_sweep(unbiased)
    matrices = sorted((unbiased.output / "matrices").iterdir())
    assert {Comparison.load(path).estimator for path in matrices} == {"unbiased"}
