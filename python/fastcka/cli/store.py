"""``fastcka store``: what a representation store holds, and whether it is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastcka.cli import arguments, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.store import Key, Store

store = typer.Typer(no_args_is_help=True, help="Look into a representation store, or check it.")


@store.command("ls")
def list_models(path: arguments.StoreFolder, json: arguments.Json = False) -> None:
    """List the models of a store with their steps, layers and factors."""
    from fastcka.store import open_store

    with open_store(path) as opened:
        keys = opened.keys()
        models = [_model(opened, name, keys) for name in opened.models()]
    if json:
        output.print_json({"store": path, "representations": len(keys), "models": models})
        return
    table = output.columns("model", "steps", "layers", "factors")
    for model in models:
        steps = [entry["step"] for entry in model["steps"]]
        layers = [entry["layers"] for entry in model["steps"]]
        table.add_row(model["model"], _steps(steps), _layers(layers), _factors(model["factors"]))
    console = output.stdout()
    console.print(table)
    console.print(
        f"\n{output.counted(len(models), 'model')}, "
        f"{output.counted(len(keys), 'representation')} in {path}",
        soft_wrap=True,
    )


@store.command()
def info(
    path: arguments.StoreFolder,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name that `ls` shows.")],
    step: Annotated[
        int | None, typer.Argument(metavar="STEP", help="One of its steps; all by default.")
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Show the representations of one model: shapes, types and digests."""
    from fastcka.store import open_store

    with open_store(path) as opened:
        steps = opened.steps(model) if step is None else [step]
        keys = opened.keys()
        answer: dict[str, Any] = {
            "model": model,
            "factors": opened.factors(model),
            "provenance": {at: opened.provenance(model, at) for at in steps},
            "representations": [
                _representation(opened, key)
                for key in keys
                if key.model == model and key.step in steps
            ],
        }
    if json:
        output.print_json(answer)
        return
    numbers = ("step", "examples", "features")
    table = output.columns(
        "step", "layer", "examples", "features", "dtype", "digest", numbers=numbers
    )
    for row in answer["representations"]:
        table.add_row(
            str(row["step"]),
            row["layer"],
            f"{row['n_examples']:,}",
            f"{row['n_features']:,}",
            row["dtype"],
            row["digest"][:12],
        )
    console = output.stdout()
    console.print(output.facts({"model": model, "factors": _factors(answer["factors"])}))
    console.print()
    console.print(table)


@store.command()
def verify(path: arguments.StoreFolder, json: arguments.Json = False) -> None:
    """Read every file of a store in full; exit status 1 if anything is wrong."""
    from fastcka.store import open_store

    with open_store(path) as opened, output.progress_bars() as bars:
        checks = opened.iter_verify()
        task = bars.add_task("checking", total=len(checks))
        results = []
        for finding in checks:
            results.append(finding)
            bars.advance(task)
    findings = [finding for finding in results if not finding.ok]
    if json:
        output.print_json(
            {
                "store": path,
                "files": len(results),
                "findings": [
                    {"path": found.path, "kind": found.kind, "message": found.message}
                    for found in findings
                ],
            }
        )
    else:
        console = output.stdout()
        for found in findings:
            console.print(f"{found.kind}: {found.message}", soft_wrap=True, markup=False)
        found_text = output.counted(len(findings), "finding") if findings else "nothing found"
        console.print(f"{output.counted(len(results), 'file')} read, {found_text}")
    if findings:
        raise typer.Exit(1)


def _representation(opened: Store, key: Key) -> dict[str, Any]:
    found = opened.info(key)
    return {
        "step": key.step,
        "layer": key.layer,
        "n_examples": found.n_examples,
        "n_features": found.n_features,
        "dtype": found.dtype,
        "digest": found.digest,
        "pooling": found.pooling,
        "io": found.io,
        "path": found.path,
    }


def _model(opened: Store, name: str, keys: Sequence[Key]) -> dict[str, Any]:
    layers: dict[int, list[str]] = {}
    for key in keys:
        if key.model == name:
            layers.setdefault(key.step, []).append(key.layer)
    return {
        "model": name,
        "factors": opened.factors(name),
        "steps": [{"step": step, "layers": names} for step, names in layers.items()],
    }


def _steps(steps: Sequence[int]) -> str:
    shown = steps if len(steps) <= 6 else [*steps[:3], "…", steps[-1]]
    return f"{len(steps)}: {', '.join(map(str, shown))}"


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
