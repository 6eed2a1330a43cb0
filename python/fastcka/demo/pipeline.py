"""The demo from training to report. Each part reuses the results of an earlier run."""

from __future__ import annotations

import importlib
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastcka.capture import planned_steps
from fastcka.demo.capturing import capture_run, probe_accuracy
from fastcka.demo.data import load_split
from fastcka.demo.figures import draw_overview
from fastcka.demo.networks import FAMILIES, LAYERS
from fastcka.demo.summary import Place, SummaryRow, read_pairs, summarize
from fastcka.demo.training import BATCH_SIZE, LEARNING_RATE, Run, is_trained, train
from fastcka.demo.workspace import Workspace
from fastcka.errors import InputError, MissingExtraError
from fastcka.report import write_report
from fastcka.store import create_store
from fastcka.sweep import run_sweep

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress

DEFAULT_STEPS = (0, 30, 120, 600)
DEFAULT_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class DemoResult:
    """What the demo did, its files, and its results.

    Attributes
    ----------
    directory, store, sweep, results, overview, report : Path
        The directory of the demo, and in it the store, ``sweep.yaml``, the results folder, the
        figure and the HTML page.
    runs_trained, runs_reused : int
        Networks that were trained, and networks whose checkpoints already existed.
    steps_captured, steps_reused : int
        Files that were written to the store, and files that already had the same weights and probe.
    groups_computed, groups_reused, comparisons : int
        Groups that the sweep computed and reused, and number of comparisons.
    summary : tuple of SummaryRow
        Mean CKA and number of pairs for each kind of pair and step.
    accuracy : dict of (family, seed) to dict of step to float
        Share of the probe images that the network classifies correctly, 0 to 1.
    n_examples : int
        Number of probe images.
    seconds : dict of str to float
        Wall-clock time of "train", "capture", "sweep" and "report".
    """

    directory: Path
    store: Path
    sweep: Path
    results: Path
    overview: Path
    report: Path
    runs_trained: int
    runs_reused: int
    steps_captured: int
    steps_reused: int
    groups_computed: int
    groups_reused: int
    comparisons: int
    summary: tuple[SummaryRow, ...]
    accuracy: dict[tuple[str, int], dict[int, float]]
    n_examples: int
    seconds: dict[str, float]


def run_demo(
    directory: str | os.PathLike[str],
    *,
    steps: Sequence[int] = DEFAULT_STEPS,
    seeds: Sequence[int] = DEFAULT_SEEDS,
    progress: Progress | None = None,
) -> DemoResult:
    """Train small networks on handwritten digits, compare all their layers, and summarize.

    All files are written to ``directory``. A second call with the same settings reuses checkpoints,
    files of the store and results of the sweep, after checking that they belong to the same run,
    weights and probe.

    Parameters
    ----------
    directory : path
        A new or empty directory, or the directory of an earlier demo with the same settings.
    steps : sequence of int
        Steps (completed updates) at which the networks are saved. Training ends at the last step.
    seeds : sequence of int
        Seeds; one network of each family is trained for each seed.
    progress : rich.progress.Progress, optional
        Progress bars; one task is added for each part.

    Raises
    ------
    InputError
        Before any work, if the directory contains other files or a demo with other settings, or
        the steps or seeds are invalid. Later, if a checkpoint belongs to another run.
    CorruptFileError
        If a checkpoint is damaged.
    MissingExtraError
        If PyTorch, scikit-learn, matplotlib, jinja2 or plotly is not installed.
    """
    steps = planned_steps(steps)
    if not seeds or len(set(seeds)) != len(seeds) or any(not _is_seed(seed) for seed in seeds):
        raise InputError(
            f"seeds: expected one or more distinct integers of at least 0, got {seeds!r}"
        )
    _require("torch", "sklearn", "matplotlib", "jinja2", "plotly")
    bars = progress if progress is not None else _no_bars()
    place = Workspace(Path(directory))
    place.claim(
        {
            "format": "fastcka.demo",
            "steps": steps,
            "seeds": seeds,
            "layers": LAYERS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
        }
    )
    training, probe = load_split()
    runs = [Run(family, seed, steps, place.checkpoints) for family in FAMILIES for seed in seeds]
    seconds: dict[str, float] = {}

    with _timed(seconds, "train"):
        task = bars.add_task("train", total=len(runs) * max(steps))
        trained = 0
        for run in runs:
            bars.update(task, description=f"train {run.model}")
            if is_trained(run, training):
                bars.advance(task, max(steps))
            else:
                train(run, training, on_update=lambda: bars.advance(task))
                trained += 1
        bars.update(task, description="train")

    with _timed(seconds, "capture"), create_store(place.store, exist_ok=True) as store:
        task = bars.add_task("capture", total=len(runs) * len(steps))
        keys = store.keys()
        present = {(key.model, key.step) for key in keys}
        captured = 0
        for run in runs:
            for step in steps:
                stored = (run.model, step) in present
                captured += capture_run(store, run, step, probe, stored=stored)
                bars.advance(task)
        accuracy: dict[tuple[str, int], dict[int, float]] = {
            (run.family, run.seed): {step: probe_accuracy(store, run, step) for step in steps}
            for run in runs
        }

    with _timed(seconds, "sweep"):
        task = bars.add_task("sweep", total=None)
        swept = run_sweep(
            place.sweep,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
        bars.update(
            task, completed=1, total=1
        )  # the sweep reports no progress if it reuses all groups

    with _timed(seconds, "report"):
        places = {
            (run.model, layer): Place(run.family, run.seed, depth)
            for run in runs
            for depth, layer in enumerate(LAYERS[run.family])
        }
        pairs = read_pairs(swept.results_path, places)
        summary = summarize(pairs, steps)
        draw_overview(place.overview, pairs)
        task = bars.add_task("report", total=None)
        report = write_report(place.results, out=place.report)
        bars.update(task, completed=1, total=1)

    return DemoResult(
        directory=place.directory,
        store=place.store,
        sweep=place.sweep,
        results=place.results,  # relative to `directory`, as the other paths
        overview=place.overview,
        report=report.page,
        runs_trained=trained,
        runs_reused=len(runs) - trained,
        steps_captured=captured,
        steps_reused=len(runs) * len(steps) - captured,
        groups_computed=swept.groups_computed,
        groups_reused=swept.groups_reused,
        comparisons=swept.comparisons,
        summary=summary,
        accuracy=accuracy,
        n_examples=len(probe.ids),
        seconds=seconds,
    )


def _is_seed(seed: object) -> bool:
    return isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0


def _require(*modules: str) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtraError.of("the demo", name, "torch,report") from error


def _no_bars() -> Progress:
    from rich.progress import Progress

    return Progress(disable=True)


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start
