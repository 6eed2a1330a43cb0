"""``fastcka evolve``: compare the phases of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastcka.cli import arguments, output


def evolve(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="File of `checkpoints plan`.")],
    checkpoints: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Folder that contains <experiment>/checkpoint_step_00100.pt and so on.",
        ),
    ],
    out: Annotated[Path, typer.Option("--output", metavar="OUT", help="Folder for the results.")],
    other: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Checkpoints of the same plan with a second seed, used as a baseline.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PKG.MODULE:FACTORY",
            help="Function that builds the network. Its parameter `experiment`, if it has one, "
            "receives the name of the experiment.",
        ),
    ] = None,
    probe: Annotated[
        Path | None,
        typer.Option(metavar="PROBE.npz", help="Probe examples: inputs and, optionally, ids."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="PATTERN",
            help="Compare the activations of these modules (default: the children of the network). "
            "May be repeated.",
        ),
    ] = None,
    pool: Annotated[
        str,
        typer.Option(
            help="How to pool activations: flatten, mean_tokens, last_token, cls or spatial_mean."
        ),
    ] = "flatten",
    permutations: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of random permutations of the weights. The results report how diverse the "
            "filters of permuted weights are, as the diversity to expect by chance.",
        ),
    ] = 20,
    weights_key: arguments.WeightsKey = None,
    strip: arguments.Strip = None,
    trust_pickle: arguments.TrustPickle = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results of a different plan, checkpoints, model or probe.",
        ),
    ] = False,
    json: arguments.Json = False,
) -> None:
    """Compare early, middle and late checkpoints of each training run.

    Compares their weights and, given --model and --probe, their activations. The exit status is 1
    if a checkpoint is missing or damaged; the other checkpoints are still compared.
    """
    from fastcka.evolution import evolve as run
    from fastcka.evolution import read_analysis
    from fastcka.evolution.answer import answer

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
            overwrite=overwrite,
            progress=lambda what: bars.update(task, description=what),
        )
    analyses = [read_analysis(path) for path in result.analyses]
    answers = {analysis["experiment"]: answer(analysis) for analysis in analyses}
    if json:
        output.print_json(
            {
                "answers": {name: list(summary.sentences) for name, summary in answers.items()},
                "analyses": list(result.analyses),
                "figures": list(result.figures),
                "summary": result.summary,
                "missing": list(result.missing),
            }
        )
    else:
        for analysis in analyses:
            name = analysis["experiment"]
            summary = answers[name]
            limits = [
                line
                for line in (*summary.limits, *analysis["notes"])
                if line not in summary.sentences
            ]
            rows = {name: summary.sentences, "numbers": summary.numbers, "not shown": limits}
            texts = {title: output.lines(part) for title, part in rows.items() if part}
            output.stdout().print(output.facts(texts))
            output.stdout().print()
        output.stdout().print(output.facts({"details": result.summary, "written": out}))
    for line in result.missing:
        output.note("error", line)
    if result.missing:
        raise typer.Exit(1)
