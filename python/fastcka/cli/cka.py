"""``fastcka cka``: the CKA of two representations in files."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fastcka.cli import arguments, output
from fastcka.cli.inferred import (
    first_that_fits,
    inferred_lines,
    inferred_values,
    interval_text,
)
from fastcka.cli.measures import lines_of_measures, measures_of, values_of_measures
from fastcka.cli.p_value import MOST_SECONDS, wants_p
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sized

    from numpy.typing import NDArray

    from fastcka.arrays import Rows
    from fastcka.core import Comparison
    from fastcka.core.estimators import HsicEstimator

SOURCES = (
    "x.npy, x.npz:name, x.pt:name, x.safetensors:name, x.h5:/path, x.nc:name, x.mat:name, "
    "x.h5ad:obsm/name, x.zarr:name, x.parquet:column or x.parquet:columns_*. The name may be "
    "omitted if the file contains one array."
)


def one_of(*names: str) -> Callable[[str], str]:
    """Return a check of an option's value; typer's check adds "Value error"."""

    def check(value: str) -> str:
        if value not in names:
            raise typer.BadParameter(f"expected {' or '.join(names)}; got {value!r}")
        return value

    return check


def cka(
    a: Annotated[str, typer.Argument(metavar="A", help=f"An array: {SOURCES}")],
    b: Annotated[str, typer.Argument(metavar="B", help="A second array of the same examples.")],
    estimator: Annotated[
        Literal["unbiased", "biased", "feature_corrected"],
        typer.Option(
            parser=str,
            metavar="unbiased|biased|feature_corrected",
            callback=one_of("unbiased", "biased", "feature_corrected"),
            help="Estimator of the HSIC terms in CKA; feature_corrected if the features are a "
            "sample, such as recorded neurons.",
        ),
    ] = "unbiased",
    precision: Annotated[
        Literal["high", "fast", "float64"],
        typer.Option(
            parser=str,
            metavar="high|fast|float64",
            callback=one_of("high", "fast", "float64"),
            help="Precision of the matrix products: high (errors below 1e-6 on a CPU; "
            "up to 7e-6 on an H100), fast (fp16 on a GPU; bfloat16 on a CPU where it is faster, "
            "otherwise as high) or float64.",
        ),
    ] = "high",
    p_value: Annotated[
        bool | None,
        typer.Option(
            "--p-value/--no-p-value",
            help="Compute the interval over examples and the p-value, on the CPU. Default: if the "
            f"comparison then takes at most {MOST_SECONDS:.0f} s as predicted, and not with "
            "--device cuda.",
            show_default=False,
        ),
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further measure, such as procrustes, or with options mutual_knn:k=5; on the "
            "CPU. May be repeated. Names: rbf_cka, mutual_knn, cknna, cknna_reference, procrustes, "
            "svcca, pwcca.",
        ),
    ] = None,
    threads: arguments.Threads = None,
    device: arguments.Device = "auto",
    memory: arguments.Memory = None,
    no_memory_check: arguments.NoMemoryCheck = False,
    json: arguments.Json = False,
) -> None:
    """Compute the CKA of two arrays of the same examples.

    Rows are examples; axes after the first are flattened into features.
    Arrays of MATLAB files (version 7.3) have the shape that MATLAB displays.
    The interval shows how the value would vary with other examples (jackknife).
    The chance level and the p-value are those of permuted examples.
    The p-value is computed from the first three moments of the permutations.
    """
    from fastcka.core import Inference, compare
    from fastcka.memory import memory_check

    with memory_check(not no_memory_check):
        measures = measures_of(measure)
        x, y = _read(a), _read(b)
        _require_same_examples(a, x, b, y)
        compared = partial(
            compare,
            [x, y],
            labels=[{"side": "A", "source": a}, {"side": "B", "source": b}],
            estimator=estimator,
            device=device,
            precision=precision,
            threads=threads,
            memory=memory,
            measures=measures,
        )
        ways: list[bool | Inference] = []
        if wants_p(p_value, x, y, device, precision, threads):
            ways = [True, Inference(folds=0)]  # without intervals, which need more memory
        if not p_value:
            ways.append(False)
        result = first_that_fits(compared, ways)
    answer = {
        "a": a,
        "b": b,
        "n_features_a": math.prod(x.shape[1:]),
        "n_features_b": math.prod(y.shape[1:]),
        "matlab_axes": _with_matlab_axes({"A": a, "B": b}),
    } | _answer(result)
    if json:
        output.print_json(answer)
    else:
        _print_facts(answer)


def _read(source: str) -> Rows | NDArray[Any]:
    from fastcka.store import open_array

    array = open_array(source)
    if len(array.shape) < 2:
        raise InputError(
            f"{source}: the array has the shape {array.shape}; expected (examples, features), for "
            "example (n, 1) for a single feature"
        )
    return array


def _with_matlab_axes(sources: dict[str, str]) -> list[str]:
    """Return the sides from MATLAB files, whose axes were reversed on reading."""
    from fastcka.store import has_matlab_axes

    return [side for side, source in sources.items() if has_matlab_axes(source)]


def _require_same_examples(a: str, x: Sized, b: str, y: Sized) -> None:
    """Refuse two files whose ids differ, because rows are matched by position."""
    import numpy as np

    from fastcka.store import read_examples
    from fastcka.store.joining import NamedRows, join_refusal

    first, second = read_examples(a, len(x)), read_examples(b, len(y))
    if first is None or second is None:
        return
    refusal = join_refusal(
        [
            NamedRows(source, len(examples.ids), examples.positional_ids)
            for source, examples in ((a, first), (b, second))
        ]
    )
    if refusal is not None:
        raise InputError(refusal)
    one, other = first.ids, second.ids
    if np.array_equal(one, other):
        return
    same = len(one) == len(other) and np.array_equal(np.sort(one), np.sort(other))
    what = "the same examples in a different order" if same else "different examples"
    raise InputError(
        f"{a} and {b} contain {what}, according to their ids, but this command matches rows by "
        "position; import both files into a store (fastcka store import) and compare them in a "
        "sweep (fastcka run), which matches rows by id"
    )


def _answer(result: Comparison) -> dict[str, Any]:
    """Return the pair's numbers; ``undefined`` gives, for each that is NaN, the reason."""
    values = {
        "cka": float(result.cka[0, 1]),
        "cka_biased": float(result.biased[0, 1]),
        "cka_unbiased": float(result.unbiased[0, 1]),
    }
    undefined = {
        name: _reason(result, estimator)
        for name, estimator in _estimators(result).items()
        if math.isnan(values[name])
    }
    if result.estimator == "feature_corrected" and math.isnan(values["cka"]):
        undefined["cka"] = _of_sides(result, result.undefined)
    recorded = (
        "device",
        "route",
        "precision",
        "products",
        "threads",
        "implementation",
        "seconds",
    )
    return {
        **values,
        "undefined": undefined,
        "estimator": result.estimator,
        "n_examples": result.n_examples,
        **{name: result.provenance[name] for name in recorded},
        "reads": result.provenance.get("reads"),
        **inferred_values(result),
        "measures": values_of_measures(result),
    }


