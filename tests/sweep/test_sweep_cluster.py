"""Sweeps on Dask workers: the table of one process, whatever happens to the workers."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from fastcka.errors import ClusterError, FailedGroupsError, InputError, MissingExtraError
from fastcka.store import create_store
from fastcka.sweep import Shard, load_sweep, run_sweep
from fastcka.sweep.running import remote

distributed = pytest.importorskip("distributed")

# Dask's event loop closes some of its sockets late.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
LAYERS, MODELS = 8, 6


@pytest.fixture(scope="module")
def client():
    """Start two workers, each with a nanny that replaces it."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def world(tmp_path_factory, but_for_seconds):
    """Write a store of 6 models x 8 layers; return (folder, table of one process).

    Each model has its rows in a different order, a filter drops some, half of the layers are
    float64.
    """
    folder = tmp_path_factory.mktemp("cluster")
    rng = np.random.default_rng(12)
    with create_store(folder / "store") as store:
        for model in range(MODELS):
            layers = {
                f"layer{layer}": rng.normal(size=(300, 24 + layer)).astype(
                    (np.float32, np.float64)[layer % 2]
                )
                for layer in range(LAYERS)
            }
            ids = rng.permutation(300)
            store.write(model=f"m{model}", step=0, layers=layers, example_ids=ids)
    return folder, but_for_seconds(run_sweep(_sweep(folder, "alone")).results_path)


def _sweep(folder, output, *, within="[layer]", **fields):
    path = folder / f"{output}.yaml"
    more = "".join(f"{name}: {value}\n" for name, value in fields.items())
    path.write_text(
        f"store: store\noutput: {output}\ncompare: {{within: {within}}}\n"
        f"examples: id:^(?!1)\n{more}",
        "utf-8",
    )
    return path


def _groups(output):
    """Return how often each group is in the ledger, with plain SQL."""
    with closing(sqlite3.connect(output / "ledger.sqlite")) as db:
        names = [name for (name,) in db.execute("SELECT name FROM groups")]
        cells = db.execute("SELECT count(*) FROM similarities").fetchone()[0]
    assert len(set(names)) == len(names)
    return len(names), cells


