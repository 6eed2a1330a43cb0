"""``fastcka plan``: what a sweep would read, compare and leave out, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.cli import arguments, output

if TYPE_CHECKING:
    from fastcka.sweep import SweepPlan

SHOWN_GROUPS = 12


def plan(
    sweep: arguments.SweepFile,
    json: arguments.Json = False,
) -> None:
    """Count what a sweep compares, and say what it leaves out; nothing is computed."""
    from fastcka.sweep import load_sweep, plan_sweep

    planned = plan_sweep(load_sweep(sweep))
    if json:
        output.print_json(planned.to_dict())
        return
    console = output.stdout()
    console.print(output.facts(_summary(planned)))
    console.print()
    numbers = ("representations", "comparisons", "examples", "features", "route", "memory")
    table = output.columns("group", *numbers, numbers=numbers)
    groups = [group.to_dict() for group in planned.groups]
    for group in groups[:SHOWN_GROUPS]:
        table.add_row(*_row(group))
    console.print(table)
    if len(groups) > SHOWN_GROUPS:
        more = output.counted(len(groups) - SHOWN_GROUPS, "more group")
        console.print(f"and {more}: --json lists all")


def _summary(planned: SweepPlan) -> dict[str, object]:
    compare = planned.config.compare
    steps = compare.steps if isinstance(compare.steps, str) else ", ".join(map(str, compare.steps))
    rows: dict[str, object] = {
        "store": planned.config.store,
        "results": planned.config.output,
        "to compute": (
            f"{output.counted(planned.comparisons, 'comparison')} of "
            f"{output.counted(len(planned.representations), 'representation')} "
            f"in "
            f"{output.counted(len(planned.groups), 'group')}; the store holds {planned.stored:,}"
        ),
        "equal in a group": ", ".join(compare.within) or "nothing: one group",
        "different in a pair": ", ".join(compare.differ) or "the representation alone",
        "steps": steps,
        "estimator": planned.config.estimator,
    }
    left_out = [f"{count:,} {reason}" for reason, count in planned.dropped.items()]
    rows["left out"] = "\n".join(left_out) or "nothing"
    rows["reads"] = _size(planned.bytes_to_read)
    rows["memory"] = f"about {_size(planned.bytes_memory)}"
    return rows


def _row(group: dict[str, Any]) -> list[str]:
    least, most = min(group["n_features"]), max(group["n_features"])
    return [
        group["name"],
        f"{group['representations']:,}",
        f"{group['comparisons']:,}",
        f"{group['n_examples']:,}",
        f"{least:,}" if least == most else f"{least:,}-{most:,}",
        group["route"],
        _size(group["bytes_memory"]),
    ]


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
