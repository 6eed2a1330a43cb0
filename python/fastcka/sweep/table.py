"""``results.csv``: one tidy row per comparison, the same bytes for the same values.

Columns: ``group`` and each field of `within`; model, step and layer of both sides; every factor of
both sides as ``<factor>_a`` and ``<factor>_b``; then the numbers and what made them.

``n_examples`` are used by the comparison and ``n_dropped`` are not, though some representation of
the group has them: each id counts once, so that both numbers are the same for a whole group, and
``dropped`` says why. ``seconds`` is what the pass of the whole group took when its values entered
the ledger. It is stored with them, so that a resumed run writes the bytes again that it wrote
before; two runs that each compute the group differ in this column, and in no other.

Cells: floats by ``repr``, so that they read back exactly; NaN as ``nan``, with the reason in
``undefined``; lists, booleans and nulls as JSON (``["a", "b"]``); an absent factor is empty. A
*text* that starts with ``= + - @``, tab or carriage return gets a leading apostrophe, since
spreadsheets would run it as a formula; numbers stay numbers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fastcka.errors import SweepError
from fastcka.sweep.labels import KEY_FIELDS, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastcka.core import Comparison
    from fastcka.sweep.group import GroupPlan
    from fastcka.sweep.plan import SweepPlan

_NUMBERS = (
    "n_examples",
    "n_dropped",
    "dropped",
    "estimator",
    "cka",
    "cka_biased",
    "cka_unbiased",
    "hsic_biased",
    "hsic_unbiased",
    "undefined",
    "device",
    "route",
    "precision",
    "seconds",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """Return ``value`` as it stands in a cell."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    if isinstance(value, float):
        return repr(value)
    return value_text(value)


def header(plan: SweepPlan) -> list[str]:
    """Return the names of the columns; a field that would name one twice is an error."""
    sides = [f"{field}_{side}" for side in "ab" for field in KEY_FIELDS]
    factors = [f"{factor}_{side}" for factor in plan.factors for side in "ab"]
    columns = ["group", *plan.config.compare.within, *sides, *factors, *_NUMBERS]
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise SweepError(
            f"results.csv would have two columns '{twice[0]}': leave the factor of that name out "
            "of compare.within, or write the models with the factor renamed"
        )
    return columns


def group_rows(
    group: GroupPlan, comparison: Comparison, factors: Sequence[str]
) -> Iterator[list[str]]:
    """Yield the rows of a group's comparisons, in the order of its pairs."""
    fields = [cell(group.name), *(cell(value) for value in group.fields.values())]
    keys = [[cell(part) for part in r.key] for r in group.representations]
    labels = [
        [cell(r.labels[factor]) if factor in r.labels else "" for factor in factors]
        for r in group.representations
    ]
    made_by = [
        cell(comparison.provenance.get(name, ""))
        for name in ("device", "route", "precision", "seconds")
    ]
    numbers = [
        comparison.cka,
        comparison.biased,
        comparison.unbiased,
        comparison.hsic_biased,
        comparison.hsic_unbiased,
    ]
    examples = group.examples
    about = [
        cell(examples.n_examples),
        cell(sum(examples.dropped.values())),
        cell(examples.dropped_text),
        cell(comparison.estimator),
    ]
    for a, b in group.pairs.tolist():
        both = [text for pair in zip(labels[a], labels[b], strict=True) for text in pair]
        values = [cell(float(matrix[a, b])) for matrix in numbers]
        why = cell(_why_undefined(comparison.undefined, a, b))
        yield [*fields, *keys[a], *keys[b], *both, *about, *values, why, *made_by]


def _why_undefined(undefined: dict[int, Any], a: int, b: int) -> str:
    return "; ".join(
        f"{side}: {undefined[at]}" for side, at in (("a", a), ("b", b)) if at in undefined
    )
