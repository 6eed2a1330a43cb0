"""A checkpoint tree and the store that it is imported into."""

from __future__ import annotations

import json
from pathlib import Path


def reasons(report) -> list[tuple[str, str, int | None, str | None]]:
    return [(found.kind, found.reason, found.step, found.layer) for found in report.findings]


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