def test_the_table_is_that_of_one_process(world, client, but_for_seconds, no_figures):
    folder, table = world
    events = []
    progress = []
    result = run_sweep(
        _sweep(folder, "workers"),
        client=client,
        on_event=events.append,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert but_for_seconds(result.results_path) == table
    assert (result.groups_computed, result.groups_reused) == (LAYERS, 0)
    assert [event.kind for event in events].count("computed") == LAYERS
    connected = [event.message for event in events if event.kind == "connected"]
    assert len(connected) == 1
    assert connected[0].startswith("Dask computes 2 tasks at a time, each with ")
    assert "; dashboard: http://127.0.0.1:" in connected[0]
    assert progress == sorted(progress)
    assert progress[0][0] == 0
    assert progress[-1][0] == progress[-1][1]
    assert _groups(folder / "workers") == (LAYERS, LAYERS * MODELS * (MODELS + 1) // 2)
    assert client.status == "running"  # it is the caller's


def test_inference_is_that_of_one_process(world, client, but_for_seconds, no_figures):
    folder, _ = world
    alone = run_sweep(_sweep(folder, "p-alone", inference="{alternative: greater}"))
    remote = run_sweep(
        _sweep(folder, "p-remote", inference="{alternative: greater}"), client=client
    )
    table = but_for_seconds(alone.results_path)
    assert "p_value" in table[0]
    assert but_for_seconds(remote.results_path) == table


def test_a_run_resumes_what_another_kind_of_run_began(world, client, but_for_seconds, no_figures):
    folder, table = world
    first = run_sweep(_sweep(folder, "resumed"), shard=Shard(1, 3))
    second = run_sweep(_sweep(folder, "resumed"), shard=Shard(2, 3), client=client)
    assert second.ledger_path.name == "ledger.2-of-3.sqlite"
    assert first.groups_computed + second.groups_computed < LAYERS
    third = run_sweep(_sweep(folder, "resumed"), client=client)
    computed = [each.groups_computed for each in (first, second, third)]
    assert sum(computed) == LAYERS
    assert third.groups_reused == LAYERS - computed[2]
    assert but_for_seconds(third.results_path) == table
    events = []
    again = run_sweep(_sweep(folder, "resumed"), client=client, on_event=events.append)
    assert again.groups_computed == 0
    assert "connected" not in [event.kind for event in events]  # nothing to compute


@pytest.fixture
def divided(monkeypatch):
    """Divide every group of at least 6 representations into the parts of 3 blocks."""

    def parts_for(groups, workers):
        return {
            group.position: remote.parts_of(group, 3)
            for group in groups
            if len(group.representations) >= 6
        }

    from fastcka.sweep.running import division

    monkeypatch.setattr(remote, "parts_of", division.parts_of, raising=False)
    monkeypatch.setattr(remote, "parts_for", parts_for)


@pytest.mark.parametrize("inference", ["null", "true"])
def test_divided_groups_give_the_same_table(
    world, client, divided, inference, but_for_seconds, no_figures
):
    folder, _ = world
    name = f"divided-{inference}"
    alone = run_sweep(_sweep(folder, f"{name}-alone", inference=inference))
    result = run_sweep(_sweep(folder, name, inference=inference), client=client)
    assert but_for_seconds(result.results_path) == but_for_seconds(alone.results_path)
    with closing(sqlite3.connect(result.ledger_path)) as db:
        parts = db.execute("SELECT json_extract(provenance, '$.parts') FROM groups").fetchall()
    assert parts == [(3,)] * LAYERS


def test_a_divided_group_with_far_examples_is_computed_whole(
    tmp_path, client, divided, but_for_seconds, no_figures
):
    rng = np.random.default_rng(13)
    with create_store(tmp_path / "store") as store:
        for model in range(MODELS):
            x = rng.normal(size=(300, 40)).astype(np.float32)
            x[17] *= 1000 if model == 4 else 1
            store.write(model=f"m{model}", step=0, layers={"fc": x, "head": x[:, :9]})
    alone = run_sweep(_sweep(tmp_path, "alone"))
    result = run_sweep(_sweep(tmp_path, "remote"), client=client)
    assert but_for_seconds(result.results_path) == but_for_seconds(alone.results_path)
    assert _groups(tmp_path / "remote")[0] == 2


@pytest.mark.parametrize("moment", range(3))
def test_a_killed_worker_changes_nothing(
    world, client, moment, but_for_seconds, no_figures, monkeypatch
):
    """kill -9 of a worker before, during and after the first results."""
    monkeypatch.setattr(remote, "flights_for", lambda groups, *_: [[group] for group in groups])
    folder, table = world
    seen, killed = [], []
    client.wait_for_workers(2, timeout=120)
    time.sleep(2)  # Dask does not restart a worker that is lost in its first moment

    def kill(event):
        seen.append(event.kind)
        if seen.count("computed") == 2 * moment and event.kind in ("connected", "computed"):
            victims = client.run(os.getpid)
            os.kill(victims[min(victims)], signal.SIGKILL)
            killed.append(event.kind)

    result = run_sweep(_sweep(folder, f"killed{moment}"), client=client, on_event=kill)
    assert result.groups_computed == LAYERS
    assert but_for_seconds(result.results_path) == table
    assert _groups(folder / f"killed{moment}")[0] == LAYERS
    assert len(killed) == 1


def test_a_group_that_changed_since_the_plan_fails_alone(world, client, monkeypatch, no_figures):
    folder, _ = world
    config = load_sweep(_sweep(folder, "changed"))
    call = remote.Task.call

    def changed(task):
        function, (groups,) = call(task)
        for group in groups:
            if group.representations[0].key.layer == "layer3":
                object.__setattr__(group.representations[0], "digest", "another")
        return function, (groups,)

    monkeypatch.setattr(remote.Task, "call", changed)
    with pytest.raises(
        FailedGroupsError, match=r"(?s)1 group could not .*layer3.* has changed since"
    ):
        run_sweep(config, client=client)
    monkeypatch.undo()
    assert run_sweep(config, client=client).groups_computed == 1


def test_an_error_on_a_worker_names_it(world, client, monkeypatch, no_figures):
    folder, _ = world
    monkeypatch.setattr(remote.Task, "call", lambda task: (os.kill, (0, 0, 0)))
    with pytest.raises(FailedGroupsError, match=r"(?s)8 groups .*on a worker: TypeError: "):
        run_sweep(_sweep(folder, "errors"), client=client)


def test_an_interrupted_run_keeps_what_it_has_and_cancels_the_rest(
    world, client, but_for_seconds, no_figures, monkeypatch
):
    monkeypatch.setattr(remote, "flights_for", lambda groups, *_: [[group] for group in groups])
    folder, table = world

    def interrupt(event):
        if event.kind == "computed":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(_sweep(folder, "interrupted"), client=client, on_event=interrupt)
    assert _groups(folder / "interrupted")[0] >= 1
    for _ in range(100):
        if not any(client.processing().values()):
            break
        time.sleep(0.1)
    assert not any(client.processing().values())
    result = run_sweep(_sweep(folder, "interrupted"), client=client)
    assert result.groups_reused >= 1
    assert but_for_seconds(result.results_path) == table


def test_a_lost_scheduler_is_an_error(world, no_figures):
    folder, _ = world
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
        processes=False,
    ) as cluster:

        def close(event):
            if event.kind == "connected":
                threading.Thread(target=cluster.close).start()
                time.sleep(1)

        with pytest.raises(ClusterError, match=r"connection to Dask's scheduler was lost"):
            run_sweep(_sweep(folder, "lost"), scheduler=cluster.scheduler_address, on_event=close)


# --- wrong calls -------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "nowhere://x", "tcp://:", "127"])
def test_a_wrong_address_is_an_error_in_bounded_time(world, address, monkeypatch):
    monkeypatch.setattr("fastcka.sweep.running.cluster.SECONDS_TO_CONNECT", 1)
    with socket.socket() as silent:  # accepts connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = address.format(port=silent.getsockname()[1])
        with pytest.raises(ClusterError, match=r"scheduler: no Dask scheduler answers at .*8786"):
            run_sweep(_sweep(world[0], "nowhere"), scheduler=address)


def test_the_address_of_a_worker_is_no_scheduler(world, client):
    address = min(client.scheduler_info()["workers"])
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at .*a Worker answers"):
        run_sweep(_sweep(world[0], "worker"), scheduler=address)


def test_without_dask_the_error_names_the_command(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r'pip install "fastcka\[cluster\]"'):
        run_sweep(_sweep(world[0], "nothing"), workers=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers: expected a whole number of at least 1, got 0"),
        ({"workers": True}, "workers: expected a whole number of at least 1, got True"),
        ({"workers": "2"}, "workers: expected a whole number of at least 1, got '2'"),
        ({"workers": 2, "scheduler": "tcp://a:1"}, "expected at most one of them"),
        ({"client": "tcp://a:1"}, "client: expected a distributed.Client, got str"),
        ({"scheduler": 8786}, "scheduler: expected the address of a Dask scheduler, got 8786"),
    ],
)
def test_a_wrong_argument_is_refused(world, options, message):
    with pytest.raises(InputError, match=message):
        run_sweep(_sweep(world[0], "nothing"), **options)


def test_workers_without_the_store_or_with_another_version_are_refused(client, tmp_path):
    from fastcka.sweep.running.cluster import Cluster
    from fastcka.sweep.running.survey import survey

    cluster = Cluster.of(None, None, client, None)
    with pytest.raises(ClusterError, match=r"worker tcp://.* there is no folder .*missing"):
        survey(cluster, client, tmp_path / "missing")
    pretend = "from fastcka.sweep.running import worker\nworker.VERSION = ({version}, 0)"
    client.run(exec, pretend.format(version="'0.0.1'"))
    try:
        with pytest.raises(ClusterError, match=r"worker tcp://.*got 0\.0\.1 .*the same version"):
            survey(cluster, client, tmp_path)
    finally:
        undo = "worker.version, worker.VALUES_VERSION"
        client.run(exec, f"from fastcka.sweep.running import worker\nworker.VERSION = ({undo})")
    assert survey(cluster, client, tmp_path).count >= 1
