"""``fastcka run``: compute a sweep, or resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fastcka.cli import arguments, output
from fastcka.errors import FailedGroupsError

if TYPE_CHECKING:
    from fastcka.sweep import SweepEvent, SweepResult

SHOWN_NOTES = 10


def run(
    sweep: arguments.SweepFile,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Compute shard I of N. Shards can run at the same time. The last shard to finish, "
            "or a later run without --shard, writes the results.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Override the device of the sweep file: auto, cpu, cuda, cuda:<number> "
            "or cuda:all (the groups are spread over all GPUs)."
        ),
    ] = None,
    threads: arguments.Threads = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Compute in N processes of this machine, which Dask starts and stops. --threads "
            "is then the number of threads of each. Needs the extra 'cluster'.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Compute on the workers of a Dask scheduler, such as tcp://host:8786. They read "
            "the store themselves, under the same path.",
        ),
    ] = None,
    memory: arguments.Memory = None,
    no_memory_check: arguments.NoMemoryCheck = False,
    json: arguments.Json = False,
) -> None:
    """Compute the comparisons of a sweep. A second run computes only what is new."""
    from fastcka.memory import memory_check
    from fastcka.sweep import Shard, run_sweep

    part = None if shard is None else Shard.parse(shard)
    failed: FailedGroupsError | None = None

    with memory_check(not no_memory_check), output.progress_bars() as bars:
        task = bars.add_task("planning", total=None)
        groups = {"computed": 0, "reused": 0}

        def show_event(event: SweepEvent) -> None:
            if event.kind == "connected":
                bars.console.print(event.message, soft_wrap=True)
            if event.kind in groups:
                groups[event.kind] += 1
            bars.update(task, description=_so_far(**groups))

        def show_progress(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)
            if done == total:  # heatmaps take longer than most passes
                bars.update(task, description="writing the results")

        try:
            result = run_sweep(
                sweep,
                shard=part,
                device=device,
                threads=threads,
                workers=workers,
                scheduler=scheduler,
                memory=memory,
                progress=show_progress,
                on_event=show_event,
            )
        except FailedGroupsError as error:  # what was done is shown all the same
            failed, result = error, error.result
    for message in result.notes[:SHOWN_NOTES]:
        output.note("warning", message)
    if len(result.notes) > SHOWN_NOTES:
        more = len(result.notes) - SHOWN_NOTES
        where = f"; {result.run_path} lists all" if result.written else ""
        output.note("warning", f"and {more} more{where}")
    if json:
        output.print_json(result.to_dict())
    else:
        output.stdout().print(output.facts(_summary(result)))
    if failed is not None:
        raise failed


def _so_far(computed: int, reused: int) -> str:
    text = f"{output.counted(computed, 'group')} computed"
    return f"{text}, {reused:,} computed earlier" if reused else text


def _summary(result: SweepResult) -> dict[str, object]:
    from fastcka.sweep.question.dropped import left_out_text

    rows: dict[str, object] = {
        "representations": f"{result.representations:,}",
        "groups": (
            f"{result.groups_computed:,} computed now, {result.groups_reused:,} computed earlier"
        ),
        "pairs": f"{result.comparisons:,}",
    }
    if result.shard is not None:
        rows["groups"] = f"{rows['groups']} (of shard {result.shard})"
        for name in ("representations", "pairs"):
            rows[name] = f"{rows[name]} (of all shards)"
    if result.undefined:
        rows["undefined"] = f"{output.counted(result.undefined, 'pair')}; the table says why"
    if result.dropped:
        rows["left out"] = left_out_text(result.dropped)
    if result.failed:
        rows["failed"] = output.counted(len(result.failed), "group")
    if result.groups_waiting:
        waiting = output.counted(result.groups_waiting, "group")
        rows["waiting"] = f"{waiting} of other shards; the last shard to finish writes the table"
    rows["table" if result.written else "ledger"] = (
        result.results_path if result.written else result.ledger_path
    )
    if result.figures:
        rows["heatmaps"] = f"{result.figures[0].parent} ({len(result.figures):,}, one per group)"
    if result.written:
        rows["record"] = result.run_path
    rows["time"] = f"{result.seconds:.1f} s"
    if result.written:
        rows["report"] = (
            f"`fastcka report {result.output}` writes {result.output}/report/index.html"
        )
    return rows
