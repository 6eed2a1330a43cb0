"""The examples of the documentation run, its tables are complete, and its links exist."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer.main

import fastcka
from fastcka.capture.config import CaptureConfig, CaptureRun, load_capture
from fastcka.cli.app import app
from fastcka.sweep import CompareConfig, SweepConfig, load_sweep, plan_sweep
from fastcka.sweep.results.table import header
from recipe_stand_ins import RECIPES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {"README.md": ROOT / "README.md"} | {
    path.relative_to(DOCS).as_posix(): path
    for path in sorted(DOCS.rglob("*.md"))
    if path.relative_to(DOCS).parts[0] not in ("_build", "gallery")
}


def text(page):
    return PAGES[page].read_text("utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.M | re.S)


def block(page, language):
    (code,) = blocks(page, language)
    return code


def first_cells(page, heading):
    """Return the names in code quotes in the first column of the tables under a heading."""
    section = re.split(rf"^{re.escape(heading)}\n", text(page), flags=re.M)[1]
    section = re.split(r"^## ", section, flags=re.M)[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("module", ["cka", "compare", "inference.permutations", "measures.measure"])
def test_docstrings(module):
    # By name: the package exports functions with the names of their modules.
    result = doctest.testmod(importlib.import_module(f"fastcka.core.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_python_example(tmp_path):
    example = block("README.md", "python")
    assert len(example.strip().splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "cka_unbiased" in done.stdout
    assert done.stderr == ""
    assert (tmp_path / "cka.png").stat().st_size > 0


def test_the_inference_examples(capsys):
    names = {}
    first, permuting = blocks("inference.md", "python")
    exec(first, names)
    printed = capsys.readouterr().out.splitlines()
    value, z, p = map(float, printed[0].split())
    assert 0.2 < value < 0.6
    assert z > 10 > 1e-10 > p
    low, high = map(float, printed[1].split())
    assert 0.2 < low < value < high < 0.5
    assert "P-values are two-sided" in printed[2]
    exec(permuting, names)
    printed = capsys.readouterr().out.splitlines()
    closed, permuted = map(float, printed[0].split())
    assert closed < 1e-20
    assert 0.01 < permuted <= 1
    assert 0.01 < float(printed[1]) <= 1
    assert len(names["test"].to_dataframe()) == 6


def test_the_example_of_comparisons(capsys):
    exec(block("comparisons.md", "python"), {})
    one, crossed = capsys.readouterr().out.splitlines()
    assert 0.4 < float(one) < 0.7
    shape, value = crossed.rsplit(" ", 1)
    assert shape == "(3, 3)"
    assert 0 < float(value) < 0.5


@pytest.fixture
def store_example(tmp_path, monkeypatch, rng):
    """The variables of the store example after it ran in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    names = {
        "fastcka": fastcka,
        "a": rng.standard_normal((20, 3)),
        "b": rng.standard_normal((20, 4)).astype(np.float16),
        "ids": [f"image{i}" for i in range(20)],
        "labels": list(range(20)),
    }
    exec(block("store.md", "python"), names)
    return names


def test_the_store_example(store_example):
    np.testing.assert_array_equal(list(store_example["arrays"].values())[1], store_example["b"])
    with fastcka.open_store("my-store") as store:
        keys = [tuple(key) for key in store.keys()]
    assert keys == [("cnn-seed0", 100, "conv1"), ("cnn-seed0", 100, "conv2")]


@pytest.fixture
def sweep_example(store_example, rng):
    shutil.copytree("my-store", "fastcka-demo/store")
    with fastcka.create_store("fastcka-demo/store", exist_ok=True) as store:
        for model, family, seed in (("cnn-seed1", "cnn", 1), ("mlp-seed0", "mlp", 0)):
            store.write(
                model=model,
                step=100,
                layers={"conv1": rng.standard_normal((20, 3))},
                example_ids=store_example["ids"],
                factors={"family": family, "seed": seed},
            )
    Path("sweep.yaml").write_text(block("README.md", "yaml"), "utf-8")
    return load_sweep("sweep.yaml")


def test_the_sweep_example(sweep_example):
    assert sweep_example.compare.steps == "all_common"
    assert fastcka.run_sweep("sweep.yaml").comparisons == 1


def test_the_sweep_example_with_an_order(sweep_example):
    Path("ordered.yaml").write_text(block("sweeps.md", "yaml"), "utf-8")
    ordered = load_sweep("ordered.yaml")
    assert ordered.compare.order == {"seed": [0, 1, 2]}
    assert plan_sweep(ordered).comparisons == 1


