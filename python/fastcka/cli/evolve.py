"""``fastcka evolve``: how the phases of a training run differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastcka.cli import arguments, output


def evolve(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan's JSON file.")],
    checkpoints: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Holds DIR/<experiment>/checkpoint_step_00100.pt and so on."
        ),
    ],
    out: Annotated[Path, typer.Option("--output", metavar="OUT", help="Where the results go.")],
    other: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Another seed's checkpoints of the same plan: a baseline."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PKG.MODULE:FACTORY",
            help="Makes the network; its parameter `experiment`, if it has one, is the name.",
        ),
    ] = None,
    probe: Annotated[
        Path | None,
        typer.Option(metavar="PROBE.npz", help="Examples: inputs, and ids if there are."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="PATTERN",
            help="Modules whose activations are compared; may be repeated. Else all that the "
            "network itself calls.",
        ),
    ] = None,
    pool: Annotated[
        str, typer.Option(help="flatten, mean_tokens, last_token, cls or spatial_mean.")
    ] = "flatten",
    permutations: Annotated[
        int, typer.Option(min=1, help="Permuted weights beside each diversity.")
    ] = 20,
    weights_key: arguments.WeightsKey = None,
    strip: arguments.Strip = None,
    trust_pickle: arguments.TrustPickle = False,
    json: arguments.Json = False,
) -> None:
    """Compare the phases of each experiment: weights and, with a model and a probe, activations.

    Exit status 1 if a planned checkpoint is missing or damaged; what can be compared without it is.
    """
    from fastcka.evolution import evolve as run
    from fastcka.evolution import read_analysis
    from fastcka.evolution.summary import verdict_lines

    with output.progress_bars() as bars:
        task = bars.add_task("evolve", total=None)
        result = run(
            plan,
            checkpoints,
            out,
            other=other,
            model=model,
            probe=probe,
            layers=tuple(layers or ()),
            pool=pool,  # type: ignore[arg-type]  # checked by the capture
            permutations=permutations,
            weights_key=weights_key,
            strip=strip or (),
            trust_pickle=trust_pickle,
            progress=lambda what: bars.update(task, description=what),
        )
    if json:
        output.print_json(
            {
                "analyses": list(result.analyses),
                "figures": list(result.figures),
                "summary": result.summary,
                "missing": list(result.missing),
            }
        )
    else:
        rows: dict[str, object] = {}
        for path in result.analyses:
            analysis = read_analysis(path)
            lines = [*verdict_lines(analysis), *analysis["notes"]]
            rows[analysis["experiment"]] = "\n".join(lines)
        output.stdout().print(output.facts(rows | {"written": out}))
    for line in result.missing:
        output.note("error", line)
    if result.missing:
        raise typer.Exit(1)
