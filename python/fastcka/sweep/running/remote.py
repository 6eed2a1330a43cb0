"""Compute groups on the workers of a cluster; this process alone writes the ledger.

    this process   divides the groups into tasks           commits values to the ledger
    Dask           distributes tasks, repeats those of lost workers, returns values
    a worker       reads the data of a task from the store, and computes it

A bounded number of tasks is with Dask at a time, so that neither tasks nor values fill the memory.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING

from fastcka.errors import ClusterError, DeviceError, FastckaError
from fastcka.sweep.ledger.writer import LedgerWriter
from fastcka.sweep.planning.memory import memory_of_tasks
from fastcka.sweep.results.result import SweepEvent
from fastcka.sweep.running.compute import Computed, units_of
from fastcka.sweep.running.division import flights_for, parts_for
from fastcka.sweep.running.loading import Failure
from fastcka.sweep.running.parts import Divided, Task, joined
from fastcka.sweep.running.survey import survey, workers_text
from fastcka.sweep.running.worker import VERSION, Done, Settings, Valued

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from distributed import Client, Future

    from fastcka.sweep.ledger.values import GroupValues
    from fastcka.sweep.ledger.writer import Entries
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan
    from fastcka.sweep.running.cluster import Cluster

RETRIES = 1
"""How often Dask repeats a task that raises an error, such as a shortage of memory."""

LEAST_TASKS = 64
TASKS_PER_WORKER = 4
"""Tasks that Dask has for each task that the workers compute. It has at least `LEAST_TASKS`: a
cluster that grows by itself needs tasks that wait."""


def compute_on_cluster(
    cluster: Cluster,
    groups: Sequence[GroupPlan],
    plan: SweepPlan,
    ledger: Path,
    *,
    progress: Callable[[int, int], None] | None,
    tell: Callable[[SweepEvent], None],
) -> Computed:
    """Compute ``groups`` on workers and commit each to the ledger; see `run_sweep`."""
    if not groups:
        return Computed()
    store = plan.config.store.resolve()
    with cluster.connected() as client:
        workers = survey(cluster, client, store)
        tell(SweepEvent("connected", workers_text(workers, client.dashboard_link)))
        memory_of_tasks(groups, workers.here).require(plan.memory)
        config = plan.config
        settings = Settings(
            store=store,
            estimator=config.estimator,
            device=config.device,
            precision=config.precision,
            threads=workers.threads,
            inference=config.inference,
            measures=config.measures,
            gpus=() if config.device == "cpu" else cluster.gpus,
        )
        with LedgerWriter(ledger, config.computation) as writer:
            run = _Remote(client, settings, writer, progress, tell)
            run.add(groups, workers.count)
            run.compute(max(LEAST_TASKS, TASKS_PER_WORKER * workers.count))
            writer.finish()
            run.tell_committed()
    return run.computed


class _Remote:
    """The tasks of a run: those that wait, and those that are with Dask."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        writer: LedgerWriter,
        progress: Callable[[int, int], None] | None,
        tell: Callable[[SweepEvent], None],
    ) -> None:
        self.computed = Computed()
        self._client = client
        self._settings = settings
        self._writer = writer
        self._progress = progress
        self._tell = tell
        self._waiting: deque[Task] = deque()
        self._running: dict[Future, Task] = {}
        self._seconds: dict[int, float] = {}
        self._undefined: dict[int, tuple[str, ...]] = {}
        self._units = self._total = 0

    def add(self, groups: Sequence[GroupPlan], workers: int) -> None:
        """Divide groups into tasks; the parts of divided groups, which are large, come first."""
        # The parts of a divided group would repeat the measures of each representation.
        parts = {} if groups[0].measures else parts_for(groups, workers)
        for group in groups:
            if group.position in parts:
                divided = Divided(group)
                divided.tasks = [
                    Task([group], divided, members) for members in parts[group.position]
                ]
                self._waiting.extend(divided.tasks)
        whole = [group for group in groups if group.position not in parts]
        flights = [Task(flight) for flight in flights_for(whole, self._settings.threads, workers)]
        self._waiting.extend(sorted(flights, key=lambda task: -task.units))
        self._total = sum(map(units_of, groups))

    def compute(self, most: int) -> None:
        """Compute all tasks, at most ``most`` of them at a time with Dask."""
        from distributed import as_completed

        self._report()
        arriving = as_completed(loop=self._client.loop)
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < most:
                    arriving.add(self._submitted(self._waiting.popleft()))
                future = next(arriving)
                self._take(self._running.pop(future), future)
                self.tell_committed()
        except BaseException as error:
            self._cancel(list(self._running))
            if isinstance(error, Exception) and self._client.status != "running":
                raise _lost() from error
            raise

    def tell_committed(self) -> None:
        """Report the groups that were committed since the last call."""
        for group in self._writer.committed():
            self.computed.seconds[group.position] = self._seconds.pop(group.position)
            for message in self._undefined.pop(group.position):
                self._tell(SweepEvent("undefined", message, group.name))
            self._tell(SweepEvent("computed", f"'{group.name}' is computed", group.name))

    def _submitted(self, task: Task) -> Future:
        function, arguments = task.call()
        future = self._client.submit(
            function, self._settings, *arguments, pure=False, retries=RETRIES
        )
        self._running[future] = task
        return future

    def _cancel(self, futures: list[Future]) -> None:
        with suppress(Exception):  # the client may be closed, and then all are cancelled
            self._client.cancel(futures, force=True)

    def _take(self, task: Task, future: Future) -> None:
        if task.divided is not None and task.divided.given_up:
            return  # it may have been cancelled
        done = _done(future)
        if task.divided is not None:
            self._take_part(task, task.divided, done)
            return
        if isinstance(done, Failure):
            done = Done((done,) * len(task.flight), 0, 0, VERSION)
        self._count(done)
        entries = []
        shares = [units_of(group) / task.units for group in task.flight]
        for group, outcome, share in zip(task.flight, done.outcomes, shares, strict=True):
            if isinstance(outcome, Valued):
                seconds = (done.reading + done.computing) * share
                entries.append(self._entry(group, outcome, seconds))
            else:
                self._fail(group, "" if outcome is None else outcome.reason)
        self._put(entries, task)

    def _take_part(self, task: Task, divided: Divided, done: Done | Failure) -> None:
        """Take a part. Where it has no values, the whole group gives them, or the reason."""
        outcome = None
        if isinstance(done, Done):
            self._count(done)
            (outcome,) = done.outcomes
        if isinstance(outcome, Valued):
            divided.parts[task.members] = outcome
            if divided.alike:
                if divided.complete:
                    whole = joined(divided)
                    seconds = float(whole.values.provenance["seconds"])
                    self._put([self._entry(divided.group, whole, seconds)], task)
                return
        divided.given_up = True
        obsolete = [future for future, other in self._running.items() if other.divided is divided]
        self._cancel(obsolete)
        self._waiting = deque(other for other in self._waiting if other.divided is not divided)
        self._waiting.appendleft(Task([divided.group]))

    def _put(self, entries: Entries, task: Task) -> None:
        self._writer.put(entries)
        self._units += task.units
        self._report()

    def _count(self, done: Done) -> None:
        self.computed.reading += done.reading
        self.computed.computing += done.computing

    def _entry(
        self, group: GroupPlan, outcome: Valued, seconds: float
    ) -> tuple[GroupPlan, GroupValues]:
        self._seconds[group.position] = seconds
        self._undefined[group.position] = outcome.undefined
        return group, outcome.values

    def _fail(self, group: GroupPlan, reason: str) -> None:
        self.computed.failed[group.position] = reason
        self._tell(SweepEvent("failed", f"group '{group.name}': {reason}", group.name))

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._units, self._total)


def _done(future: Future) -> Done | Failure:
    """Return what a task gave, or why it gave nothing.

    Raises
    ------
    ClusterError
        The scheduler is gone.
    DeviceError
        The device cannot be used; this concerns all tasks.
    """
    from distributed import KilledWorker

    try:
        done: Done = future.result()
    except KilledWorker as error:
        return Failure(
            f"{error.allowed_failures + 1} workers were lost while they computed it (killed, or "
            "out of memory): use fewer workers, or workers with more memory, and run again"
        )
    except CancelledError as error:
        raise _lost() from error
    except DeviceError:
        raise
    except FastckaError as error:
        return Failure(str(error))
    except Exception as error:  # any error of an environment that differs from this one
        return Failure(f"on a worker: {type(error).__name__}: {error}")
    if done.version != VERSION:
        here, there = VERSION[0], done.version[0]
        return Failure(f"a worker has fastcka {there}, and this process {here}: use the same")
    return done


def _lost() -> ClusterError:
    return ClusterError(
        "the connection to Dask's scheduler was lost; what was computed is in the ledger, and the "
        "same command computes what is missing"
    )
