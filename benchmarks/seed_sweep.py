"""A seed-robustness sweep from checkpoint trees to a report, beside one process for each pair.

Writes a tree as training runs leave it: 7 variants x 3 seeds of models trained on 1, 2 and 3 tasks,
layers 3 to 6, three steps, 4,500 examples of 256 features (each number twice, as in such files), 87
examples in "Atlantis", rows in another order in each model, ids as texts, last steps that differ
between the families, one model missing, one checkpoint half written. Models that share a task share
part of their features. Then it imports the tree, plans, runs the 252 comparisons and reports, each
in a process of its own as a user does, and compares ten pairs in the way of a script for one pair:
a process each, which loads every checkpoint of both models and forms two centred Gram matrices.

Counts are checked against enumeration, and the values of these pairs against float64 from the tree,
before any ratio is printed. Everything lies in the page cache; at full size it takes 11 GB of disk.

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
import time
from pathlib import Path

TASKS = {
    "pt1": "distance|trianglearea|angle|compass|inside|perimeter|crossing",
    "pt2": "distance trianglearea|angle compass|inside perimeter|crossing distance|"
    "trianglearea angle|compass inside|perimeter crossing",
    "pt3": "distance trianglearea angle|compass inside perimeter|crossing distance trianglearea|"
    "angle compass inside|perimeter crossing distance|trianglearea angle compass|"
    "inside perimeter crossing",
}
LAST = {"pt1": 328146, "pt2": 328125, "pt3": 328132}
STEPS = (0, 164080)
LAYERS = (3, 4, 5, 6)
SEEDS = ("orig", 1, 2)
TOKENS, HIDDEN = 2, 128
FILTER = "region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$"
MISSING = "pt1-1_seed2"
HALF_WRITTEN = ("pt1-2", 5, LAST["pt1"])
BYTES_OF_A_NUMBER = 4 * 2 + 4 + 1  # twice in the tree, once in the store, and what goes with it

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
        rows = {row["row_id"]: at for at, row in enumerate(metadata["city_info"])
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


def model_name(family, variant, seed):
    return f"{family}-{variant}" + ("" if seed == "orig" else f"_seed{seed}")


def models_of(count):
    """Model -> factors, of as many variants as make `count` models."""
    return {
        model_name(family, variant, seed): {
            "family": family,
            "variant": variant,
            "seed": seed,
            "tasks": TASKS[family].split("|")[variant - 1].split(),
        }
        for family in TASKS
        for variant in range(1, count // 9 + 1)
        for seed in SEEDS
    }


def counted(models):
    """Comparisons of each question, by going through all pairs of models."""
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
    found = {"different seeds": other_seed, "all seeds": pairs, "ascending": rising}
    return {question: len(LAYERS) * len(own) for question, own in found.items()}


def representations_folder(tree, model, factors, layer):
    extraction = f"{factors['tasks'][0]}_firstcity_last_and_trans_l{layer}"
    return tree / model / "analysis_higher" / extraction / "representations"


def write_tree(tree, models, n):
    """Write all checkpoints; return how many."""
    import numpy as np
    import torch

    rng = np.random.default_rng(20261121)
    every_task = sorted({task for own in models.values() for task in own["tasks"]})
    # What a task makes of the examples, and what all networks make of them.
    signals = {task: rng.standard_normal((n, 6), dtype=np.float32) for task in every_task}
    common = rng.standard_normal((n, 4), dtype=np.float32)
    n_atlantis = round(n * 87 / 4500)
    cities = [
        {
            "row_id": str(1000 + row),
            "name": f"city {row}",
            "x": float(rng.normal()),
            "y": float(rng.normal()),
            "country": f"land {row % 97}",
            "region": "Atlantis" if row < n_atlantis else f"region {row % 11}",
        }
        for row in range(n)
    ]
    texts = [json.dumps(city) for city in cities]
    written = 0
    for model, factors in models.items():
        if model == MISSING:
            continue
        order = rng.permutation(n)
        city_info = f"[{', '.join(texts[row] for row in order)}]"
        parts = [common, *(signals[task] for task in factors["tasks"])]
        signal = np.hstack(parts)[order]
        for layer, step in itertools.product(LAYERS, (*STEPS, LAST[factors["family"]])):
            trained = 0.3 + 0.7 * step / LAST["pt1"] + 0.1 * (layer - LAYERS[0])
            mix = rng.standard_normal((signal.shape[1], TOKENS * HIDDEN), dtype=np.float32)
            x = 3 * rng.standard_normal((n, TOKENS * HIDDEN), dtype=np.float32)
            x += trained * (signal @ mix) + 2
            folder = representations_folder(tree, model, factors, layer) / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            flat = torch.from_numpy(x)
            shape = [n, TOKENS, 1, HIDDEN]
            saved = {
                "representations": flat.reshape(shape).clone(),
                "representations_flat": flat,
                "input_ids": torch.zeros(n, 8, dtype=torch.int64),
                "step": step,
                "layers": [layer],
            }
            torch.save(saved, folder / "representations.pt")
            if (model, layer, step) == HALF_WRITTEN:
                continue
            metadata = {
                "step": str(step),  # json.dump(..., default=str) of NumPy numbers
                "layers": [layer],
                "n_cities": str(n),
                "representation_shape": shape,
                "x_train_mean": float("nan"),
            }
            text = json.dumps(metadata)[:-1] + f', "city_info": {city_info}}}'
            (folder / "metadata.json").write_text(text)
            written += 1
    return written


def timed(label, work, *arguments):
    start = time.perf_counter()
    result = work(*arguments)
    seconds = time.perf_counter() - start
    print(f"{label:46s}{seconds:9.2f} s", flush=True)
    return result, seconds


def fastcka(*arguments, status=0):
    """Run the command in a process of its own; return the JSON that it prints."""
    command = [sys.executable, "-m", "fastcka", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != status:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def one_pair(folders):
    """Compare two models in a fresh process, in the way of a script for one pair."""
    command = [sys.executable, "-c", ONE_PAIR, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def by_float64(folders, step):
    """Biased CKA from the tree; column-centred features, so that no Gram matrix is needed."""
    import numpy as np
    import torch

    centered = []
    for folder in folders:
        checkpoint = folder / f"checkpoint-{step}"
        rows = json.loads((checkpoint / "metadata.json").read_text())["city_info"]
        kept = {row["row_id"]: at for at, row in enumerate(rows) if row["region"] != "Atlantis"}
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
    """Everything but the missing model, and what is wrong with the tree is listed."""
    listed = sorted((own["kind"], own["reason"]) for own in report["findings"])
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
    listed = {name: dict(own) for name, own in models.items()}
    listed[MISSING]["status"] = "failed"
    (place / "models.yaml").write_text(json.dumps(listed))  # JSON is YAML
    tree, store = place / "tree", place / "store"
    print(f"{os.cpu_count()} processors; {len(models) - 1} models of {arguments.rows} examples")
    written, _ = timed("write the tree", write_tree, tree, models, arguments.rows)
    print(f"  {written} checkpoints, {len(LAYERS)} layers, and one half written")

    command = ("store", "import", tree, "--store", store, "--models", place / "models.yaml")
    report, import_seconds = timed("import", lambda: fastcka(*command, status=1))
    check_import(report, len(models))

    for question, expected in counted(models).items():
        sweep = write_sweep(place, question.replace(" ", "_"), QUESTIONS[question])
        plan, _ = timed(f"plan: {question}", fastcka, "plan", sweep)
        print(f"  {plan['comparisons']} comparisons")
        if plan["comparisons"] != expected:
            sys.exit(f"{question}: expected {expected} comparisons")
    answer, seconds = timed(f"run: {expected} comparisons", fastcka, "run", sweep)
    timed("run again, from the ledger", fastcka, "run", sweep)
    timed("report", fastcka, "report", answer["output"])
    rows = read_results(Path(answer["output"]))
    if len(rows) != expected:
        sys.exit(f"{len(rows)} rows in results.csv, expected {expected}")

    every = write_sweep(place, "all_pairs", "within: [family, layer], steps: final_each")
    answer, _ = timed("run: all pairs of a family and layer", fastcka, "run", every)
    alike = read_results(Path(answer["output"]))
    print(f"  mean CKA: same variant {mean_of(alike, same=True)}, ", end="")
    print(f"another {mean_of(alike, same=False)}")

    chosen = [rows[at * len(rows) // arguments.pairs] for at in range(arguments.pairs)]
    sides = [
        [
            representations_folder(
                tree, row[f"model_{s}"], models[row[f"model_{s}"]], row["layer_a"]
            )
            for s in "ab"
        ]
        for row in chosen
    ]
    values, one_by_one = timed(
        f"{len(chosen)} pairs, a process each", lambda: [*map(one_pair, sides)]
    )
    exact = [by_float64(own, row["step_a"]) for own, row in zip(sides, chosen, strict=True)]
    errors = {
        name: max(abs(float(value) - true) for value, true in zip(own, exact, strict=True))
        for name, own in (("fastcka", [row["cka"] for row in chosen]), ("a process each", values))
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
    parser.add_argument("--pairs", type=int, default=10, help="of one process each")
    parser.add_argument("--folder", type=Path, help="where to write; else the system's for such")
    parser.add_argument("--keep", action="store_true", help="leave the files there")
    arguments = parser.parse_args()
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="seed-sweep-", dir=arguments.folder))
    try:
        needed = arguments.models * len(LAYERS) * 3 * arguments.rows * TOKENS * HIDDEN
        needed *= BYTES_OF_A_NUMBER
        free = shutil.disk_usage(place).free
        if free < needed:
            sys.exit(f"{place}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")
        benchmark(place, arguments)
    finally:
        if arguments.keep:
            print(f"kept: {place}")
        else:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
