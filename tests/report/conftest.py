"""Results folders in the format of a sweep, and a browser."""

from __future__ import annotations

import csv
import itertools
import json
import shutil

import pytest

from fastcka.report import write_report
from fastcka.sweep.results.table import cell
from report.layered import write_layered
from report.waiting import until


@pytest.fixture
def results_folder(tmp_path):
    """Return a function that writes results.csv and run.json for all pairs of models."""

    def make(models, value, *, name="results", layers=("3",), steps=(100,), keep=None, config=None):
        folder = tmp_path / name
        folder.mkdir()
        factors = sorted(set().union(*models.values()))
        header = [f"{key}_{side}" for side in "ab" for key in ("model", "step", "layer")]
        header += [f"{factor}_{side}" for factor in factors for side in "ab"]
        header += ["n_examples", "n_dropped", "estimator", "cka", "undefined", "seconds"]
        groups = []
        with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(header)
            for layer, step in itertools.product(layers, steps):
                for a, b in itertools.combinations(models, 2):
                    if keep is not None and not keep(models[a], models[b]):
                        continue
                    values = [a, step, layer, b, step, layer]
                    values += [models[m].get(factor, "") for factor in factors for m in (a, b)]
                    values += [4413, 87, "unbiased", float(value(a, b, layer, step)), "", 0.5]
                    rows.writerow([cell(item) for item in values])
                keys = [[model, step, layer, "digest"] for model in models]
                groups.append({"keys": keys, "n_features": [256] * len(keys)})
        record = {
            "config": {"store": "a store", "compare": {}, **(config or {})},
            "versions": {"fastcka": "0"},
            "finished": "2026-11-21T00:00:00+00:00",
            "plan": {"dropped": {"models without a last step": 2}},
            "groups": groups,
        }
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def models():
    """Three variants of three seeds in two families; variant b has seed 3 instead of seed 2."""
    return {
        f"{family}-{variant}-{seed}": {"family": family, "variant": variant, "seed": seed}
        for family in ("PT2", "PT3")
        for variant in ("a", "b", "c")
        for seed in (("orig", 1, 3) if variant == "b" else ("orig", 1, 2))
    }


@pytest.fixture
def planted():
    """Return a similarity: 0.8 within a variant, 0.3 between two, plus an offset of the pair."""

    def value(a, b, layer, step):
        offset = (sum(map(ord, a)) * sum(map(ord, b)) % 97) / 970
        same = a.rsplit("-", 1)[0] == b.rsplit("-", 1)[0]
        return (0.8 if same else 0.3) + offset

    return value


@pytest.fixture
def layered(tmp_path, no_drawing):
    """The report of `write_layered`, and its rows."""
    folder = tmp_path / "results"
    folder.mkdir()
    rows = write_layered(folder)
    return write_report(folder, permutations=99), rows


@pytest.fixture(scope="module")
def browser():
    """Chromium, run by playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("the browser chromium is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open a page; return it and the list of its errors and of its requests to elsewhere."""
    contexts = []

    def go(path, *, width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page, problems = context.new_page(), []
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda m: problems.append(m.text) if m.type in ("error", "warning") else None,
        )
        address = f"file://{path}"
        page.on(
            "request",
            lambda request: (
                None
                if request.url == address or request.url.startswith(("data:", "blob:"))
                else problems.append(f"request of {request.url}")
            ),
        )
        page.goto(address)
        until(page, "() => performance.getEntriesByName('first figure').length")
        return page, problems

    yield go
    for context in contexts:
        context.close()
