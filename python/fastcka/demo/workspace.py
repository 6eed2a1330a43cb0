"""The directory of a demo: what lies where, whose it is, and its two small text files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError
from fastcka.files import make_folder, replaced_file

if TYPE_CHECKING:
    from pathlib import Path

_MARKER = "demo.json"

SWEEP_YAML = """\
# Written by `fastcka demo`. Change a copy of it as you like, and run that: fastcka run <copy>.yaml
store: store
output: results
compare:
  within: [step]        # all pairs of models and layers that have the same step
  steps: all
estimator: unbiased
device: auto
"""


@dataclass(frozen=True)
class Workspace:
    """The paths of a demo in ``directory``."""

    directory: Path

    @property
    def checkpoints(self) -> Path:
        """One folder of checkpoints a network."""
        return self.directory / "checkpoints"

    @property
    def store(self) -> Path:
        """The representation store."""
        return self.directory / "store"

    @property
    def sweep(self) -> Path:
        """What `fastcka run` takes."""
        return self.directory / "sweep.yaml"

    @property
    def results(self) -> Path:
        """What the sweep writes."""
        return self.directory / "results"

    @property
    def overview(self) -> Path:
        """The picture."""
        return self.directory / "overview.png"

    def claim(self, settings: dict[str, Any]) -> None:
        """Make the directory, or take up the demo in it if its settings are the same.

        Raises
        ------
        InputError
            If the path is a file, holds something else, or holds a demo with other settings or
            an edited sweep. Nothing has been written then.
        WriteError
            If the directory or a file in it cannot be written.
        """
        marker = self.directory / _MARKER
        settings = json.loads(json.dumps(settings))
        if self.directory.exists() and not self.directory.is_dir():
            raise InputError(f"{self.directory} is a file; the demo needs a directory")
        if marker.is_file():
            self._check_settings(marker, settings)
        elif self.directory.is_dir() and any(self.directory.iterdir()):
            raise InputError(
                f"{self.directory} is not empty and is no demo (it has no {_MARKER}); "
                "name a new or an empty directory"
            )
        if self.sweep.exists() and self.sweep.read_text(encoding="utf-8") != SWEEP_YAML:
            raise InputError(
                f"{self.sweep} is not as the demo wrote it; rename it (`fastcka run` takes any "
                "name), and the demo writes its own again"
            )
        make_folder(self.directory)
        for path, text in ((marker, json.dumps(settings, indent=2)), (self.sweep, SWEEP_YAML)):
            if not path.exists():
                with replaced_file(path) as beside:
                    beside.write_text(text, encoding="utf-8")

    def _check_settings(self, marker: Path, settings: dict[str, Any]) -> None:
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{marker} is not valid JSON: {error}") from error
        if found != settings:
            found = found if isinstance(found, dict) else {}
            differ = [
                f"{name} {found.get(name)} there, {settings.get(name)} now"
                for name in sorted(found.keys() | settings.keys())
                if found.get(name) != settings.get(name)
            ]
            raise InputError(
                f"{self.directory} holds a demo with other settings ({'; '.join(differ)}); "
                "name another directory, or delete this one"
            )
