"""Facts about a sweep from run.json: example filter, features, versions and date."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fastcka.sweep.planning.folder import RUN

if TYPE_CHECKING:
    from pathlib import Path

    from fastcka.stats import PairTable


@dataclass(frozen=True)
class RunFacts:
    """Facts for captions and for the summary table.

    Attributes
    ----------
    examples_filter
        The example filter as text.
    n_features
        (model, step, layer) -> number of features; unknown representations are missing.
    pooling
        (model, step, layer) -> how an example's values became one row; where it is recorded.
    order
        Field -> labels in order: that of the sweep's configuration, and for layers by their
        position in their networks.
    rows
        Name -> text, for the summary table.
    sides
        Field -> allowed values on the left and on the right side of each pair; None if the
        sweep has no sides.
    differing
        The fields in which the two sides of every pair differ by a rule of the sweep.
    level
        Level of the intervals; None if the sweep computed none or it is unknown.
    failed
        Group that could not be computed -> reason.
    problem
        Why run.json could not be read, or None.
    """

    examples_filter: str
    n_features: dict[tuple[str, str, str], int] = field(default_factory=dict)
    pooling: dict[tuple[str, str, str], str] = field(default_factory=dict)
    order: dict[str, list[Any]] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    sides: tuple[dict[str, list[Any]], dict[str, list[Any]]] | None = None
    differing: tuple[str, ...] = ()
    level: float | None = None
    failed: dict[str, str] = field(default_factory=dict)
    problem: str | None = None

    def caption(self, table: PairTable) -> str:
        """Return the numbers of examples and features, the estimator, the filter and the pooling.

        "4,413 examples · 256 features · unbiased CKA · example filter: none · pooling: mean"
        """
        keys = {
            key
            for side in (table.a, table.b)
            for key in zip(side["model"], side["step"], side["layer"], strict=True)
        }
        known = [self.n_features[key] for key in keys if key in self.n_features]
        parts = [
            f"{_span(table.n_examples.tolist())} examples",
            f"{_span(known) if known else 'unknown number of'} features",
            f"{table.estimator} CKA" if table.estimator else "CKA (unknown estimator)",
            f"example filter: {self.examples_filter}",
            f"pooling: {self._pooling(keys)}",
        ]
        return " · ".join(parts)

    def _pooling(self, keys: Iterable[tuple[str, str, str]]) -> str:
        """Return the poolings of representations, the most frequent first."""
        counts = Counter(self.pooling.get(key, "not recorded") for key in keys)
        return ", ".join(text for text, _ in counts.most_common())


def read_facts(folder: Path) -> RunFacts:
    """Read ``run.json``. If it cannot be read, the facts are unknown and `problem` says why."""
    path = folder / RUN
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        config = record["config"]
        features: dict[tuple[str, str, str], int] = {}
        pooling: dict[tuple[str, str, str], str] = {}
        layers: dict[tuple[str, str], list[str]] = {}  # model and step -> its layers, in order
        for group in record["groups"]:
            keys = [(str(model), str(step), str(layer)) for model, step, layer, *_ in group["keys"]]
            for model, step, layer in keys:
                layers.setdefault((model, step), []).append(layer)
            features |= dict(zip(keys, map(int, group["n_features"]), strict=True))
            texts = group.get("pooling", [None] * len(keys))
            pooling |= {key: str(text) for key, text in zip(keys, texts, strict=True) if text}
        compare = config["compare"]
        order = compare.get("order") or {}
        left, right = compare.get("left"), compare.get("right")
        sides = None if left is None or right is None else (dict(left), dict(right))
        differing = (*compare.get("differ", ()), *compare.get("ascending", ()))
        rows = {
            "fastcka": record["versions"]["fastcka"],
            "sweep finished": record["finished"],
            "store": config["store"],
            "not compared by the sweep": "; ".join(
                f"{count:,} {reason}" for reason, count in record["plan"]["dropped"].items()
            )
            or "nothing",
        }
        text = config.get("examples")
        inference = config.get("inference")
        level = float(inference["level"]) if inference else None
        failed = {str(group): str(reason) for group, reason in record.get("failed", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        problem = f"{path} cannot be read ({type(error).__name__}: {error})"
        return RunFacts("unknown", problem=problem)
    return RunFacts(
        examples_filter=_filter_text(text),
        n_features=features,
        pooling=pooling,
        order={"layer": _by_depth(layers.values())}
        | {str(name): list(labels) for name, labels in order.items()},
        rows={name: str(value) for name, value in rows.items()},
        sides=sides,
        differing=differing,
        level=level,
        failed=failed,
    )


def _by_depth(networks: Iterable[Sequence[str]]) -> list[str]:
    """Return the layers by their mean relative position, from first (0) to last (1)."""
    positions: dict[str, list[float]] = {}
    for layers in networks:
        for i, layer in enumerate(layers):
            positions.setdefault(layer, []).append(i / max(1, len(layers) - 1))
    return sorted(positions, key=lambda layer: fmean(positions[layer]))


def _filter_text(value: object) -> str:
    if not value:
        return "none"
    if isinstance(value, dict) and "sample" in value:
        text = _filter_text(value.get("filter"))
        return f"{text}; a sample of {value['sample']} by id, seed {value.get('seed')}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "unknown"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
