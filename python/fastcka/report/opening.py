"""The first sentences of the page: what the sweep shows, and how to read it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastcka.report.data import ReportData
from fastcka.stats import PairTable

READING = (
    "Each cell compares two representations of the same examples, or is the mean of several such "
    "pairs. A CKA of 1 means the same geometry up to rotation and scale. For unrelated data the "
    "unbiased CKA is near 0; the biased CKA and other measures can be far above 0.",
    "Read a value against a baseline and not alone: networks before training, and pairs that share "
    "only the architecture, are often similar.",
    "A difference counts only if it exceeds the spread of the seeds.",
)


def opening(data: ReportData) -> str:
    """Return one sentence with the mean similarity of each kind of pairs at the last step."""
    where, table = data.pairs.at_last_step()
    means = [
        f"{pairs.cka.mean():.2f} between {name} ({len(pairs):,} pair{'s' * (len(pairs) > 1)})"
        for name, pairs in _kinds(table.keep(np.isfinite(table.cka)), data)
    ]
    if not means:
        return "No pair of this sweep has a value."
    listed = means[0] if len(means) == 1 else f"{', '.join(means[:-1])} and {means[-1]}"
    estimator = f"{table.estimator} CKA" if table.estimator else "CKA"
    text = f"{where}, the mean {estimator} is {listed}."
    return f"At {text}"


def _kinds(table: PairTable, data: ReportData) -> Iterator[tuple[str, PairTable]]:
    """Yield kinds of pairs that have pairs, the most similar sides first."""
    one_model = np.asarray(table.a["model"] == table.b["model"], bool)
    one_layer = table.same("layer")
    yield from _named("two steps of one layer of a model", table.keep(one_model & one_layer))
    yield from _named("two layers of one model", table.keep(one_model & ~one_layer))
    rest = table.keep(~one_model)
    parts: list[tuple[str, PairTable]] = []
    for field in (data.roles.family, data.roles.variant, data.roles.seed):
        if field is not None:
            parts.append((f"two models of different {field}", rest.keep(rest.differ(field))))
            rest = rest.keep(~rest.differ(field))
    parts.append(("two models", rest))
    for name, pairs in reversed(parts):
        same = pairs.keep(pairs.same("layer"))
        # A name that two architectures share, such as "logits", does not describe all layers.
        if len(same) == len(pairs) or len(same.labels("layer")) > 1:
            yield from _named(f"the same layer of {name}" if len(same) < len(pairs) else name, same)
        else:
            yield from _named(f"layers of {name}", pairs)


def _named(name: str, pairs: PairTable) -> Iterator[tuple[str, PairTable]]:
    if len(pairs):
        yield name, pairs
