"""What run.json tells of the sweep: the filter, the features, when and by what it was made."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastcka.sweep.folder import RUN

if TYPE_CHECKING:
    from pathlib import Path

    from fastcka.stats import PairTable


@dataclass(frozen=True)
class RunFacts:
    """Facts for captions and the summary.

    Attributes
    ----------
    examples_filter
        The filter in words.
    n_features
        (model, step, layer) -> number of features; empty where it is not known.
    order
        Field -> its labels in the order that the sweep's configuration gives.
    rows
        Name -> text for the summary.
    failed
        Groups without values, each with the reason.
    problem
        Why run.json could not be read, or None.
    """

    examples_filter: str
    n_features: dict[tuple[str, str, str], int] = field(default_factory=dict)
    order: dict[str, list[Any]] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    problem: str | None = None

    def caption(self, table: PairTable) -> str:
        """Return "n = 4,413 examples · d = 256 · unbiased CKA · filter: none" for these pairs."""
        keys = {
            key
            for side in (table.a, table.b)
            for key in zip(side["model"], side["step"], side["layer"], strict=True)
        }
        known = [self.n_features[key] for key in keys if key in self.n_features]
        parts = [
            f"n = {_span(table.n_examples.tolist())} examples",
            f"d = {_span(known)}" if known else "d unknown",
            f"{table.estimator or 'unknown'} CKA",
            f"filter: {self.examples_filter}",
        ]
        return " · ".join(parts)


def read_facts(folder: Path) -> RunFacts:
    """Read ``run.json``; what it does not tell is said to be unknown."""
    path = folder / RUN
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        config = record["config"]
        features = {
            (str(key[0]), str(key[1]), str(key[2])): int(count)
            for group in record["groups"]
            for key, count in zip(group["keys"], group["n_features"], strict=True)
        }
        order = config["compare"].get("order") or {}
        rows = {
            "fastcka": record["versions"]["fastcka"],
            "sweep finished": record["finished"],
            "store": config["store"],
            "left out by the plan": "; ".join(
                f"{count:,} {reason}" for reason, count in record["plan"]["dropped"].items()
            )
            or "nothing",
        }
        text = config.get("examples")
        failed = {str(group): str(reason) for group, reason in record.get("failed", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        problem = f"{path.name} could not be read ({type(error).__name__}: {error})"
        return RunFacts("unknown", problem=problem)
    return RunFacts(
        examples_filter=_filter_text(text),
        n_features=features,
        order={str(name): list(labels) for name, labels in order.items()},
        rows={name: str(value) for name, value in rows.items()},
        failed=failed,
    )


def _filter_text(value: object) -> str:
    if not value:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "unknown"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
