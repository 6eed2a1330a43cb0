"""Print the results of the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.demo.summary import accuracy_table, cka_table

if TYPE_CHECKING:
    from rich.console import Console

    from fastcka.demo.pipeline import DemoResult


READING = (
    "Each number is a CKA: how similar two layers represent the same images, from 0 to 1.",
    "Compare it with step 0: untrained networks of one architecture are already similar.",
    "Training shows where pairs of seeds leave that baseline, by more than the seeds differ.",
)


def print_report(console: Console, result: DemoResult) -> None:
    """Print how to read the results, the tables, the time of each part, and the paths."""
    from rich.table import Table
    from rich.text import Text

    for sentence in READING:
        console.print(sentence)
    for table in (
        cka_table(result.summary, result.n_examples),
        accuracy_table(result.accuracy, result.n_examples),
    ):
        console.print()
        console.print(table)
    console.print()

    parts = Table.grid(padding=(0, 2))
    for part, what in (
        ("train", _done(result.runs_trained, result.runs_reused, "networks")),
        ("capture", _done(result.steps_captured, result.steps_reused, "checkpoints")),
        ("sweep", _done(result.groups_computed, result.groups_reused, "groups")),
        ("report", "tables, figures and a page"),
    ):
        parts.add_row(part, f"{result.seconds[part]:6.1f} s", what)
    total = sum(result.seconds.values())
    parts.add_row("total", f"{total:6.1f} s", f"{result.comparisons:,} comparisons in the results")
    console.print(parts)
    console.print()
    for name, path in (
        ("report", f"{result.report} (open it in a browser)"),
        ("figure", result.overview),
        ("results", result.results),
        ("store", result.store),
        ("run again", f"fastcka run {result.sweep}"),
    ):
        console.print(Text(f"{name:<10} {path}"), soft_wrap=True)


def _done(new: int, reused: int, noun: str) -> str:
    parts = [f"{new} {noun}"] if new or not reused else []
    return ", ".join([*parts, f"{reused} {noun} reused"] if reused else parts)
