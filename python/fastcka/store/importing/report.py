"""The report of an import."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from fastcka.store.importing.finding import FindingKind, ImportFinding

MISSING: Final = "missing model"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import wrote, and what it left out.

    Attributes
    ----------
    tree, store
        The folders read and written.
    layout
        "checkpoint tree" or "folders of arrays".
    imported, already_there
        (model, step) of each step written, and of each step that the store already contained from
        the same files.
    findings
        Everything that was skipped, doubtful or missing, in the order of the tree.
    id_fields
        Field that contained the ids ("id", "file_names", "position" ...) -> number of steps.
    id_sources
        Field and file that contained the ids ("'ids' in m/7.npz", "m/ids.txt") -> number of steps.
    layers_reordered
        Number of layers whose rows were reordered by id to match the first layer of their step.
    seconds
        Duration of the import.
    """

    tree: Path
    store: Path
    layout: str
    imported: tuple[tuple[str, int], ...]
    already_there: tuple[tuple[str, int], ...]
    findings: tuple[ImportFinding, ...]
    id_fields: dict[str, int]
    id_sources: dict[str, int]
    layers_reordered: int
    seconds: float

    def of_kind(self, kind: FindingKind) -> tuple[ImportFinding, ...]:
        """Return the findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    @property
    def skipped(self) -> tuple[ImportFinding, ...]:
        """Findings about content of the tree that was not imported."""
        return self.of_kind("skipped")

    @property
    def doubtful(self) -> tuple[ImportFinding, ...]:
        """Findings that are worth a look."""
        return self.of_kind("doubtful")

    @property
    def missing(self) -> tuple[ImportFinding, ...]:
        """Findings about models of models.yaml that are not in the tree."""
        return self.of_kind("missing")

    @property
    def counts(self) -> dict[tuple[FindingKind, str], int]:
        """Number of findings of each kind and reason."""
        return dict(Counter((finding.kind, finding.reason) for finding in self.findings))

    @property
    def complete(self) -> bool:
        """Whether the store contains the whole tree and every expected model of models.yaml.

        Doubtful findings do not matter. A missing model does not matter if models.yaml marks it as
        failed or replaced, or if the store already contains it.
        """
        return not self.skipped and all(finding.reason != MISSING for finding in self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict of JSON types."""
        return {
            "tree": str(self.tree),
            "store": str(self.store),
            "layout": self.layout,
            "complete": self.complete,
            "imported": [{"model": model, "step": step} for model, step in self.imported],
            "already_there": [{"model": model, "step": step} for model, step in self.already_there],
            "counts": [
                {"kind": kind, "reason": reason, "count": count}
                for (kind, reason), count in self.counts.items()
            ],
            "findings": [finding.to_dict() for finding in self.findings],
            "id_fields": self.id_fields,
            "id_sources": self.id_sources,
            "layers_reordered": self.layers_reordered,
            "seconds": self.seconds,
        }
