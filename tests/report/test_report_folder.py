"""The folder of a report: its tables, replacement, and reasons for missing views."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections import defaultdict

import numpy as np
import pytest

from fastcka import files
from fastcka.errors import InputError, WriteError
from fastcka.report import write_report

pytestmark = pytest.mark.usefixtures("no_drawing")  # test_report_page draws all kinds of figures

ONE_FAMILY = {"family": lambda a, b: a["family"] == b["family"]}


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_block_means_equal_the_means_of_the_rows(results_folder, models, planted):
    folder = results_folder(models, planted, layers=("3", "4"), keep=ONE_FAMILY["family"])
    write_report(folder, permutations=99)
    expected = defaultdict(list)
    for row in rows_of(folder / "results.csv"):
        both = tuple(sorted((row["variant_a"], row["variant_b"])))
        expected[row["family_a"], row["layer_a"], *both].append(float(row["cka"]))
    block_means = rows_of(folder / "report" / "tables" / "block_means.csv")
    assert len(block_means) == 2 * 2 * 6
    for row in block_means:
        values = expected[row["family"], row["layer"], row["variant_1"], row["variant_2"]]
        assert int(row["n"]) == len(values) == (3 if row["variant_1"] == row["variant_2"] else 9)
        assert float(row["mean"]) == pytest.approx(sum(values) / len(values), abs=1e-12)
        assert float(row["sem"]) == pytest.approx(
            np.std(values, ddof=1) / len(values) ** 0.5, abs=1e-12
        )


def test_the_matrix_is_variant_major_and_empty_where_nothing_was_compared(
    results_folder, models, planted
):
    folder = results_folder(
        models,
        planted,
        keep=lambda a, b: a["family"] == b["family"] and a["seed"] != b["seed"],
        config={"compare": {"order": {"seed": ["orig", 1, 2]}}},
    )
    write_report(folder, permutations=99)
    rows = rows_of(folder / "report" / "tables" / "matrix_PT2_layer3_step100.csv")
    names = [row["name"] for row in rows]
    seeds = {"a": ("orig", 1, 2), "b": ("orig", 1, 3), "c": ("orig", 1, 2)}
    assert names == [f"{variant} · seed {seed}" for variant in seeds for seed in seeds[variant]]
    for one in rows:
        for other in rows:
            text = one[other["name"]]
            if one is other or one["seed"] == other["seed"]:
                assert text == ""  # not 0
            else:
                value = planted(*sorted((one["model"], other["model"])), "3", 100)
                assert float(text) == pytest.approx(value, abs=1e-15)


def test_comparisons_stay_within_a_family(results_folder, models, planted):
    folder = results_folder(models, planted)
    write_report(folder, permutations=199)
    rows = rows_of(folder / "report" / "tables" / "comparisons.csv")
    by = {(row["question"], row["family"]): row for row in rows}
    variant = by["same vs different variant", "PT2"]
    values = defaultdict(list)
    for row in rows_of(folder / "results.csv"):
        if row["family_a"] == row["family_b"] == "PT2" and row["seed_a"] != row["seed_b"]:
            values[row["variant_a"] == row["variant_b"]].append(float(row["cka"]))
    assert (int(variant["pairs_first"]), int(variant["pairs_second"])) == (9, len(values[False]))
    difference = np.mean(values[True]) - np.mean(values[False])
    assert float(variant["difference"]) == pytest.approx(difference, abs=1e-12)
    assert float(variant["low"]) < difference < float(variant["high"])
    assert float(variant["p"]) <= 0.05
    seed = by["same vs different seed", "PT2"]
    assert int(seed["pairs_first"]) + int(seed["pairs_second"]) == 27  # of two variants
    family = by["within one family vs within another", "PT2, PT3"]
    assert float(family["p"]) > 0.05
    assert int(family["models"]) == 18


def test_a_test_that_did_not_run_is_not_called_exact(results_folder, models, planted):
    """Without pairs of two families, their labels cannot be exchanged."""
    folder = results_folder(models, planted, keep=ONE_FAMILY["family"])
    write_report(folder, permutations=99)
    rows = rows_of(folder / "report" / "tables" / "comparisons.csv")
    (row,) = (row for row in rows if row["question"] == "within one family vs within another")
    assert (row["p"], row["permutations"], row["exact"]) == ("", "0", "")
    assert "no p-value" in row["note"]


def test_every_missing_view_has_a_reason(results_folder, planted):
    models = {f"m-{number}": {"task": number % 2} for number in range(5)}
    result = write_report(results_folder(models, planted), permutations=99)
    reasons = {item.what: item.reason for item in result.not_drawn}
    assert "--variant FIELD (task)" in reasons["Block means"]
    assert "--family FIELD" in reasons["Trend over families"]
    assert reasons["Timelines"] == "the pairs of models have only step 100"
    assert "Same vs different variant" in reasons
    assert "Same vs different seed" in reasons
    page = result.page.read_text(encoding="utf-8")
    for what in reasons:
        assert what in page


def test_what_does_not_apply_is_separate_from_what_is_missing(results_folder, planted):
    """Without a factor that could be the variant, a missing variant is no problem to solve."""
    models = {f"{f}-{s}": {"family": f, "seed": s} for f in ("cnn", "mlp") for s in range(3)}
    different = {"config": {"compare": {"differ": ["seed"]}}, "steps": (0, 10, 20, 30)}
    folder = results_folder(models, planted, keep=lambda a, b: a["seed"] != b["seed"], **different)
    result = write_report(folder, permutations=99)
    by_design = {item.what: item.reason for item in result.not_drawn if not item.applies}
    assert by_design == {
        "Block means": "the models have no factor 'variant'",
        "Same vs different variant": "the models have no factor 'variant'",
        "Same vs different seed": "the sweep compares only models with different seed",
    }
    missing = [item.what for item in result.not_drawn if item.applies]
    assert "Files of figures, comparisons and trends at 3 earlier steps" in missing
    page = result.page.read_text(encoding="utf-8")
    listed, outside = page.split("<h3>Not shown here</h3>")[1].split("<h3>Does not apply")
    for what in missing:
        assert what in listed
    for what in by_design:
        assert what in outside
        assert what not in listed


def test_factors_are_named_by_options(results_folder, planted):
    models = {f"m-{v}-{s}": {"task": v, "run": s} for v in range(3) for s in range(3)}
    folder = results_folder(models, planted)
    result = write_report(folder, variant="task", seed="run", permutations=99)
    rows = rows_of(result.folder / "tables" / "block_means.csv")
    assert {(row["task_1"], row["task_2"]): int(row["n"]) for row in rows}["0", "0"] == 3
    with pytest.raises(InputError, match="did you mean task"):
        write_report(folder, variant="tusk")


def test_pairs_outside_all_views_are_counted(results_folder, models, planted):
    folder = results_folder(models, planted)
    text = (folder / "results.csv").read_text(encoding="utf-8").splitlines()
    cells = text[1].split(",")
    cells[2] = "4"  # one side at another layer
    (folder / "results.csv").write_text("\n".join([text[0], ",".join(cells), *text[2:]]) + "\n")
    result = write_report(folder, permutations=99)
    what = "Comparisons, trends and timelines of 1 pair of two different layers"
    assert what in {item.what for item in result.not_drawn}


def test_tables_have_all_steps_and_figures_the_last(results_folder, planted):
    models = {f"m-{v}-{s}": {"variant": v, "seed": s} for v in range(2) for s in range(3)}
    folder = results_folder(models, planted, steps=(0, 10, 20, 100))
    result = write_report(folder, permutations=99)
    drawn = [path.name for path in result.figures if path.name.startswith("matrix")]
    assert drawn == ["matrix_layer3_step100.png"]
    assert any("at 3 earlier steps" in item.what for item in result.not_drawn)
    assert len([path for path in result.tables if path.name.startswith("matrix")]) == 4
    steps = {row["step"] for row in rows_of(result.folder / "tables" / "timeline.csv")}
    assert steps == {"0", "10", "20", "100"}
    everything = write_report(folder, all_steps=True, permutations=99)
    assert len([path for path in everything.figures if path.name.startswith("matrix")]) == 4


def test_models_at_different_steps_make_one_slice(results_folder, models, planted):
    folder = results_folder(models, planted)
    text = (folder / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    header = rows[0]
    for row in rows[1:]:
        for side in "ab":
            family = row[header.index(f"family_{side}")]
            row[header.index(f"step_{side}")] = {"PT2": "328125", "PT3": "328132"}[family]
    with (folder / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    result = write_report(folder, permutations=99)
    names = {path.name for path in result.tables}
    assert "matrix_PT2_layer3_stepmixed.csv" in names
    assert "matrix_all_layer3_stepmixed.csv" in names


def test_a_report_replaces_only_an_earlier_report(results_folder, models, planted, tmp_path):
    folder = results_folder(models, planted)
    first = write_report(folder, permutations=99)
    stray = first.folder / "figures" / "mine.txt"
    stray.write_text("mine")
    one_family = folder / "results.csv"
    kept = [
        line for line in one_family.read_text(encoding="utf-8").splitlines() if "PT3" not in line
    ]
    one_family.write_text("\n".join(kept) + "\n", encoding="utf-8")
    second = write_report(folder, permutations=99)
    assert stray.exists()
    assert not [path for path in (second.folder / "figures").iterdir() if "PT3" in path.name]
    assert {path.name for path in second.folder.iterdir()} == {
        "index.html",
        "report.json",
        "figures",
        "tables",
    }
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="expected a new or empty folder or an earlier report"):
        write_report(folder, out=other)
    assert write_report(folder, out=tmp_path / "new" / "one", permutations=99).page.is_file()


def test_an_edited_record_removes_no_other_file(results_folder, models, planted, tmp_path):
    folder = results_folder(models, planted)
    report = write_report(folder, permutations=99).folder
    (tmp_path / "precious.csv").write_text("1")
    record = json.loads((report / "report.json").read_text())
    record["files"] += ["../../precious.csv", "tables/../../../precious.csv"]
    (report / "report.json").write_text(json.dumps(record))
    write_report(folder, permutations=99)
    assert (tmp_path / "precious.csv").exists()


def test_a_report_without_run_json_names_what_is_unknown(results_folder, models, planted):
    folder = results_folder(models, planted)
    (folder / "run.json").write_text("{}")
    result = write_report(folder, permutations=99)
    assert any("run.json cannot be read" in item.reason for item in result.not_drawn)
    assert "unknown number of features" in result.page.read_text(encoding="utf-8")


def test_an_empty_table_is_refused(results_folder, models, planted):
    folder = results_folder(models, planted, keep=lambda *_: False)
    with pytest.raises(InputError, match="nothing to report"):
        write_report(folder)
    assert not (folder / "report").exists()


def test_models_at_different_steps_are_not_called_final(results_folder, models, planted):
    folder = results_folder(models, planted)
    rows = (folder / "results.csv").read_text().replace("PT3-c-2,100,", "PT3-c-2,110,")
    (folder / "results.csv").write_text(rows)
    result = write_report(folder, permutations=19)
    page = result.page.read_text()
    assert "one step per model (100 to 110)" in page
    assert "final" not in re.sub(
        r"<script(?! type=.application.json).*?</script>", "", page, flags=re.S
    )


def test_groups_that_could_not_be_computed_are_named(results_folder, models, planted):
    folder = results_folder(models, planted)
    record = json.loads((folder / "run.json").read_text())
    record["failed"] = {"layer=4": "a checksum does not match"}
    (folder / "run.json").write_text(json.dumps(record))
    result = write_report(folder, permutations=19)
    reasons = {item.what: item.reason for item in result.not_drawn}
    assert reasons["Group 'layer=4', which could not be computed"] == "a checksum does not match"
    assert "a checksum does not match" in result.page.read_text()


def test_a_failed_report_can_be_written_again(results_folder, models, planted, monkeypatch):
    """`os.replace` fails: at its first call, `report.json` does not exist yet."""
    folder = results_folder(models, planted)
    real, calls, failing_call = os.replace, 0, 0

    def replace(*paths):
        nonlocal calls
        calls += 1
        if calls == failing_call:
            raise OSError(5, "Input/output error")
        real(*paths)

    monkeypatch.setattr(files.os, "replace", replace)
    write_report(folder, permutations=9)
    assert calls > 5
    for failing_call in (1, 2, calls):
        shutil.rmtree(folder / "report")
        calls = 0
        with pytest.raises(WriteError, match=r"report/\S+: cannot be written: Input/output error$"):
            write_report(folder, permutations=9)
        failing_call = 0
        write_report(folder, permutations=9)
        assert (folder / "report" / "index.html").is_file()


def test_temporary_files_of_a_killed_report_are_accepted(results_folder, models, planted):
    folder = results_folder(models, planted)
    (folder / "report").mkdir()
    (folder / "report" / ".tmp-00ff-report.json").write_text("{", encoding="utf-8")
    write_report(folder, permutations=9)
    assert (folder / "report" / "index.html").is_file()
