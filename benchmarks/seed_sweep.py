"""A sweep over seeds from checkpoint trees to a report, and one process for each pair.

Imports the tree of `seed_tree.py`, plans, runs the 252 comparisons and reports, each in a separate
process as a user does. Then it compares ten pairs as a script for one pair does: in a process
that loads every checkpoint of both models and forms two centred Gram matrices.

Counts are checked against enumeration, and the values of these pairs against float64 from the tree,
before any ratio is printed. All files are in the page cache. The full size takes 11 GB of disk.

    python benchmarks/seed_sweep.py [--models 63] [--rows 4500] [--pairs 10] [--folder DIR] [--keep]
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for a script, Python adds only its folder

from benchmarks import clock
from benchmarks.seed_tree import (
    HIDDEN,
    LAYERS,
    MISSING,
    SEEDS,
    TOKENS,
    models_of,
    representations_folder,
    write_tree,
)

FILTER = "region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$"
#: Bytes on disk for each number: twice in the tree, once in the store, and one for the rest.
BYTES_PER_NUMBER = 4 * 2 + 4 + 1

COMPARE = "within: [family, layer], disjoint: [tasks], steps: final_each"
QUESTIONS = {
    "different seeds": f"{COMPARE}, differ: [seed]",
    "all seeds": COMPARE,
    "ascending": f"{COMPARE}, differ: [seed], ascending: [variant, seed], "
    "order: {seed: [orig, 1, 2]}",
}

ONE_PAIR = """
import json, re, sys
from pathlib import Path
import torch

def load(folder):
    steps = {}
    for checkpoint in Path(folder).glob("checkpoint-*"):
        metadata = json.loads((checkpoint / "metadata.json").read_text())
        saved = torch.load(checkpoint / "representations.pt", weights_only=True)
        rows = {row["row_id"]: i for i, row in enumerate(metadata["city_info"])
                if re.match("^(?!Atlantis).*", row["region"])
                and re.match("^[1-9][0-9]{3,}$", row["row_id"])}
        steps[saved["step"]] = rows, saved["representations_flat"].float()
    return steps

def centered_gram(x):
    gram = x @ x.T
    gram = gram - gram.mean(dim=0, keepdim=True)
    return gram - gram.mean(dim=1, keepdim=True)

