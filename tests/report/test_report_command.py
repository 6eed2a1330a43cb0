"""``fastcka report``: its output and exit status."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fastcka.cli.app import app


@pytest.fixture
def call(no_drawing):
    def run(*arguments):
        return CliRunner().invoke(app, ["report", *map(str, arguments)])

    return run


def test_the_output_lists_what_was_written(call, results_folder, models, planted, tmp_path):
    folder = results_folder(models, planted)
    done = call(folder, "--out", tmp_path / "out", "--permutations", 99, "--json")
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["page"] == str(tmp_path / "out" / "index.html")
    assert {
        "what": "Timelines",
        "reason": "the pairs of models have only step 100",
        "where": [],
        "applies": False,
    } in (answer["not_drawn"])
    words = call(folder, "--out", tmp_path / "out", "--permutations", 99)
    (line,) = (line for line in words.stdout.splitlines() if line.startswith("does not apply"))
    assert line.endswith(" Timelines: the pairs of models have only step 100")
    page, figures, tables, *_ = words.stdout.splitlines()
    assert page.split(maxsplit=1) == ["page", f"{answer['page']} (open it in a browser)"]
    for line, name, kind in ((figures, "figures", "PNG"), (tables, "tables", "CSV")):
        folder, count = tmp_path / "out" / name, len(answer[name])
        assert line.split(maxsplit=1) == [name, f"{folder} ({count} {kind} files)"]


def test_lines_of_piped_output_do_not_end_in_blanks(
    call, results_folder, models, planted, tmp_path
):
    done = call(results_folder(models, planted), "--out", tmp_path / "out", "--permutations", 99)
    lines = done.stdout.splitlines()
    assert len({*map(len, lines)}) > 1  # a short line next to a long one
    assert lines == [line.rstrip() for line in lines]


def test_wrong_arguments_exit_with_2(call, results_folder, models, planted, tmp_path):
    folder = results_folder(models, planted)
    assert call(folder, "--variant", "nothing").exit_code == 2
    assert call(tmp_path / "absent").exit_code == 2
    assert not (folder / "report").exists()
    assert not (tmp_path / "absent").exists()
