"""``run.json``: what ran, on what, with which counts, digests and timings."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.backend import version
from fastcka.files import replaced_file
from fastcka.sweep.folder import RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fastcka.sweep.exports import Exports
    from fastcka.sweep.plan import SweepPlan

FORMAT = "fastcka.run/1"


def run_record(
    plan: SweepPlan,
    exports: Exports,
    seconds: Mapping[int, float],
    notes: Sequence[str],
    started: datetime,
    timings: Mapping[str, float],
) -> dict[str, Any]:
    """Return the record of a run; ``seconds`` holds the groups that were computed in it."""
    groups = []
    for group, files in zip(plan.groups, exports.groups, strict=True):
        groups.append(
            {
                **group.to_dict(),
                "identity": files.identity,
                "examples_digest": group.examples_digest,
                "status": "computed" if group.position in seconds else "reused",
                "seconds": seconds.get(group.position),
                "provenance": files.provenance,
                "undefined": files.undefined,
                "matrix": files.matrix,
                "figure": files.figure,
                "fingerprint": files.fingerprint,
                "keys": [[*r.key, r.digest] for r in group.representations],
            }
        )
    planned = plan.to_dict()
    del planned["group_plans"]
    return {
        "format": FORMAT,
        "config": plan.config.model_dump(mode="json"),
        "plan": planned,
        "groups_computed": len(seconds),
        "groups_reused": len(plan.groups) - len(seconds),
        "undefined": sum(files.undefined for files in exports.groups),
        "notes": list(notes),
        "figures_left_out": exports.figures_left_out,
        "results": {"file": RESULTS, "blake2b": exports.results_digest},
        "versions": {
            "fastcka": version,
            "numpy": np.__version__,
            "h5py": importlib.metadata.version("h5py"),
            "python": platform.python_version(),
        },
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "timings": dict(timings),
        "groups": groups,
    }


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write ``record`` as JSON, all or nothing."""
    with replaced_file(path) as beside:
        beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def files_before(path: Path) -> dict[str, str]:
    """Return file -> fingerprint of the matrices and figures that an earlier run recorded.

    A record that cannot be read only means that they are made again.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: group["fingerprint"]
            for group in record["groups"]
            for name in (group["matrix"], group["figure"])
            if name is not None
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
