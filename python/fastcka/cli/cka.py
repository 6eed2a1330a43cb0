"""``fastcka cka``: the similarity of two representations in files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fastcka.cli import arguments, output

if TYPE_CHECKING:
    from fastcka.core import Comparison

SOURCES = "x.npy, x.npz:name, x.pt:name, x.safetensors:name or x.h5:/path."


def cka(
    a: Annotated[str, typer.Argument(metavar="A", help=f"An array: {SOURCES}")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another array of the same examples.")],
    estimator: Annotated[
        Literal["unbiased", "biased"], typer.Option(help="Which estimator of HSIC.")
    ] = "unbiased",
    precision: Annotated[
        Literal["high", "float64"],
        typer.Option(help="Of the products; high: float32, errors up to 1e-6."),
    ] = "high",
    threads: arguments.Threads = None,
    device: Annotated[str, typer.Option(help="auto or cpu.")] = "auto",
    json: arguments.Json = False,
) -> None:
    """Compute the CKA of two arrays of the same examples.

    Each array has a row for each example; axes after the first are flattened into features.
    """
    from fastcka.core import compare
    from fastcka.store import read_array

    x, y = read_array(a), read_array(b)
    result = compare(
        [x, y],
        labels=[{"source": a}, {"source": b}],
        estimator=estimator,
        device=device,
        precision=precision,
        threads=threads,
    )
    answer = {
        "a": a,
        "b": b,
        "n_features_a": math.prod(x.shape[1:]),
        "n_features_b": math.prod(y.shape[1:]),
    } | _answer(result)
    if json:
        output.print_json(answer)
    else:
        _print_facts(answer)


def _answer(result: Comparison) -> dict[str, Any]:
    """Return the pair's numbers; ``undefined`` gives, for each that is NaN, the reason."""
    values = {
        "cka": float(result.cka[0, 1]),
        "cka_biased": float(result.biased[0, 1]),
        "cka_unbiased": float(result.unbiased[0, 1]),
    }
    estimators = {
        "cka": result.estimator,
        "cka_biased": "biased",
        "cka_unbiased": "unbiased",
    }
    undefined = {
        name: _reason(result, estimators[name])
        for name, value in values.items()
        if math.isnan(value)
    }
    recorded = ("device", "route", "precision", "threads", "implementation", "seconds")
    return {
        **values,
        "undefined": undefined,
        "estimator": result.estimator,
        "n_examples": result.n_examples,
        **{name: result.provenance[name] for name in recorded},
    }


def _reason(result: Comparison, estimator: str) -> str:
    if estimator == "unbiased" and result.n_examples < 4:
        return f"the unbiased estimator needs at least 4 examples, there are {result.n_examples}"
    if result.undefined:
        return "; ".join(
            f"{result.labels[position]['source']}: {reason}"
            for position, reason in result.undefined.items()
        )
    return f"the {estimator} HSIC of a representation with itself is not above zero"


def _print_facts(answer: dict[str, Any]) -> None:
    from rich.text import Text

    chosen = answer["estimator"]
    other = "biased" if chosen == "unbiased" else "unbiased"
    undefined = answer["undefined"]

    def shown(name: str) -> str:
        reason = undefined.get(name)
        return f"undefined: {reason}" if reason else f"{answer[name]:.6f}"

    output.stdout().print(
        output.facts(
            {
                f"CKA, {chosen}": Text(shown("cka"), style="bold"),
                f"CKA, {other}": shown(f"cka_{other}"),
                "examples": f"{answer['n_examples']:,}",
                "features": f"{answer['n_features_a']:,} in A, {answer['n_features_b']:,} in B",
                "computed": (
                    f"on {answer['device']} ({answer['implementation']}), route {answer['route']}, "
                    f"precision {answer['precision']}, "
                    f"{output.counted(answer['threads'], 'thread')}, {answer['seconds']:.3f} s"
                ),
            }
        )
    )
