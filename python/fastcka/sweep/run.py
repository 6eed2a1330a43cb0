"""Run a sweep: compute the groups that the ledger lacks, commit each at once, then export."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastcka.core import Comparison, StagedRepresentation, compare
from fastcka.errors import DamagedGroupError, InputError, StoreError, SweepError
from fastcka.store import Store, open_store, prefetch
from fastcka.sweep.config import SweepConfig, load_sweep
from fastcka.sweep.exports import Exports, write_exports
from fastcka.sweep.folder import LEDGER, RESULTS, RUN, claimed_folder
from fastcka.sweep.group import GroupPlan
from fastcka.sweep.ledger import GroupValues, Ledger, group_identity
from fastcka.sweep.plan import GROUPS_IN_MEMORY, SweepPlan, plan_sweep
from fastcka.sweep.record import (
    files_before,
    read_record,
    replaced_comparisons,
    run_record,
    write_record,
)
from fastcka.sweep.result import SweepEvent, SweepResult

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

Loaded = list["StagedRepresentation | np.ndarray[Any, Any]"]


def run_sweep(
    config: SweepConfig | str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_event: Callable[[SweepEvent], None] | None = None,
) -> SweepResult:
    """Compute every comparison of a sweep that its ledger lacks, and write the results.

    Each group is committed to the ledger as soon as it is computed; whatever ends the run (Ctrl-C,
    kill -9, a full disk), a later one goes on from there and gives the same table.

    Parameters
    ----------
    config
        The sweep, or the path of its YAML file.
    threads
        Of the pass; None lets the core decide. The values do not depend on it.
    progress
        ``progress(done, total)`` over all groups to compute, in units of arithmetic; called a few
        times a second from this thread.
    on_event
        Called with each :class:`SweepEvent`, from this thread.

    Raises
    ------
    SweepError
        The sweep is wrong, its output folder or ledger cannot be used, a group cannot be computed
        (the message names it), or the store changes meanwhile.
    StoreError, DeviceError
        The store cannot be opened; the device cannot be used.
    """
    if not isinstance(config, SweepConfig):
        config = load_sweep(config)
    started, clock = datetime.now(UTC), time.perf_counter()
    notes: list[str] = []

    def tell(event: SweepEvent) -> None:
        if event.kind in ("recomputing", "undefined", "no_figures", "replaced"):
            notes.append(event.message)
        if on_event is not None:
            on_event(event)

    with open_store(config.store) as store:
        plan = plan_sweep(config, store)
        tell(SweepEvent("planned", plan.explain()))
        planned = time.perf_counter()
        with (
            claimed_folder(config.output, config.store) as output,
            Ledger(output / LEDGER) as ledger,
        ):
            wanted = [group for group in plan.groups if not _is_done(group, plan, ledger, tell)]
            seconds = _compute(wanted, plan, store, ledger, threads, progress, tell)
            computed = time.perf_counter()
            before = read_record(output / RUN)
            exports = write_exports(plan, ledger, output, files_before(before))
            replaced = replaced_comparisons(before, plan)
            if replaced is not None:
                message = (
                    f"replaced the results of another sweep ({replaced:,} "
                    f"comparison{'' if replaced == 1 else 's'}); its values stay in the ledger"
                )
                tell(SweepEvent("replaced", message))
            if exports.figures_left_out is not None:
                tell(SweepEvent("no_figures", f"figures left out: {exports.figures_left_out}"))
            timings = {
                "plan": planned - clock,
                "compute": computed - planned,
                "export": time.perf_counter() - computed,
                "total": time.perf_counter() - clock,
            }
            write_record(output / RUN, run_record(plan, exports, seconds, notes, started, timings))
    return _result(plan, exports, output, len(wanted), notes, timings["total"])


def _result(
    plan: SweepPlan,
    exports: Exports,
    output: Path,
    groups_computed: int,
    notes: list[str],
    seconds: float,
) -> SweepResult:
    return SweepResult(
        output=output,
        results_path=output / RESULTS,
        ledger_path=output / LEDGER,
        run_path=output / RUN,
        figures=tuple(output / files.figure for files in exports.groups if files.figure),
        groups_computed=groups_computed,
        groups_reused=len(plan.groups) - groups_computed,
        representations=len(plan.representations),
        comparisons=plan.comparisons,
        undefined=sum(files.undefined for files in exports.groups),
        dropped=plan.dropped,
        notes=tuple(notes),
        seconds=seconds,
    )


def _is_done(
    group: GroupPlan, plan: SweepPlan, ledger: Ledger, tell: Callable[[SweepEvent], None]
) -> bool:
    """Tell whether the ledger holds validated values; say so where it holds others."""
    precision = plan.config.precision
    try:
        values = ledger.read(group_identity(group, precision))
    except DamagedGroupError as error:
        tell(SweepEvent("recomputing", f"{error}: computed again", group.name))
        return False
    if values is not None:
        tell(SweepEvent("reused", f"'{group.name}' stands in the ledger", group.name))
        return True
    if ledger.has_other_data(group, precision):
        message = f"group '{group.name}': its data or examples have changed: computed again"
        tell(SweepEvent("recomputing", message, group.name))
    return False


def _compute(
    wanted: list[GroupPlan],
    plan: SweepPlan,
    store: Store,
    ledger: Ledger,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
    tell: Callable[[SweepEvent], None],
) -> dict[int, float]:
    """Compute and commit ``wanted``; return the seconds of each by its position in the plan."""
    total = sum(_units(group) for group in wanted)
    before = 0
    seconds: dict[int, float] = {}
    ahead = GROUPS_IN_MEMORY - 1
    with closing(prefetch(wanted, lambda group: _load(group, store), ahead=ahead)) as loading:
        clock = time.perf_counter()
        for group, arrays in loading:
            units = _units(group)

            def report(done: int, of: int, before: int = before, units: int = units) -> None:
                if progress is not None:
                    progress(before + units * done // max(of, 1), total)

            comparison = _compare(group, arrays, plan.config, threads, report)
            del arrays  # centred in place: of no use, and the next group needs the room
            ledger.commit(
                group,
                plan.config.precision,
                GroupValues(
                    cka_biased=comparison.biased,
                    cka_unbiased=comparison.unbiased,
                    hsic_biased=comparison.hsic_biased,
                    hsic_unbiased=comparison.hsic_unbiased,
                    provenance=dict(comparison.provenance),
                ),
            )
            for at, reason in comparison.undefined.items():
                message = f"{group.representations[at].key}: {reason}"
                tell(SweepEvent("undefined", message, group.name))
            tell(SweepEvent("computed", f"'{group.name}' is computed", group.name))
            before += units
            report(0, 1, before, 0)
            seconds[group.position] = time.perf_counter() - clock
            clock = time.perf_counter()
    return seconds


def _compare(
    group: GroupPlan,
    arrays: Loaded,
    config: SweepConfig,
    threads: int | None,
    progress: Callable[[int, int], None],
) -> Comparison:
    try:
        return compare(
            arrays,
            labels=[r.labels for r in group.representations],
            estimator=config.estimator,
            device=config.device,
            precision=config.precision,
            threads=threads,
            progress=progress,
        )
    except InputError as error:
        raise SweepError(f"group '{group.name}': {error}") from error


def _load(group: GroupPlan, store: Store) -> Loaded:
    """Read a group's data, and make sure that it is what was planned."""
    arrays: Loaded = []
    try:
        for planned in group.representations:
            if planned.staged:
                staged = StagedRepresentation.empty(group.n_examples, planned.n_features)
                store.read(planned.key, out=staged.array)
                arrays.append(staged)
            else:
                arrays.append(store.read(planned.key))
            # After the reading: what was read is then no newer than what was planned.
            info = store.info(planned.key)
            if (info.digest, info.examples_digest) != (planned.digest, group.examples_digest):
                raise StoreError(
                    f"the store has changed since the plan was made ({planned.key}); run again"
                )
    except (StoreError, InputError) as error:  # InputError: another shape than was planned
        raise SweepError(f"group '{group.name}': {error}") from error
    return arrays


def _units(group: GroupPlan) -> int:
    return max(int(group.pass_plan.flops), 1)
