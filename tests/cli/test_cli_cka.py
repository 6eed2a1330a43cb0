"""``fastcka cka``: the number, the formats, and the errors."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

import fastcka
import oracle
from fastcka import compare
from fastcka.cli.inferred import p_text
from fastcka.store import create_store


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(7)
    x = rng.normal(2.0, 1.0, size=(60, 12)).astype(np.float32)
    y = (x[:, :5] @ rng.normal(size=(5, 9)) + rng.normal(size=(60, 9))).astype(np.float32)
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", y)
    return tmp_path / "a.npy", tmp_path / "b.npy", x.astype(np.float64), y.astype(np.float64)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_json_in_a_new_process(shell, strict_json, pair, estimator):
    a, b, x, y = pair
    done = shell("cka", a, b, "--estimator", estimator, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = strict_json(done.stdout)
    assert answer["cka"] == pytest.approx(oracle.cka(x, y, estimator), abs=1e-6)
    assert answer["cka_biased"] == pytest.approx(oracle.cka(x, y, "biased"), abs=1e-6)
    assert answer["cka_unbiased"] == pytest.approx(oracle.cka(x, y, "unbiased"), abs=1e-6)
    assert answer["estimator"] == estimator
    assert (answer["n_examples"], answer["n_features_a"], answer["n_features_b"]) == (60, 12, 9)
    assert (answer["device"], answer["precision"]) == ("cpu", "high")
    assert answer["route"] in {"G", "F"}
    assert answer["undefined"] == {}


def test_unbiased_is_the_default_and_is_printed_first(call, pair):
    a, b, x, y = pair
    shown = call("cka", a, b)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split()[:3] == ["CKA,", "unbiased", f"{oracle.cka(x, y, 'unbiased'):.6f}"]
    result = fastcka.compare([x, y], inference=True)
    low, high = result.ci_low[0, 1], result.ci_high[0, 1]
    assert lines[0].rstrip().endswith(f" (95% interval {low:.4f} to {high:.4f})")
    n = len(x)
    assert re.fullmatch(
        rf"chance level +0\.0000 \+- {np.sqrt(2 / (n * (n - 3))):.2g} for permuted examples; "
        r"z = \S+, p [=<] \S+ \(two-sided\) *",
        lines[1],
    )
    assert lines[2].split() == ["CKA,", "biased", f"{oracle.cka(x, y, 'biased'):.6f}"]


def test_the_chance_level_and_p_are_values_of_json(call, strict_json, pair):
    a, b, x, y = pair
    for estimator in ("unbiased", "feature_corrected"):
        answer = strict_json(call("cka", a, b, "--json", "--estimator", estimator).stdout)
        result = compare([x, y], estimator=estimator, inference=True)
        for name in ("feature_corrected", "null_mean", "null_sd", "z", "p_value", "calibrated"):
            value = float(getattr(result, name)[0, 1])
            assert answer[name] == (None if np.isnan(value) else pytest.approx(value, rel=1e-9))
        assert answer["alternative"] == "two-sided"


def test_a_long_computation_of_p_has_to_be_asked_for(call, strict_json, pair, monkeypatch):
    a, b, _, _ = pair
    assert call("cka", a, b).stderr == ""
    monkeypatch.setattr("fastcka.cli.p_value.MOST_SECONDS", 0.0)
    monkeypatch.setattr("fastcka.cli.p_value.LONG_SECONDS", 0.0)
    asked = call("cka", a, b, "--p-value")
    assert asked.stderr == "fastcka: computing the p-value: about 0 s (--no-p-value skips it)\n"
    answer = strict_json(call("cka", a, b, "--json").stdout)
    assert answer["p_value"] is None
    assert answer["z"] is not None
    shown = call("cka", a, b).stdout
    assert "for permuted examples; z = " in shown
    assert "; p-value not computed (--p-value)" in " ".join(shown.split())
    assert strict_json(call("cka", a, b, "--json", "--p-value").stdout)["p_value"] is not None
    monkeypatch.undo()
    assert strict_json(call("cka", a, b, "--json", "--no-p-value").stdout)["p_value"] is None
    refused = call("cka", a, b, "--p-value", "--device", "cuda")
    assert refused.exit_code == 1
    assert "inference=True is computed on the CPU only" in " ".join(refused.stderr.split())


def test_a_p_that_float64_cannot_hold_is_a_bound():
    assert p_text(0.0) == "p < 1e-307"
    assert p_text(0.0321) == "p = 0.032"


def test_options_reach_the_pass(call, strict_json, pair):
    a, b, x, y = pair
    done = call("cka", a, b, "--precision", "float64", "--device", "cpu", "--json")
    answer = strict_json(done.stdout)
    assert answer["precision"] == "float64"
    assert answer["cka"] == pytest.approx(oracle.cka(x, y, "unbiased"), abs=1e-12)


def test_the_number_of_threads_reaches_the_pass(call, strict_json, tmp_path):
    path = tmp_path / "large.npy"  # enough work for several threads
    np.save(path, np.random.default_rng(0).normal(size=(600, 300)).astype(np.float32))
    for threads in (1, 3):
        answer = strict_json(call("cka", path, path, "--threads", threads, "--json").stdout)
        assert answer["threads"] == threads


def test_names_inside_files_and_more_than_two_axes(call, strict_json, pair, tmp_path):
    a, _, x, y = pair
    np.savez(tmp_path / "many.npz", other=x, maps=y.reshape(60, 3, 3))
    done = call("cka", a, f"{tmp_path / 'many.npz'}:maps", "--estimator", "biased", "--json")
    answer = strict_json(done.stdout)
    assert answer["cka"] == pytest.approx(oracle.cka(x, y, "biased"), abs=1e-6)
    assert answer["n_features_b"] == 9


def test_variables_of_matlab_are_read_as_matlab_shows_them(call, strict_json, pair, tmp_path):
    a, _, x, y = pair
    path = tmp_path / "b.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["y"] = y.T
        file["y"].attrs["MATLAB_class"] = np.bytes_("double")
    answer = strict_json(call("cka", a, f"{path}:y", "--json").stdout)
    assert answer["cka"] == pytest.approx(oracle.cka(x, y, "unbiased"), abs=1e-6)
    assert (answer["n_features_b"], answer["matlab_axes"]) == (9, ["B"])
    shown = call("cka", a, path).stdout
    assert "axes" in shown
    assert "of B as in MATLAB (the file stores them reversed)" in shown
    assert "MATLAB" not in call("cka", a, a).stdout


def test_missing_values_are_refused(call, pair, tmp_path):
    a, _, _, y = pair
    y[3, 1] = -999
    with h5py.File(tmp_path / "b.nc", "w") as file:
        file["y"] = y
        file["y"].attrs["_FillValue"] = np.array([-999.0])
    refused = call("cka", a, f"{tmp_path / 'b.nc'}:/y")
    assert refused.exit_code == 2
    message = " ".join(refused.stderr.split())
    assert "b.nc:/y: 1 of 540 values equal attribute '_FillValue' (-999.0)" in message
    assert "the first is at [3, 1]" in message


def test_an_undefined_number_is_null_with_its_reason(shell, strict_json, pair, tmp_path):
    a = pair[0]
    np.save(tmp_path / "constant.npy", np.ones((60, 4), np.float32))
    done = shell("cka", a, tmp_path / "constant.npy", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = strict_json(done.stdout)
    assert answer["cka"] is answer["cka_biased"] is answer["cka_unbiased"] is None
    assert set(answer["undefined"]) == {"cka", "cka_biased", "cka_unbiased"}
    for reason in answer["undefined"].values():
        assert "constant.npy" in reason
    shown = shell("cka", a, tmp_path / "constant.npy")
    assert "undefined: " in shown.stdout.splitlines()[0]
    assert "nan" not in shown.stdout


def test_three_examples_have_a_biased_cka_alone(call, strict_json, tmp_path):
    x = np.random.default_rng(0).normal(size=(3, 5))
    np.save(tmp_path / "three.npy", x)
    path = tmp_path / "three.npy"
    answer = strict_json(call("cka", path, path, "--estimator", "biased", "--json").stdout)
    assert answer["cka"] == pytest.approx(1.0)
    assert answer["cka_unbiased"] is None
    assert "at least 4 examples" in answer["undefined"]["cka_unbiased"]
    refused = call("cka", path, path)
    assert refused.exit_code == 2
    assert "4" in refused.stderr
    assert "biased" in refused.stderr


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current directory with sound and broken inputs."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(1).normal(size=(20, 3))
    np.save("x.npy", x)
    np.save("short.npy", x[:15])
    np.savez("many.npz", first=x, second=x)
    np.save("one-axis.npy", x[:, 0])
    x[7, 2] = np.nan
    np.save("nan.npy", x)
    Path("table.csv").write_text("1,2\n")


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["x.npy", "absent.npy"], 2, ["absent.npy"]),
        (["x.npy", "many.npz:third"], 2, ["many.npz", "third", "first", "second"]),
        (["x.npy", "many.npz"], 2, ["many.npz", "first", "second"]),
        (["x.npy", "table.csv"], 2, ["table.csv", ".npy"]),
        (["x.npy", "short.npy"], 2, ["20", "15", "short.npy"]),
        (["x.npy", "nan.npy"], 2, ["nan.npy", "7", "2"]),
        (["one-axis.npy", "x.npy"], 2, ["one-axis.npy: the array", "(20,)", "(n, 1)"]),
        (["x.npy", "x.npy", "--estimator", "hsic"], 2, ["hsic", "unbiased"]),
        (["x.npy", "x.npy", "--precision", "low"], 2, ["low", "float64"]),
        (["x.npy", "x.npy", "--threads", "0"], 2, ["threads"]),
        (["x.npy", "x.npy", "--device", "cuda"], 1, ["'cuda:0' cannot be used", "'cpu'"]),
        (["x.npy", "x.npy", "--device", "gpu"], 2, ["gpu", "cpu"]),
        (["x.npy"], 2, ["B"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_fault_is_a_readable_message(call, arguments, status, words):
    done = call("cka", *arguments, "--json")
    assert done.exit_code == status, done.stderr
    assert done.stdout == ""
    for idiom in ("Traceback", "Value error", "x[:, None]", "device='cpu'"):
        assert idiom not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("ids", "other_ids", "words"),
    [
        ("abcd", "cbad", ["the same examples in a different order", "fastcka run"]),
        ("abcd", "abce", ["different examples", "fastcka run"]),
        (
            None,
            range(4),
            ["has no example ids: its 4 rows are named by position", "4 rows, named by ids"],
        ),
    ],
)
def test_files_of_stores_must_have_the_same_ids(call, tmp_path, ids, other_ids, words):
    rng = np.random.default_rng(0)
    given = {"one": ids, "same": ids, "other": other_ids}
    with create_store(tmp_path / "store") as store:
        for model, names in given.items():
            x = rng.normal(size=(4, 3))
            store.write(model=model, step=0, layers={"l": x}, example_ids=names and list(names))
    one, same, other = (
        f"{next((tmp_path / 'store').rglob(f'{model}-*/0.h5'))}:/layers/0/x" for model in given
    )
    assert call("cka", one, same).exit_code == 0
    done = call("cka", one, other)
    assert done.exit_code == 2
    for text in words:
        assert text in done.stderr


def test_ids_inside_files_are_compared(call, tmp_path):
    x, ids = np.random.default_rng(0).normal(size=(5, 3)), list("abcde")
    np.savez(tmp_path / "one.npz", x=x, ids=ids)
    np.savez(tmp_path / "bytes.npz", x=x, filenames=np.array(ids, dtype="S"))
    np.savez(tmp_path / "turned.npz", x=x[::-1], ids=ids[::-1])
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        for name, order in (("train", slice(None)), ("test", slice(None, None, -1))):
            file[f"{name}/x"], file[f"{name}/ids"] = x[order], ids[order]
    np.savez(tmp_path / "floats.npz", x=x, ids=np.arange(5.0))  # not usable as ids
    one = f"{tmp_path / 'one.npz'}:x"
    for other in ("bytes.npz:x", "groups.h5:train/x", "floats.npz:x"):
        done = call("cka", one, tmp_path / other)
        assert done.exit_code == 0, done.stderr
    for other in ("turned.npz:x", "groups.h5:/test/x"):
        done = call("cka", one, tmp_path / other)
        assert done.exit_code == 2
        assert "the same examples in a different order" in done.stderr


def test_measures(call, strict_json, pair):
    a, b, x, y = pair
    asked = ["--measure", "procrustes", "--measure", "mutual_knn:k=5", "--measure", "pwcca"]
    shown = call("cka", a, b, *asked, "--json")
    assert shown.exit_code == 0
    answer = strict_json(shown.stdout)["measures"]
    measures = ["procrustes", fastcka.Measure("mutual_knn", k=5), "pwcca"]
    result = fastcka.compare([x, y], measures=measures)
    for name in ("procrustes", "mutual_knn", "pwcca"):
        assert answer[name]["value"] == pytest.approx(result.measure(name)[0, 1], abs=1e-6)
    assert answer["mutual_knn"]["k"] == 5
    assert answer["pwcca"]["value_b"] == pytest.approx(result.measure("pwcca")[1, 0], abs=1e-6)
    printed = " ".join(call("cka", a, b, *asked).stdout.split())
    assert f"nearest neighbours {result.measure('mutual_knn')[0, 1]:.6f}" in printed
    assert "with A and B exchanged" in printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("procruste", "got 'procruste'"),
        ("mutual_knn:5", "expected NAME or NAME:OPTION=VALUE, such as mutual_knn:k=5"),
        ("mutual_knn:k=x", "mutual_knn: k: expected an integer of at least 1; got 'x'"),
        ("mutual_knn:q=3", "mutual_knn has no option q"),
    ],
)
def test_wrong_measures(call, pair, text, message):
    a, b, _, _ = pair
    done = call("cka", a, b, "--measure", text)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


def test_the_text_names_one_precision(call, tmp_path):
    """At precision high they are computed in float64: one line must not name two precisions."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(20, 3)))
    (line,) = (
        line
        for line in call("cka", tmp_path / "x.npy", tmp_path / "x.npy").stdout.splitlines()
        if line.startswith("computed")
    )
    assert "float64 products" in line
    assert "high" not in line