def _estimators(result: Comparison) -> dict[str, HsicEstimator]:
    chosen = result.estimator
    of_cka: dict[str, HsicEstimator] = {} if chosen == "feature_corrected" else {"cka": chosen}
    return {**of_cka, "cka_biased": "biased", "cka_unbiased": "unbiased"}


def _reason(result: Comparison, estimator: HsicEstimator) -> str:
    from fastcka.core.estimators import MIN_EXAMPLES, nan_reasons

    reasons = nan_reasons(
        estimator,
        cka=result.biased if estimator == "biased" else result.unbiased,
        hsic_biased=result.hsic_biased,
        hsic_unbiased=result.hsic_unbiased,
        n_examples=result.n_examples,
        products=result.provenance["products"],
    )
    if result.n_examples < MIN_EXAMPLES[estimator]:
        return f"{reasons[0]}, there are {result.n_examples}"
    return _of_sides(result, reasons)


def _of_sides(result: Comparison, reasons: dict[int, str]) -> str:
    return "; ".join(
        f"{result.labels[position]['source']}: {reason}" for position, reason in reasons.items()
    )


def _axes_fact(sides: list[str]) -> dict[str, str]:
    if not sides:
        return {}
    return {"axes": f"of {' and '.join(sides)} as in MATLAB (the file stores them reversed)"}


def _reads_fact(reads: float | None) -> dict[str, str]:
    if reads is None:
        return {}
    from fastcka.core.streaming.plan import times_text

    return {"read": f"in blocks of rows, {times_text(reads)}"}


def _print_facts(answer: dict[str, Any]) -> None:
    from rich.text import Text

    chosen = answer["estimator"]
    others = [name for name in ("unbiased", "biased") if name != chosen]
    undefined = answer["undefined"]

    def shown(name: str) -> str:
        reason = undefined.get(name)
        return f"undefined: {reason}" if reason else f"{answer[name]:.6f}"

    output.stdout().print(
        output.facts(
            {
                f"CKA, {chosen.replace('_', '-')}": Text.assemble(
                    (shown("cka"), "bold"), interval_text(answer)
                ),
                **inferred_lines(answer),
                **{f"CKA, {other}": shown(f"cka_{other}") for other in others},
                **lines_of_measures(answer["measures"]),
                "examples": f"{answer['n_examples']:,}",
                "features": f"{answer['n_features_a']:,} in A, {answer['n_features_b']:,} in B",
                **_axes_fact(answer["matlab_axes"]),
                "computed": (
                    f"on {answer['device']} ({answer['implementation']}), route {answer['route']}, "
                    f"{answer['products']} products, "
                    f"{output.counted(answer['threads'], 'thread')}, {answer['seconds']:.3f} s"
                ),
                **_reads_fact(answer["reads"]),
            }
        )
    )
