"""What a run decides about its workers: threads, memory and GPUs; without Dask."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from fastcka.errors import ClusterError
from fastcka.store import Key
from fastcka.sweep import plan_sweep
from fastcka.sweep.planning.memory import LIBRARY_BYTES, memory_of_tasks
from fastcka.sweep.running import cluster, worker
from fastcka.sweep.running.cluster import Cluster
from fastcka.sweep.running.survey import survey


class FakeClient:
    """Workers: address -> (machine, processors, tasks at a time, or the reply itself)."""

    def __init__(self, **workers):
        self._workers = workers

    def wait_for_workers(self, count):
        pass

    def scheduler_info(self, n_workers):
        return {"workers": {name: {"nthreads": tasks} for name, (_, _, tasks) in self._all()}}

    def run(self, function, store, *, workers, on_error):
        return {
            name: machine
            if isinstance(machine, Exception)
            else worker.Described(worker.VERSION, machine, processors, True)
            for name, (machine, processors, _) in self._all()
        }

    def _all(self):
        return self._workers.items()


def _surveyed(tmp_path, client, *, workers=None, threads=None):
    surveyed = survey(Cluster(workers, None, None, threads), client, tmp_path)
    return surveyed.count, surveyed.here, surveyed.threads


def test_all_tasks_of_a_machine_share_its_processors(tmp_path):
    here = worker.describe(tmp_path).machine
    client = FakeClient(a=(here, 16, 1), b=(here, 16, 3), c=("other", 64, 2), d=("other", 64, 2))
    assert _surveyed(tmp_path, client) == (8, 4, 4)
    assert _surveyed(tmp_path, client, threads=7) == (8, 4, 7)
    assert _surveyed(tmp_path, FakeClient(a=(here, 2, 5))) == (5, 5, 1)
    # One of three local workers is lost and comes back.
    client = FakeClient(a=(here, 12, 1), b=(here, 12, 1))
    assert _surveyed(tmp_path, client, workers=3) == (3, 3, 4)


def test_a_worker_that_is_lost_during_the_survey_does_not_count(tmp_path):
    client = FakeClient(a=("one", 4, 1), b=(OSError("closed"), 0, 1))
    assert _surveyed(tmp_path, client) == (1, 0, 4)
    client = FakeClient(a=("one", 4, 1), b=(ModuleNotFoundError("No module 'fastcka'"), 0, 1))
    message = r"worker b: fastcka cannot be used there \(ModuleNotFoundError: .*install fastcka"
    with pytest.raises(ClusterError, match=message):
        _surveyed(tmp_path, client)


def test_memory_of_the_groups_that_are_computed_at_once(config_for, labelled_store):
    keys = [
        Key(f"m{model}", 0, f"layer {layer}")
        for layer, models in enumerate((40, 10, 30))
        for model in range(models)
    ]
    store = labelled_store(keys, {key.model: {} for key in keys}, n_examples=3000)
    groups = plan_sweep(config_for(within=["layer"], device="cpu"), store).groups
    alone = [memory_of_tasks([group], 1).bytes - 2 * LIBRARY_BYTES for group in groups]
    assert alone[0] > alone[2] > alone[1]
    both = memory_of_tasks(groups, 2)
    assert both.bytes == 3 * LIBRARY_BYTES + alone[0] + alone[2]
    assert both.group is groups[0]
    elsewhere = memory_of_tasks(groups, 0)  # this process writes the results
    assert LIBRARY_BYTES < elsewhere.bytes < both.bytes


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ("0", "1", "2")), ("", ("0", "1", "2")), ("5,3,7", ("5", "3", "7"))],
)
def test_local_surveyedtake_the_gpus_in_turn(monkeypatch, visible, expected):
    devices = [SimpleNamespace(index=index) for index in range(3)]
    monkeypatch.setattr(cluster, "cuda_status", lambda: SimpleNamespace(devices=devices))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")  # restored at the end
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    gpus = Cluster(4, None, None, None).gpus
    assert gpus == expected
    assert Cluster(None, "tcp://a:1", None, None).gpus == ()

    library = ModuleType("distributed")
    monkeypatch.setitem(sys.modules, "distributed", library)
    monkeypatch.setattr(worker, "load_group", lambda *_: worker.Failure("nothing to read"))
    monkeypatch.setattr(worker, "open_store", lambda path: None)
    seen = []
    for name in range(4):
        library.get_worker = lambda name=name: SimpleNamespace(name=name)
        settings = worker.Settings(cluster, "biased", "cpu", "high", 1, None, ("cka",), gpus)
        done = worker.compute_flight(settings, [SimpleNamespace()])
        assert done.outcomes == (worker.Failure("nothing to read"),)
        seen.append(worker.os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == [*expected, expected[0]]
