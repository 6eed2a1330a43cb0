"""The directory of a demo: its paths, its settings, and its sweep file."""

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
# Written by `fastcka demo`. To change the sweep, edit a copy and run it: fastcka run <copy>.yaml
store: store
output: results
compare:
  within: [step]        # all pairs of models and layers at the same step
  steps: all
estimator: unbiased
device: auto
"""


@dataclass(frozen=True)
class Workspace:
    """The paths of the demo in ``directory``."""

    directory: Path

    @property
    def checkpoints(self) -> Path:
        """Folder with one folder of checkpoints per network."""
        return self.directory / "checkpoints"

    @property
    def store(self) -> Path:
        """The representation store."""
        return self.directory / "store"

    @property
    def sweep(self) -> Path:
        """The sweep file, for `fastcka run`."""
        return self.directory / "sweep.yaml"

    @property
    def results(self) -> Path:
        """The folder with the results of the sweep."""
        return self.directory / "results"

    @property
    def overview(self) -> Path:
        """The figure."""
        return self.directory / "overview.png"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.results / "report"

    def claim(self, settings: dict[str, Any]) -> None:
        """Create the directory, or check that it contains a demo with the same settings.

        Raises
        ------
        InputError
            If the path is a file, or a directory with other files, a demo with other settings or
            an edited sweep file. Nothing has been written in these cases.
        WriteError
            If the directory or a file in it cannot be written.
        """
        marker = self.directory / _MARKER
        settings = json.loads(json.dumps(settings))
        if self.directory.exists() and not self.directory.is_dir():
            raise InputError(f"directory: expected a directory, got the file {self.directory}")
        if marker.is_file():
            self._check_settings(marker, settings)
        elif self.directory.is_dir() and any(self.directory.iterdir()):
            raise InputError(
                f"directory: expected a new or empty directory or an earlier demo, got "
                f"{self.directory}, which is not empty and has no {_MARKER}; choose another one"
            )
        if self.sweep.exists() and self.sweep.read_text(encoding="utf-8") != SWEEP_YAML:
            raise InputError(
                f"{self.sweep} was edited after the demo wrote it; rename your file (`fastcka run` "
                "accepts any name) and run the demo again"
            )
        make_folder(self.directory)
        for path, text in ((marker, json.dumps(settings, indent=2)), (self.sweep, SWEEP_YAML)):
            if not path.exists():
                with replaced_file(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")

    def _check_settings(self, marker: Path, settings: dict[str, Any]) -> None:
        try:
            earlier = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{marker} is not valid JSON: {error}") from error
        if earlier != settings:
            earlier = earlier if isinstance(earlier, dict) else {}
            differ = [
                f"{name} {earlier.get(name)} there, {settings.get(name)} now"
                for name in sorted(earlier.keys() | settings.keys())
                if earlier.get(name) != settings.get(name)
            ]
            raise InputError(
                f"directory: {self.directory} contains a demo with other settings "
                f"({'; '.join(differ)}); choose another directory, or delete this one"
            )
