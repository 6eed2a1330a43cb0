"""The files that a step was imported from, so that a later import can tell whether they changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.store.importing.checkpoint_tree import ANALYSES, layer_of
from fastcka.store.importing.finding import ImportFinding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastcka.store.importing.tree import TreeStep

_FIELD: Final = "import"
_KEPT: Final = ("kind", "reason", "detail", "layer")

Fingerprint = dict[str, list[int]]
"""Path relative to the model's folder -> [size in bytes, mtime in nanoseconds].

For a folder (zarr), the sum of the sizes in it and the latest time.
"""


def fingerprint(step: TreeStep) -> Fingerprint:
    """Return the sizes and times of a step's files.

    Raises
    ------
    OSError
        If a file has disappeared.
    """
    marks: Fingerprint = {}
    for path in step.files:
        inside = list(path.rglob("*")) if path.is_dir() else []  # the chunks of a zarr folder
        states = [each.stat() for each in (path, *inside)]
        size = sum(status.st_size for status in states)
        # examples.json may be above the model's folder.
        marks[os.path.relpath(path, step.folder)] = [size, max(s.st_mtime_ns for s in states)]
    return marks


def record(
    tree: Path,
    step: TreeStep,
    marks: Fingerprint,
    findings: Sequence[ImportFinding],
    id_source: str,
) -> dict[str, Any]:
    """Return the provenance that the store keeps with a step."""
    return {
        _FIELD: {
            "tree": str(tree.resolve()),
            "folder": str(step.folder.relative_to(tree)),
            "files": marks,
            "ids": id_source or None,
            # Each later import reports them again, so that skipped content is not forgotten.
            "findings": [
                {name: value for name, value in finding.to_dict().items() if name in _KEPT}
                for finding in findings
            ],
        }
    }


def difference(provenance: Mapping[str, Any], marks: Fingerprint) -> str | None:
    """Return how a step's files differ from those that the store imported; None if they do not."""
    record = provenance.get(_FIELD)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return "was not written by an import"
    old = record["files"]
    changes = {
        "new": marks.keys() - old.keys(),
        "missing": old.keys() - marks.keys(),
        "changed": {name for name in marks.keys() & old.keys() if marks[name] != old[name]},
    }
    texts = [f"{what}: {', '.join(sorted(names)[:3])}" for what, names in changes.items() if names]
    return f"was imported from other files ({'; '.join(texts)})" if texts else None


def representations_folder(provenance: Mapping[str, Any], layer: str) -> Path | None:
    """Return the folder ``checkpoint-<step>`` that a step's layer was imported from.

    Return None if the layer has another origin or the folder no longer exists.
    """
    record = provenance.get(_FIELD)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return None
    for name in record["files"]:
        parts = Path(name).parts
        if parts[0] == ANALYSES and len(parts) > 2 and str(layer_of(parts[1])) == layer:
            folder = Path(record["tree"], record["folder"], *parts[:3])
            return folder if folder.is_dir() else None
    return None


def findings(provenance: Mapping[str, Any], step: TreeStep) -> list[ImportFinding]:
    """Return the findings of the import that wrote a step."""
    return [
        ImportFinding(model=step.model, step=step.step, **kept)
        for kept in provenance[_FIELD]["findings"]
    ]
