"""``fastcka plan``: what a sweep would read, compare and leave out, before anything runs."""

from __future__ import annotations

from typing import Any

from fastcka.cli import arguments, output

SHOWN_GROUPS = 10


def plan(
    sweep: arguments.SweepFile,
    json: arguments.Json = False,
) -> None:
    """Count what a sweep compares, and say what it leaves out; nothing is computed."""
    from fastcka.sweep import comparisons_held, load_sweep, plan_sweep

    planned = plan_sweep(load_sweep(sweep))
    held = comparisons_held(planned)
    to_compute = planned.comparisons - held
    if json:
        counts = {"comparisons_in_ledger": held, "comparisons_to_compute": to_compute}
        output.print_json(planned.to_dict() | counts)
        return
    console = output.stdout()
    facts: dict[str, object] = dict(planned.facts())
    facts["comparisons"] = (
        f"{facts['comparisons']}: {held:,} in the ledger, {to_compute:,} to compute"
    )
    console.print(output.facts(facts))
    console.print()
    numbers = ("members", "comparisons", "examples", "features")
    table = output.columns("group", *numbers, numbers=numbers)
    groups = [group.to_dict() for group in planned.groups]
    for group in groups[:SHOWN_GROUPS]:
        table.add_row(*_row(group))
    console.print(table)
    if len(groups) > SHOWN_GROUPS:
        console.print(f"and {len(groups) - SHOWN_GROUPS:,} more; --json has all")


def _row(group: dict[str, Any]) -> list[str]:
    least, most = min(group["n_features"]), max(group["n_features"])
    return [
        group["name"],
        f"{group['representations']:,}",
        f"{group['comparisons']:,}",
        f"{group['n_examples']:,}",
        f"{least:,}" if least == most else f"{least:,}-{most:,}",
    ]
