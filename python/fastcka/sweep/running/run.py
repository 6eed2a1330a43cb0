"""Run a sweep: compute the groups that no ledger contains, then write the results."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from fastcka.core import Device, checked_device, require_device
from fastcka.errors import BusyFolderError, FailedGroupsError
from fastcka.files import remove_file
from fastcka.out_of_memory import named_shortage
from fastcka.store import Store, open_store
from fastcka.sweep.ledger.ledger import Ledger
from fastcka.sweep.ledger.merging import adopt_shards, groups_held, why_again
from fastcka.sweep.planning.exporter import exporter_of
from fastcka.sweep.planning.folder import (
    LEDGER,
    RESULTS,
    RUN,
    claimed_folder,
    ledger_of_shard,
    shared_folder,
)
from fastcka.sweep.planning.group import GroupPlan
from fastcka.sweep.planning.plan import SweepPlan, plan_sweep
from fastcka.sweep.question.config import SweepConfig, load_sweep
from fastcka.sweep.results.exports import Exports, remove_stale, write_results
from fastcka.sweep.results.figures import draw_figures
from fastcka.sweep.results.record import (
    failures,
    files_before,
    read_record,
    replaced_comparisons,
    run_record,
    write_record,
)
from fastcka.sweep.results.result import SweepEvent, SweepResult, failed_text
from fastcka.sweep.running.cluster import Cluster
from fastcka.sweep.running.compute import Computed, compute_here
from fastcka.sweep.running.remote import compute_on_cluster

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from distributed import Client

    from fastcka.sweep.ledger.shards import Shard

_NOTED = ("recomputing", "undefined", "no_figures", "replaced", "doubtful")


@named_shortage("computing a sweep", "see what `fastcka plan` says of memory")
def run_sweep(
    config: SweepConfig | str | os.PathLike[str],
    *,
    shard: Shard | None = None,
    device: Device | None = None,
    threads: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    client: Client | None = None,
    memory: int | str | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_event: Callable[[SweepEvent], None] | None = None,
) -> SweepResult:
    """Compute the comparisons of a sweep that are not yet in its ledgers, and write the results.

    Each group is committed to the ledger (an SQLite file in the output) once it is computed. If the
    run is interrupted (Ctrl-C, kill -9, a full disk), a later run resumes and gives the same table.
    A group that cannot be computed does not stop the others.

    Parameters
    ----------
    config
        The sweep, or the path of its YAML file.
    shard
        Compute only this part, into a separate ledger. The other parts may run at the same time
        with the same output folder. The part that finishes last writes the results. A later run
        without a shard also writes them: it reuses the shards' groups and computes the rest.
    device
        Overrides the device of ``config``.
    threads
        Number of CPU threads; None: see `fastcka.compare`. The values do not depend on it. On
        workers: for each task; None divides the processors of a machine among its tasks.
    workers, scheduler, client
        Compute on Dask workers: a number of processes on this machine, the address of a scheduler,
        or a ``distributed.Client``. Workers read the store themselves, under the same path. At most
        one of the three; none computes in this process. The values have the same bits.
    memory
        As of `plan_sweep`.
    progress
        Called as ``progress(done, total)``, in units of estimated work, from this thread.
    on_event
        Called with each :class:`SweepEvent`, from this thread.

    Returns
    -------
    SweepResult
        Counts and the paths of the results.

    Raises
    ------
    FailedGroupsError
        At the end, if groups could not be computed (an unreadable file, NaN, a store that changed
        during the run). All other groups are in the results.
    SweepError
        The configuration is not valid, or the output folder or a ledger cannot be used.
    StoreError, DeviceError, ClusterError
        The store cannot be opened; the device, or the workers, cannot be used.
    OutOfMemoryError
        Before anything is computed, if the sweep needs more memory than is free
        (`fastcka.memory_check` turns this check off). Later, if an allocation failed; the groups
        that were computed before are in the ledger.
    """
    if not isinstance(config, SweepConfig):
        config = load_sweep(config)
    if device is not None:
        config = config.model_copy(update={"device": checked_device(device)})
    cluster = Cluster.of(workers, scheduler, client, threads)
    if cluster is None:
        require_device(config.device)
    started, clock = datetime.now(UTC), time.perf_counter()
    with open_store(config.store) as store:
        plan = plan_sweep(config, store, threads=threads, memory=memory)
        run = _Run(plan, store, cluster, progress, on_event, started, clock)
        run.tell(SweepEvent("planned", run.plan.explain()))
        for line in plan.doubtful:
            run.tell(SweepEvent("doubtful", line))
        run.end_lap("plan")
        result = run.whole() if shard is None else run.part(shard)
    if result.failed:
        raise FailedGroupsError(failed_text(result), result)
    return result


@dataclass(slots=True)
class _Run:
    """One run, with its plan, callbacks and notes."""

    plan: SweepPlan
    store: Store
    cluster: Cluster | None
    progress: Callable[[int, int], None] | None
    on_event: Callable[[SweepEvent], None] | None
    started: datetime
    clock: float
    laps: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def tell(self, event: SweepEvent) -> None:
        if event.kind in _NOTED:
            self.notes.append(event.message)
        if self.on_event is not None:
            self.on_event(event)

    def end_lap(self, name: str) -> None:
        """Record the seconds since the last lap."""
        self.laps[name] = time.perf_counter() - self.clock - sum(self.laps.values())

    def whole(self) -> SweepResult:
        """Compute the missing groups, and export."""
        config = self.plan.config
        with (
            claimed_folder(config.output, config.store) as output,
            Ledger(output / LEDGER) as ledger,
        ):
            adopt_shards(ledger, self.plan)
            computed = self._compute(self.plan.groups, ledger)
            exports = self._export(ledger, computed)
        return self._result(ledger.path, self.plan.groups, computed, exports=exports)

    def part(self, shard: Shard) -> SweepResult:
        """Compute a shard's groups; export if no other shard has groups left to compute."""
        config, groups = self.plan.config, shard.groups(self.plan.groups)
        output = config.output.resolve()
        path = output / ledger_of_shard(shard.name)
        if {group.position for group in groups} <= groups_held(self.plan, output):
            # There is nothing to write, so another shard that is exporting now does not matter.
            computed = Computed()
            self._tell_reused(groups)
        else:
            with shared_folder(output, config.store, shard.name), Ledger(path) as ledger:
                computed = self._compute(groups, ledger)
        waiting = len(self.plan.groups) - len(groups_held(self.plan, output)) - len(computed.failed)
        exports = None
        if not waiting and not computed.failed:
            exports = self._export_alone()
        return self._result(path, groups, computed, exports=exports, shard=shard, waiting=waiting)

    def _compute(self, groups: Sequence[GroupPlan], ledger: Ledger) -> Computed:
        held = groups_held(self.plan, ledger.path.parent)
        self._tell_reused([group for group in groups if group.position in held])
        wanted = [group for group in groups if group.position not in held]
        for group in wanted:
            reason = why_again(group, ledger, self.plan.config.computation)
            if reason is not None:
                self.tell(SweepEvent("recomputing", f"{reason}: computed again", group.name))
        if self.cluster is None:
            compute = partial(compute_here, self.store)
        else:
            compute = partial(compute_on_cluster, self.cluster)
        computed = compute(wanted, self.plan, ledger.path, progress=self.progress, tell=self.tell)
        self.end_lap("compute")
        return computed

    def _tell_reused(self, groups: Sequence[GroupPlan]) -> None:
        for group in groups:
            self.tell(SweepEvent("reused", f"'{group.name}' is in the ledger", group.name))

    def _export_alone(self) -> Exports | None:
        """Export the groups of all shards, unless another process is still writing."""
        config = self.plan.config
        try:
            with (
                claimed_folder(config.output, config.store) as output,
                Ledger(output / LEDGER) as ledger,
            ):
                adopt_shards(ledger, self.plan)
                return self._export(ledger, Computed())
        except BusyFolderError:
            return None  # another shard is still running; it finds every group and exports

    def _export(self, ledger: Ledger, computed: Computed) -> Exports:
        plan, output = self.plan, ledger.path.parent
        before = read_record(output / RUN)
        files = files_before(before)
        # Removed until the export is complete: if this run is interrupted, no older file passes as
        # current.
        remove_file(output / RUN)
        exports = write_results(plan, ledger, output, files, computed.failed)
        exporter = exporter_of(plan.config)
        if exporter is not None:
            exporter.write_export(plan, self.store, ledger, computed.failed)
        self.end_lap("export")
        draw_figures(plan, ledger, output, files, exports)
        remove_stale(output, exports)
        replaced = replaced_comparisons(before, plan)
        if replaced is not None:
            message = (
                f"replaced the results of another sweep ({replaced:,} "
                f"comparison{'' if replaced == 1 else 's'}); its values stay in the ledger"
            )
            if (output / "report").is_dir():
                message += "; the report there is still that of the other sweep"
            self.tell(SweepEvent("replaced", message))
        if exports.figures_left_out is not None:
            self.tell(SweepEvent("no_figures", f"figures left out: {exports.figures_left_out}"))
        self.end_lap("figures")
        total = sum(self.laps.values())
        parts = {"reading": computed.reading, "computing": computed.computing}  # of "compute"
        timings = {**self.laps, **parts, "total": total}
        record = run_record(
            plan,
            exports,
            computed.seconds,
            computed.failed,
            self.notes,
            self.started,
            timings,
        )
        write_record(output / RUN, record)
        return exports

    def _result(
        self,
        ledger: Path,
        groups: Sequence[GroupPlan],
        computed: Computed,
        *,
        exports: Exports | None,
        shard: Shard | None = None,
        waiting: int = 0,
    ) -> SweepResult:
        plan, output = self.plan, ledger.parent
        files = list(exports.groups.values()) if exports is not None else []
        return SweepResult(
            output=output,
            results_path=output / RESULTS,
            ledger_path=ledger,
            run_path=output / RUN,
            figures=tuple(output / group.figure for group in files if group.figure),
            shard=None if shard is None else str(shard),
            written=exports is not None,
            groups_waiting=waiting,
            groups_computed=len(computed.seconds),
            groups_reused=len(groups) - len(computed.seconds) - len(computed.failed),
            failed=failures(plan, computed.failed),
            representations=len(plan.representations),
            comparisons=plan.comparisons,
            undefined=sum(group.undefined for group in files),
            dropped=plan.dropped,
            notes=tuple(self.notes),
            seconds=time.perf_counter() - self.clock,
        )
