"""``fastcka plan``: what a sweep would read, compare and leave out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastcka.cli import arguments, output
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.pair.emit import Emitted
    from fastcka.sweep import SweepPlan
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.memory import SweepMemory

SHOWN_GROUPS = 10


def plan(
    sweep: arguments.SweepFile,
    emit_configs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="In a new folder, write a `fastcka pair` configuration for each pair.",
        ),
    ] = None,
    emit_scripts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="In a new folder, write the configurations and shell scripts that run them; needs "
            "--chunks.",
        ),
    ] = None,
    chunks: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of scripts, for --emit-scripts; pairs are divided evenly.",
        ),
    ] = None,
    threads: arguments.Threads = None,
    memory: arguments.Memory = None,
    no_memory_check: arguments.NoMemoryCheck = False,
    json: arguments.Json = False,
) -> None:
    """Show what a sweep would compare and leave out, and why. No CKA is computed."""
    from fastcka.memory import memory_check
    from fastcka.pair.emit import emit_pairs
    from fastcka.sweep import load_sweep, plan_sweep
    from fastcka.sweep.ledger.merging import groups_to_compute
    from fastcka.sweep.planning.memory import memory_of

    if (emit_scripts is None) != (chunks is None):
        raise InputError("--emit-scripts DIR and --chunks N: expected both or neither")
    planned = plan_sweep(load_sweep(sweep), threads=threads, memory=memory)
    missing = groups_to_compute(planned)
    needed = memory_of(missing, planned.threads, planned.config.device)
    configs = emit_configs or (emit_scripts and emit_scripts / "configs")
    emitted = None
    if configs is not None:
        emitted = emit_pairs(
            planned, configs, scripts=emit_scripts, chunks=chunks or 1, name=sweep.stem
        )
    if json:
        answer = planned.to_dict()
        to_compute = sum(len(group.pairs) for group in missing)
        answer["comparisons_in_ledger"] = planned.comparisons - to_compute
        answer["comparisons_to_compute"] = to_compute
        answer["bytes_memory"] = 0 if needed is None else needed.bytes
        output.print_json(answer if emitted is None else answer | {"emitted": asdict(emitted)})
    else:
        _print_plan(planned, missing, needed, emitted)
    with memory_check(not no_memory_check):
        if needed is not None:
            needed.require(planned.memory)


def _print_plan(
    planned: SweepPlan,
    missing: Sequence[GroupPlan],
    needed: SweepMemory | None,
    emitted: Emitted | None,
) -> None:
    """Print the plan; what it costs is that of the groups that an earlier run did not compute."""
    from fastcka.memory import size_text
    from fastcka.sweep.planning.duration import time_text
    from fastcka.sweep.planning.memory import memory_text
    from fastcka.sweep.planning.row_blocks import blocks_text

    console = output.stdout()
    facts: dict[str, object] = dict(planned.facts())
    reused = len(planned.groups) - len(missing)
    facts["groups"] = f"{facts['groups']}: {len(missing):,} to compute, {reused:,} computed earlier"
    to_read = sum(group.bytes_to_read for group in missing)
    facts["reads"] = size_text(to_read) if to_read else "nothing"
    if "in blocks" in facts:
        facts["in blocks"] = blocks_text(missing) or "nothing"
    facts["memory"] = memory_text(0 if needed is None else needed.bytes)
    facts["time"] = time_text(missing)
    if emitted is not None:
        facts |= _emitted_facts(emitted)
    console.print(output.facts(facts))
    console.print()
    numbers = ("members", "pairs", "examples", "features")
    table = output.columns("group", *numbers, numbers=numbers)
    groups = [group.to_dict() for group in planned.groups]
    for group in groups[:SHOWN_GROUPS]:
        table.add_row(*_row(group))
    console.print(table)
    if len(groups) > SHOWN_GROUPS:
        console.print(f"and {len(groups) - SHOWN_GROUPS:,} more; --json lists all")


def _emitted_facts(emitted: Emitted) -> dict[str, object]:
    of_store = f", {emitted.n_from_store:,} of the store" if emitted.n_from_store else ""
    facts: dict[str, object] = {
        "configurations": f"{emitted.configs} ({emitted.n_pairs:,}{of_store})"
    }
    if emitted.scripts:
        facts["scripts"] = output.lines(map(str, emitted.scripts))
    return facts


def _row(group: dict[str, Any]) -> list[str]:
    least, most = min(group["n_features"]), max(group["n_features"])
    return [
        group["name"],
        f"{group['representations']:,}",
        f"{group['comparisons']:,}",
        f"{group['n_examples']:,}",
        f"{least:,}" if least == most else f"{least:,}-{most:,}",
    ]