one, other = load(sys.argv[1]), load(sys.argv[2])
step = max(set(one) & set(other))
common = sorted(set(one[step][0]) & set(other[step][0]))
k, m = (centered_gram(x[[rows[city] for city in common]]) for rows, x in (one[step], other[step]))
print(float((k * m).sum() / torch.sqrt((k * k).sum() * (m * m).sum())))
"""


def counted(models):
    """The number of comparisons of each question, from a loop over all pairs of models."""
    pairs = [
        (a, b)
        for a, b in itertools.combinations(models.values(), 2)
        if a["family"] == b["family"] != "pt1" and not set(a["tasks"]) & set(b["tasks"])
    ]
    other_seed = [(a, b) for a, b in pairs if a["seed"] != b["seed"]]
    rising = [
        (a, b)
        for a, b in other_seed
        if (a["variant"] < b["variant"]) == (SEEDS.index(a["seed"]) < SEEDS.index(b["seed"]))
    ]
    kept = {"different seeds": other_seed, "all seeds": pairs, "ascending": rising}
    return {question: len(LAYERS) * len(chosen) for question, chosen in kept.items()}


def announced(label, work, *arguments):
    result, seconds = clock.timed(lambda: work(*arguments))
    print(f"{label:46s}{seconds:9.2f} s", flush=True)
    return result, seconds


def fastcka(*arguments, status=0):
    """Run the command in a separate process; return the JSON that it prints."""
    command = [sys.executable, "-m", "fastcka", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != status:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def one_pair(folders):
    """Compare two models in a new process, as a script for one pair does."""
    command = [sys.executable, "-c", ONE_PAIR, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def by_float64(folders, step):
    """Biased CKA of two models from the tree, from centred features instead of Gram matrices."""
    centered = []
    for folder in folders:
        checkpoint = folder / f"checkpoint-{step}"
        rows = json.loads((checkpoint / "metadata.json").read_text())["city_info"]
        kept = {row["row_id"]: i for i, row in enumerate(rows) if row["region"] != "Atlantis"}
        x = torch.load(checkpoint / "representations.pt")["representations_flat"].numpy()
        x = x[[kept[city] for city in sorted(kept)]].astype(np.float64)
        centered.append(x - x.mean(axis=0))
    x, y = centered
    inner = [np.sum((a.T @ b) ** 2) for a, b in ((x, y), (x, x), (y, y))]
    return inner[0] / np.sqrt(inner[1] * inner[2])


def write_sweep(folder, name, compare):
    path = folder / f"{name}.yaml"
    path.write_text(
        f"store: store\noutput: {name}\nestimator: biased\nexamples: '{FILTER}'\n"
        f"select: {{family: [pt2, pt3]}}\ncompare: {{{compare}}}\n"
    )
    return path


def check_import(report, n_models):
    """All models but the missing one are imported, and both faults of the tree are listed."""
    listed = sorted((finding["kind"], finding["reason"]) for finding in report["findings"])
    if listed != [("missing", "missing, as listed"), ("skipped", "incomplete checkpoint")]:
        sys.exit(f"import: expected one missing model and one incomplete checkpoint, got {listed}")
    if len(report["imported"]) != 3 * (n_models - 1):
        sys.exit(f"import: {len(report['imported'])} steps of {n_models - 1} models")


def read_results(folder):
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mean_of(rows, *, same):
    values = [float(row["cka"]) for row in rows if (row["variant_a"] == row["variant_b"]) == same]
    return f"{sum(values) / len(values):.3f} (n = {len(values)})"


def benchmark(place, arguments):
    models = models_of(arguments.models)
    listed = {name: dict(factors) for name, factors in models.items()}
    listed[MISSING]["status"] = "failed"
    (place / "models.yaml").write_text(json.dumps(listed))  # JSON is YAML
    tree, store = place / "tree", place / "store"
    print(f"{os.cpu_count()} processors; {len(models) - 1} models of {arguments.rows} examples")
    written, _ = announced("write the tree", write_tree, tree, models, arguments.rows)
    print(f"  {written} checkpoints, {len(LAYERS)} layers, and one half written")

    command = ("store", "import", tree, "--store", store, "--models", place / "models.yaml")
    report, import_seconds = announced("import", lambda: fastcka(*command, status=1))
    check_import(report, len(models))

    for question, expected in counted(models).items():
        sweep = write_sweep(place, question.replace(" ", "_"), QUESTIONS[question])
        plan, _ = announced(f"plan: {question}", fastcka, "plan", sweep)
        print(f"  {plan['comparisons']} comparisons")
        if plan["comparisons"] != expected:
            sys.exit(f"{question}: expected {expected} comparisons")
    answer, seconds = announced(f"run: {expected} comparisons", fastcka, "run", sweep)
    announced("run again, from the ledger", fastcka, "run", sweep)
    announced("report", fastcka, "report", answer["output"])
    rows = read_results(Path(answer["output"]))
    if len(rows) != expected:
        sys.exit(f"{len(rows)} rows in results.csv, expected {expected}")

    every = write_sweep(place, "all_pairs", "within: [family, layer], steps: final_each")
    answer, _ = announced("run: all pairs of a family and layer", fastcka, "run", every)
    alike = read_results(Path(answer["output"]))
    print(f"  mean CKA: same variant {mean_of(alike, same=True)}, ", end="")
    print(f"another {mean_of(alike, same=False)}")

    chosen = [rows[i * len(rows) // arguments.pairs] for i in range(arguments.pairs)]
    sides = [
        [
            representations_folder(
                tree, row[f"model_{s}"], models[row[f"model_{s}"]], row["layer_a"]
            )
            for s in "ab"
        ]
        for row in chosen
    ]
    values, one_by_one = announced(
        f"{len(chosen)} pairs, a process each", lambda: [*map(one_pair, sides)]
    )
    exact = [by_float64(folders, row["step_a"]) for folders, row in zip(sides, chosen, strict=True)]
    errors = {
        name: max(abs(float(value) - true) for value, true in zip(given, exact, strict=True))
        for name, given in (("fastcka", [row["cka"] for row in chosen]), ("a process each", values))
    }
    shown = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
    print(f"  largest errors against float64: {shown}")
    if errors["fastcka"] > 1e-6 or errors["a process each"] > 1e-3:
        sys.exit("the values are wrong")
    a_pair = one_by_one / len(chosen)
    print(f"{a_pair:.2f} s a pair: {a_pair * len(rows):.0f} s for {len(rows)}, run one by one;")
    print(f"store to results.csv is {a_pair * len(rows) / seconds:.0f} times as fast, ", end="")
    print(f"with the import {a_pair * len(rows) / (import_seconds + seconds):.0f} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=63, choices=range(18, 64, 9))
    parser.add_argument("--rows", type=int, default=4500)
    parser.add_argument(
        "--pairs", type=int, default=10, help="pairs that are compared in a process each"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="folder for the files; default: the temporary folder of the system",
    )
    parser.add_argument("--keep", action="store_true", help="keep the files")
    arguments = parser.parse_args()
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="seed-sweep-", dir=arguments.folder))
    try:
        needed = arguments.models * len(LAYERS) * 3 * arguments.rows * TOKENS * HIDDEN
        needed *= BYTES_PER_NUMBER
        free = shutil.disk_usage(place).free
        if free < needed:
            sys.exit(
                f"{place}: expected {needed / 1e9:.1f} GB of free disk, got {free / 1e9:.1f} GB"
            )
        benchmark(place, arguments)
    finally:
        if arguments.keep:
            print(f"kept: {place}")
        else:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
