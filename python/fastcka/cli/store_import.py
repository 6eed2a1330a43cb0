"""``fastcka store import``: checkpoint trees and folders of arrays into a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastcka.cli import arguments, output

if TYPE_CHECKING:
    from fastcka.store import ImportReport


IMPORT_STATUS = (
    "Exit status: 0 if the store contains the whole tree and every model of models.yaml, except "
    "models that it marks as `status: failed` or `replaced_by: MODEL`; 1 if anything was skipped "
    "or is missing. Warnings are listed, but do not change the status."
)


_SHOWN_SOURCES = 8


def import_files(
    tree: Annotated[Path, typer.Argument(metavar="TREE", help="Folder to import.")],
    path: Annotated[
        Path,
        typer.Option(
            "--store", metavar="STORE", help="Folder of the store; created if it does not exist."
        ),
    ],
    models: Annotated[
        Path | None,
        typer.Option(
            metavar="models.yaml", help="YAML file with the factors of each model, by name."
        ),
    ] = None,
    allow_unlisted: Annotated[
        bool,
        typer.Option("--allow-unlisted", help="Also import models that models.yaml does not list."),
    ] = False,
    only: Annotated[
        str,
        typer.Option(metavar="PATTERN", help="Pattern of the <prompt>_l<layer> folders to import."),
    ] = "*",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace steps whose source files have changed.")
    ] = False,
    json: arguments.Json = False,
) -> None:
    """Import representations into a store, from folders of arrays or files per checkpoint.

    A second run resumes.

    TREE contains, at any depth, <model>/<step>/<layer>.npy or <model>/<step>.npz
    (or .pt, .safetensors, .h5, .mat, .parquet, .h5ad, .zarr),
    or representations.pt and metadata.json in
    <model>/analysis_higher/<prompt>_l<layer>/representations/checkpoint-<step>/.
    """
    from fastcka.store import import_tree

    with output.progress_bars() as bars:
        task = bars.add_task("importing", total=None)
        report = import_tree(
            tree,
            path,
            models=models,
            allow_unlisted=allow_unlisted,
            only=only,
            overwrite=overwrite,
            progress=lambda done, total: bars.update(task, completed=done, total=total),
        )
    if json:
        output.print_json(report.to_dict())
    else:
        _show_import(report)
    if not report.complete:
        raise typer.Exit(1)


def _show_import(report: ImportReport) -> None:
    console = output.stdout()
    if report.findings:
        table = output.columns("", "reason", "model", "step", "layer", "detail", numbers=("step",))
        for finding in report.findings:
            where = (finding.model, finding.step, finding.layer)
            cells = ("" if part is None else str(part) for part in where)
            table.add_row(finding.kind, finding.reason, *cells, finding.detail)
        console.print(table)
        console.print()
    rows: dict[str, object] = {
        "imported": f"{output.counted(len(report.imported), 'step')} into {report.store}",
        "already there": output.counted(len(report.already_there), "step"),
    }
    for (kind, reason), count in report.counts.items():
        rows[f"{kind}: {reason}"] = f"{count:,}"
    for field, count in report.id_fields.items():
        rows[f"rows named by {field}"] = f"in {output.counted(count, 'step')}"
    for source, count in list(report.id_sources.items())[:_SHOWN_SOURCES]:
        rows[f"ids from {source}"] = f"in {output.counted(count, 'step')}"
    more = len(report.id_sources) - _SHOWN_SOURCES
    if more > 0:
        rows["ids from elsewhere"] = f"{output.counted(more, 'more source')}; --json lists them"
    if report.layers_reordered:
        rows["rows reordered by id"] = f"in {output.counted(report.layers_reordered, 'layer')}"
    rows["took"] = f"{report.seconds:.1f} s"
    console.print(output.facts(rows))
