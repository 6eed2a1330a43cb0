"""``fastcka store``: list, verify, import and upgrade representation stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastcka.cli import arguments, output
from fastcka.cli.store_import import IMPORT_STATUS, import_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.store import Key, Store, UnreadableFile

store = typer.Typer(
    no_args_is_help=True,
    help="List, verify and upgrade representation stores, and import arrays into them.",
)
store.command("import", epilog=IMPORT_STATUS)(import_files)


@store.command("ls")
def list_models(path: arguments.StoreFolder, json: arguments.Json = False) -> None:
    """List the models of a store with their steps, layers and factors."""
    from fastcka.store import open_store

    with open_store(path) as opened:
        keys, unreadable = opened.inventory()
        layers: dict[str, dict[int, list[str]]] = {}
        positional: dict[tuple[str, int], bool] = {}
        for key in keys:
            layers.setdefault(key.model, {}).setdefault(key.step, []).append(key.layer)
            positional[key.model, key.step] = opened.info(key).positional_ids
        models: list[dict[str, Any]] = [
            {
                "model": model,
                "factors": opened.factors(model),
                "steps": [
                    {
                        "step": step,
                        "layers": names,
                        "positional_ids": positional[model, step],
                    }
                    for step, names in steps.items()
                ],
            }
            for model, steps in layers.items()
        ]
    if json:
        answer = {"store": path, "representations": len(keys), "models": models}
        output.print_json(answer | _unreadable(unreadable))
        _refuse(unreadable)
        return
    table = output.columns("model", "steps", "layers", "ids", "factors")
    for entry in models:
        steps = layers[entry["model"]]
        factors = _factors(entry["factors"])
        ids = _ids([positional[entry["model"], step] for step in steps])
        table.add_row(entry["model"], _steps([*steps]), _layers([*steps.values()]), ids, factors)
    console = output.stdout()
    console.print(table)
    console.print(
        f"\n{output.counted(len(models), 'model')}, "
        f"{output.counted(len(keys), 'representation')} in {path}",
        soft_wrap=True,
    )
    _refuse(unreadable)


@store.command()
def info(
    path: arguments.StoreFolder,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name of a model, as shown by `ls`.")
    ],
    step: Annotated[
        int | None, typer.Argument(metavar="STEP", help="One step; all steps by default.")
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Show the representations of one model: shapes, types and digests."""
    from fastcka.store import open_store

    with open_store(path) as opened:
        every, files = opened.inventory()
        keys = [key for key in every if key.model == model and step in (None, key.step)]
        unreadable = [file for file in files if file.is_of(model) and step in (None, file.step)]
        steps = list(dict.fromkeys(key.step for key in keys))
        if not keys and not unreadable:  # the error lists the steps
            steps = opened.steps(model) if step is None else [step]
        answer: dict[str, Any] = {
            "model": model,
            "factors": opened.factors(model) if keys else {},
            "provenance": {stored: opened.provenance(model, stored) for stored in steps},
            "representations": [_representation(opened, key) for key in keys],
        }
    if json:
        output.print_json(answer | _unreadable(unreadable))
        _refuse(unreadable)
        return
    numbers = ("step", "examples", "features")
    table = output.columns(
        "step", "layer", "examples", "ids", "features", "dtype", "digest", numbers=numbers
    )
    for row in answer["representations"]:
        table.add_row(
            str(row["step"]),
            row["layer"],
            f"{row['n_examples']:,}",
            _ids([row["positional_ids"]]),
            f"{row['n_features']:,}",
            row["dtype"],
            row["digest"][:12],
        )
    console = output.stdout()
    if keys:
        console.print(output.facts({"model": model, "factors": _factors(answer["factors"])}))
        console.print()
        console.print(table)
    _refuse(unreadable)


