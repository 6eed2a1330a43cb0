"""Compute groups: read ahead, one pass each, committed at once; one that fails stops no other."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastcka.core import Comparison, StagedRepresentation, compare
from fastcka.errors import InputError, StoreError
from fastcka.store import Store, prefetch
from fastcka.sweep.ledger import GroupValues, Ledger
from fastcka.sweep.plan import GROUPS_IN_MEMORY, SweepPlan
from fastcka.sweep.result import SweepEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from fastcka.sweep.config import SweepConfig
    from fastcka.sweep.group import GroupPlan

Loaded = list["StagedRepresentation | np.ndarray[Any, Any]"]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why one group has no values. Not the error itself, whose frames hold on to arrays.

    What is wrong with a device, a ledger or a disk is every group's, and no such failure.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of the groups.

    Attributes
    ----------
    seconds
        Position in the plan -> seconds, of those that are in the ledger now.
    failed
        Position in the plan -> why, of the others.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def compute_groups(
    groups: Sequence[GroupPlan],
    plan: SweepPlan,
    store: Store,
    ledger: Ledger,
    *,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
    tell: Callable[[SweepEvent], None],
) -> Computed:
    """Compute ``groups`` and commit each; see `run_sweep`."""
    total = sum(_units(group) for group in groups)
    before = 0
    computed = Computed()
    ahead = GROUPS_IN_MEMORY - 1
    with closing(prefetch(groups, lambda group: _load(group, store), ahead=ahead)) as loading:
        clock = time.perf_counter()
        for group, arrays in loading:
            units = _units(group)

            def report(done: int, of: int, before: int = before, units: int = units) -> None:
                if progress is not None:
                    progress(before + units * done // max(of, 1), total)

            comparison = _compare(group, arrays, plan.config, threads, report)
            del arrays  # centred in place: of no use, and the next group needs the room
            if isinstance(comparison, _Failure):
                computed.failed[group.position] = comparison.reason
                message = f"group '{group.name}': {comparison.reason}"
                tell(SweepEvent("failed", message, group.name))
            else:
                ledger.commit(group, plan.config.precision, _values(comparison))
                for at, reason in comparison.undefined.items():
                    message = f"{group.representations[at].key}: {reason}"
                    tell(SweepEvent("undefined", message, group.name))
                tell(SweepEvent("computed", f"'{group.name}' is computed", group.name))
                computed.seconds[group.position] = time.perf_counter() - clock
            before += units
            report(0, 1, before, 0)
            clock = time.perf_counter()
    return computed


def _load(group: GroupPlan, store: Store) -> Loaded | _Failure:
    """Read a group's data, and make sure that it is what was planned."""
    arrays: Loaded = []
    try:
        for planned, rows in zip(group.representations, group.examples.rows, strict=True):
            if planned.staged:
                staged = StagedRepresentation.empty(group.n_examples, planned.n_features)
                store.read(planned.key, out=staged.array, rows=rows)
                arrays.append(staged)
            else:
                arrays.append(store.read(planned.key, rows=rows))
            # After the reading: what was read is then no newer than what was planned.
            info = store.info(planned.key)
            if (info.digest, info.examples_digest) != (planned.digest, planned.examples_digest):
                return _Failure(
                    f"the store has changed since the plan was made ({planned.key}); run again"
                )
    except (StoreError, InputError) as error:  # InputError: another shape than was planned
        return _Failure(str(error))
    return arrays


def _compare(
    group: GroupPlan,
    arrays: Loaded | _Failure,
    config: SweepConfig,
    threads: int | None,
    progress: Callable[[int, int], None],
) -> Comparison | _Failure:
    if isinstance(arrays, _Failure):
        return arrays
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
        return _Failure(str(error))


def _values(comparison: Comparison) -> GroupValues:
    return GroupValues(
        cka_biased=comparison.biased,
        cka_unbiased=comparison.unbiased,
        hsic_biased=comparison.hsic_biased,
        hsic_unbiased=comparison.hsic_unbiased,
        provenance=dict(comparison.provenance),
    )


def _units(group: GroupPlan) -> int:
    return max(int(group.pass_plan.flops), 1)
