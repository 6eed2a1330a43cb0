"""Findings of an import: content that was skipped, doubtful or missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

FindingKind = Literal["skipped", "doubtful", "missing"]


@dataclass(frozen=True, slots=True)
class ImportFinding:
    """One observation that the user should know about.

    Attributes
    ----------
    kind
        "skipped": in the tree, but not imported. "doubtful": worth a look; everything possible was
        imported. "missing": a model of models.yaml that is not in the tree.
    reason
        A few words that are the same for all findings of one sort, so that they can be counted.
    detail
        The exact observation, with the remedy if there is one.
    model, step, layer
        The model, step and layer concerned; None where unknown.
    """

    kind: FindingKind
    reason: str
    detail: str
    model: str | None = None
    step: int | None = None
    layer: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are known, for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}