@store.command()
def verify(path: arguments.StoreFolder, json: arguments.Json = False) -> None:
    """Read every file and check all digests. Exit status 1 if anything is wrong."""
    from fastcka.store import open_store

    with open_store(path) as opened, output.progress_bars() as bars:
        checks = opened.iter_verify()
        results = list(bars.track(checks, total=len(checks), description="checking"))
    findings = [finding for finding in results if not finding.ok]
    old = sum(finding.ok and finding.message != "" for finding in results)
    if json:
        output.print_json(
            {
                "store": path,
                "files": len(results),
                "files_of_format_1_0": old,
                "findings": [
                    {"path": finding.path, "kind": finding.kind, "message": finding.message}
                    for finding in findings
                ],
            }
        )
    else:
        console = output.stdout()
        for finding in findings:
            console.print(f"{finding.kind}: {finding.message}", soft_wrap=True, markup=False)
        damage = output.counted(len(findings), "finding") if findings else "no damage found"
        console.print(f"{output.counted(len(results), 'file')} read, {damage}")
        if old:
            output.note(
                "warning",
                f"{output.counted(old, 'file')} of format 1.0, in which some damage to ids and "
                f"columns cannot be detected; `fastcka store upgrade {path}` adds checksums",
            )
    if findings:
        raise typer.Exit(1)


@store.command()
def upgrade(path: arguments.StoreFolder, json: arguments.Json = False) -> None:
    """Upgrade files of format 1.0, which has checksums of the arrays only. A second run resumes.

    The arrays of each file are checked, and the file is replaced by one with checksums of its ids
    and columns too. Earlier damage to ids and columns cannot be detected. A file that is damaged or
    cannot be replaced stays unchanged, and the exit status is 1.
    """
    from fastcka.store import upgrade_store

    with output.progress_bars() as bars:
        files = upgrade_store(path)
        results = list(bars.track(files, total=len(files), description="upgrading"))
    counts = {kind: sum(file.kind == kind for file in results) for kind in ("upgraded", "current")}
    errors = [file for file in results if file.kind == "error"]
    if json:
        failed = [{"path": file.path, "message": file.message} for file in errors]
        output.print_json({"store": path, **counts, "errors": failed})
    else:
        for file in errors:
            output.note("error", file.message)
        output.stdout().print(
            f"{output.counted(counts['upgraded'], 'file')} upgraded, {counts['current']} already "
            f"had checksums, {output.counted(len(errors), 'error')}"
        )
    if errors:
        raise typer.Exit(1)


def _representation(opened: Store, key: Key) -> dict[str, Any]:
    layer = opened.info(key)
    return {
        "step": key.step,
        "layer": key.layer,
        "n_examples": layer.n_examples,
        "positional_ids": layer.positional_ids,
        "n_features": layer.n_features,
        "dtype": layer.dtype,
        "digest": layer.digest,
        "pooling": layer.pooling,
        "io": layer.io,
        "path": layer.path,
    }


def _unreadable(files: Sequence[UnreadableFile]) -> dict[str, Any]:
    return {"unreadable": [{"path": file.path, "message": str(file.error)} for file in files]}


def _refuse(files: Sequence[UnreadableFile]) -> None:
    """Name the files that could not be listed; exit with status 1 if there are any."""
    for file in files:
        output.note("error", file.error)
    if files:
        raise typer.Exit(1)


def _steps(steps: Sequence[int]) -> str:
    shown = steps if len(steps) <= 6 else [*steps[:3], "…", steps[-1]]
    return f"{len(steps)}: {', '.join(map(str, shown))}"


def _ids(positional: Sequence[bool]) -> str:
    if all(positional):
        return "positional"
    steps = output.counted(sum(positional), "step")
    return f"positional at {steps}" if any(positional) else "given"


def _layers(layers: Sequence[Sequence[str]]) -> str:
    if all(names == layers[0] for names in layers):
        return f"{len(layers[0])}: {', '.join(layers[0])}"
    counts = sorted({len(names) for names in layers})
    return f"{counts[0]} to {counts[-1]}, differing by step"


def _factors(factors: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}={'+'.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in factors.items()
    )