def test_the_fields_of_a_sweep_are_documented():
    assert sorted(first_cells("sweeps.md", "## Fields of sweep.yaml")) == sorted(
        SweepConfig.model_fields
    )
    rules = [cell.split(":")[0] for cell in first_cells("sweeps.md", "## Which pairs: `compare`")]
    assert sorted([*rules, "order", "steps"]) == sorted(CompareConfig.model_fields)


def test_the_columns_of_results_are_documented(sweep_example):
    names = first_cells("sweeps.md", "## Results")
    columns = header(plan_sweep(sweep_example))
    general = [c for c in columns if c not in ("family", "layer", "step", "family_a", "family_b")]
    general = [c for c in general if c not in ("seed_a", "seed_b")]
    documented = [n for n in names if n not in ("within", "<factor>_a", "<factor>_b")]
    assert documented == general


def test_the_capture_example_and_its_keys(tmp_path):
    file = tmp_path / "capture.yaml"
    file.write_text(block("checkpoints.md", "yaml"), "utf-8")
    assert [run.name for run in load_capture(file).runs] == ["mlp-seed0", "mlp-seed1"]
    keys = first_cells("checkpoints.md", "## Capture layers into a store")
    assert set(keys) == {*CaptureConfig.model_fields, *CaptureRun.model_fields}
    assert len(keys) == len(set(keys))


def test_the_example_of_batches(rng, capsys):
    x = rng.standard_normal((30, 4))
    batches = [SimpleNamespace(layer1=part, layer2=part**2) for part in np.split(x, 3)]
    names = {"fastcka": fastcka, "batches": batches}
    exec(block("arrays.md", "python"), names)
    assert names["result"].cka[0, 1] == pytest.approx(fastcka.cka(x, x**2), abs=1e-9)


#: Pages whose Python is tested above, or next to what it needs.
TESTED = {
    *("README.md", "arrays.md", "comparisons.md", "inference.md", "store.md"),
    "cluster.md",  # tests/sweep: it needs a scheduler
    *(f"howto/{page}.md" for page in RECIPES),  # test_recipes.py
    "howto/hugging-face.md",  # tests/capture/test_huggingface_pages.py
    "howto/trainer-and-lightning.md",  # the same
}
RUN = [page for page in PAGES if page not in TESTED and blocks(page, "python")]


@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    """The blocks of a page are one program, which starts in an empty folder."""
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks(page, "python")), {"__name__": "__main__"})


def commands_of(page):
    """Return the lines of a page that are commands of fastcka."""
    lines = re.findall(r"^(?: {4}|\$ |!)(?:.*&& )?(fastcka .*)$", text(page), re.M)
    inline = re.findall(r"`(fastcka [^`]*)`", text(page))
    return [*lines, *inline]


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)])
def test_the_commands_of_a_page_exist(page):
    for line in commands_of(page):
        command = typer.main.get_command(app)
        words = shlex.split(line, comments=True)[1:]
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        assert given <= known | {"--help", "--version"}, line


def test_each_figure_of_the_gallery_is_a_short_script():
    scripts = list((ROOT / "examples/gallery").glob("plot_*.py"))
    assert len(scripts) == 5
    for script in scripts:
        assert len(script.read_text("utf-8").splitlines()) < 40, script.name


def test_each_public_package_is_in_the_reference():
    packages = {
        f"{path.parent.name}.rst"
        for path in (ROOT / "python/fastcka").glob("*/__init__.py")
        if "__all__" in path.read_text("utf-8") and path.parent.name not in ("arrays", "cli")
    }
    pages = {path.name for path in (DOCS / "reference/api").glob("*.rst")}
    assert pages == packages | {"fastcka.rst"}


def test_the_pages_of_llms_txt_exist():
    links = re.findall(r"\]\(([^)]+)\.html\)", (DOCS / "llms.txt").read_text("utf-8"))
    assert len(links) > 15
    for link in links:
        assert any((DOCS / f"{link}{suffix}").is_file() for suffix in (".md", ".rst")), link


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    folder = PAGES[page].parent
    links = re.findall(r"\]\(([^)]+)\)", text(page))
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = folder / path if path else PAGES[page]
        assert target.is_file(), link
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), link


def headings(page):
    """Return the anchors of a page; benchmarks.md is benchmarks/README.md on the site."""
    if page.resolve() == DOCS / "benchmarks.md":
        page = ROOT / "benchmarks/README.md"
    lines = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]
