"""The pages under docs/howto: their code runs, their commands succeed, their links exist."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import oracle
from recipe_stand_ins import RECIPES, stand_ins

HOWTO = Path(__file__).parents[1] / "docs" / "howto"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.chdir(tmp_path)
    made = stand_ins()
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def text(page: str) -> str:
    return (HOWTO / f"{page}.md").read_text("utf-8")


def shell(commands: str) -> str:
    """Run lines of a shell, with this Python for fastcka; return the output."""
    printed = ""
    for line in commands.strip().splitlines():
        arguments = shlex.split(line)
        if arguments[0] == "fastcka":
            arguments = [sys.executable, "-m", *arguments]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    return printed


def run(page: str) -> tuple[dict[str, Any], str]:
    """Run the blocks of a page in their order; return the variables, and the commands' output."""
    names: dict[str, Any] = {}
    printed = ""
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", text(page), re.M | re.S)
    assert blocks
    for language, code in blocks:
        if language == "python":
            exec(compile(code, page, "exec"), names)
        else:
            printed += shell(code)
    return names, printed


@pytest.mark.usefixtures("modules")
def test_parquet(capsys: pytest.CaptureFixture[str]) -> None:
    names, printed = run("parquet")
    columns = names["table"].to_pydict()
    x, y = (np.array(columns[name], float) for name in ("text", "image"))
    value = oracle.cka(x, y, "unbiased")
    assert f"{value:.6f}" in printed
    assert names["result"]["text", "image"] == pytest.approx(value, abs=1e-6)
    assert "pc_*" in capsys.readouterr().out
    assert all(name in printed for name in ("text", "image", "500"))


@pytest.mark.usefixtures("modules")
def test_anndata(capsys: pytest.CaptureFixture[str]) -> None:
    names, printed = run("anndata")
    x, y = names["counts"].toarray().astype(float), names["data"].obsm["X_pca"]
    value = oracle.cka(x, y, "unbiased")
    assert f"{value:.6f}" in printed
    assert names["result"]["X", "obsm/X_pca"] == pytest.approx(value, abs=1e-6)
    assert capsys.readouterr().out.splitlines()[-1] == "X ['cell0' 'cell1'] ['B' 'T']"


@pytest.mark.usefixtures("modules")
def test_xarray_and_zarr(capsys: pytest.CaptureFixture[str]) -> None:
    names, printed = run("xarray-and-zarr")
    value = oracle.cka(names["it"].values, np.tanh(names["it"].values[:, :40]), "unbiased")
    first, second = capsys.readouterr().out.splitlines()
    assert float(first) == pytest.approx(value, abs=1e-6)
    assert second == "['image0' 'image1'] ['face' 'house']"
    assert printed.count("CKA, unbiased") == 2
    with pytest.raises(AssertionError, match="same examples in a different order"):
        shell("fastcka cka neurons.zarr:it others.zarr:v4")


@pytest.mark.usefixtures("modules")
def test_transformer_lens_and_nnsight() -> None:
    # In a process of its own: nnsight adds an attribute to every object.
    if importlib.util.find_spec("nnsight") is None:
        pytest.skip("nnsight is not installed")
    blocks = re.findall(r"^```python\n(.*?)^```", text("transformer-lens-and-nnsight"), re.M | re.S)
    before = (
        "import sys\nfrom recipe_stand_ins import RECIPES, stand_ins\n"
        "sys.modules['transformer_lens'] = stand_ins()['transformer_lens']\n"
    )
    after = (
        "assert list(result.names) == ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post']\n"
        "mask = (tokens != 0)[..., None]\n"
        "rows = (cache['blocks.1.hook_resid_post'] * mask).sum(1) / mask.sum(1)\n"
    )
    check = (
        "assert torch.allclose(pooled, rows, atol=1e-6)\n"
        "assert torch.equal(layers['hidden'], network[1](network[0](words))[:, -1])\n"
    )
    code = [before, *blocks[:1], after, "pooled = layers['blocks.1.hook_resid_post']\n"]
    code += [*blocks[1:], check]
    Path("recipe.py").write_text("\n".join(code), "utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "recipe.py"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout.splitlines()[-1]) <= 1


@pytest.mark.usefixtures("modules")
def test_feature_extractors(capsys: pytest.CaptureFixture[str]) -> None:
    names, _ = run("feature-extractors")
    x = names["features"]["layer2"].double().mean((2, 3)).numpy()
    y = names["features"]["flatten"].double().numpy()
    value = names["result"]["layer2", "flatten"]
    assert value == pytest.approx(oracle.cka(x, y, "unbiased"), abs=1e-5)
    assert capsys.readouterr().out.splitlines()[-1] == "(5, 4)"
    np.testing.assert_allclose(names["layers"]["layer2"].numpy(), x, rtol=1e-5)


def test_weights_and_biases(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    names, _ = run("weights-and-biases")
    wandb: Any = modules["wandb"]
    assert len(wandb.logged["cka"]) == 3
    assert isinstance(wandb.logged["heatmap"], Figure)
    assert wandb.logged["cka/input-relu"] == names["result"].cka[0, 1]
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/0000_all.png").touch()
    (tmp_path / "run.json").write_text('{"config": {}}')
    (tmp_path / "results.csv").write_text("cka\n0.5\n")
    names["log_sweep"](tmp_path, "p")
    assert wandb.logged["results"].equals(pd.DataFrame({"cka": [0.5]}))
    assert wandb.logged["0000_all"].endswith("0000_all.png")
    assert wandb.finished == 2


def test_mlflow(modules: dict[str, ModuleType]) -> None:
    names, _ = run("mlflow")
    mlflow: Any = modules["mlflow"]
    assert len(mlflow.artifacts["cka.json"]) == 3
    assert isinstance(mlflow.artifacts["cka.png"], Figure)
    assert mlflow.metrics[0] == ("cka_input_relu", names["result"].cka[0, 1], None)
    curve = [value for key, value, _ in mlflow.metrics if key == "cka_input"]
    assert curve[0] == pytest.approx(1)
    assert curve[0] > curve[1] > curve[2]


@pytest.mark.usefixtures("modules")
def test_other_toolboxes(capsys: pytest.CaptureFixture[str]) -> None:
    names, _ = run("other-toolboxes")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("angular distance of unbiased CKA ['model0', 'model1'")
    value = oracle.cka(names["models"]["model0"], names["models"]["model1"], "unbiased")
    assert float(second) == pytest.approx(value, abs=1e-12)
    assert float(third.split()[0]) == pytest.approx(value, abs=1e-12)
    assert third.split()[1] == "True"


@pytest.mark.parametrize("page", RECIPES)
def test_pages_have_one_title_and_links_that_exist(page: str) -> None:
    content = re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S)
    assert len(re.findall(r"^# ", content, re.M)) == 1
    assert content.startswith("# ")
    for link in re.findall(r"\]\(([^)#]+)", content):
        assert (HOWTO / link).is_file(), link
