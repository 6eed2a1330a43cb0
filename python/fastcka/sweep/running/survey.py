"""The workers at the start of a run, and whether they can compute it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastcka.errors import ClusterError
from fastcka.sweep.running.worker import VERSION, Described, describe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from distributed import Client

    from fastcka.sweep.running.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers at the start of a run.

    Attributes
    ----------
    count
        The number of tasks that they compute at the same time.
    here
        How many of these on this machine.
    threads
        Threads for each task, so that all tasks together have a thread for each processor.
    """

    count: int
    here: int
    threads: int


def survey(cluster: Cluster, client: Client, store: Path) -> Workers:
    """Wait for workers, and check that all can compute a sweep over ``store``.

    Raises
    ------
    ClusterError
        A worker has no fastcka, or another version of it, or cannot see the store.
    """
    described: dict[str, Described] = {}
    try:
        while not described:  # a worker that is lost meanwhile gives no answer
            client.wait_for_workers(1)
            tasks = {
                address: int(worker["nthreads"])
                for address, worker in client.scheduler_info(n_workers=-1)["workers"].items()
            }
            replies = client.run(describe, store, workers=list(tasks), on_error="return")
            described = {
                address: _checked(address, reply, store)
                for address, reply in replies.items()
                if not isinstance(reply, OSError)
            }
    except (OSError, RuntimeError) as error:
        raise ClusterError(f"the workers of Dask cannot be reached: {error}") from error
    return _workers(cluster, tasks, described, describe(store))


def _workers(
    cluster: Cluster,
    tasks: Mapping[str, int],
    described: Mapping[str, Described],
    here: Described,
) -> Workers:
    at_once: Counter[str] = Counter()
    processors: dict[str, int] = {}
    for address, worker in described.items():
        at_once[worker.machine] += tasks[address]
        processors[worker.machine] = worker.processors
    if cluster.workers is not None:  # one that was lost comes back
        at_once[here.machine] = cluster.workers
    threads = min(processors[name] // count for name, count in at_once.items())
    return Workers(
        count=at_once.total(),
        here=at_once[here.machine],
        threads=max(1, threads) if cluster.threads is None else cluster.threads,
    )


def _checked(address: str, reply: Any, store: Path) -> Described:
    if not isinstance(reply, Described):
        raise ClusterError(
            f"worker {address}: fastcka cannot be used there ({type(reply).__name__}: {reply}); "
            f"install fastcka {VERSION[0]} in the environment of the workers"
        )
    if reply.version != VERSION:
        raise ClusterError(
            f"worker {address}: expected fastcka {_version_text(VERSION)}, as here; got "
            f"{_version_text(reply.version)}: install the same version in both environments"
        )
    if not reply.sees_store:
        raise ClusterError(
            f"worker {address} on {reply.machine}: there is no folder {store}; workers read the "
            "store themselves, so it must have the same path on all machines"
        )
    return reply


def _version_text(version: tuple[str, int]) -> str:
    return f"{version[0]} (values of version {version[1]})"


def workers_text(workers: Workers, dashboard: str) -> str:
    """Return the workers and the address of the dashboard as text."""
    tasks = f"{workers.count:,} task{'' if workers.count == 1 else 's'} at a time"
    threads = f"{workers.threads} thread{'' if workers.threads == 1 else 's'}"
    return f"Dask computes {tasks}, each with {threads}; dashboard: {dashboard}"
