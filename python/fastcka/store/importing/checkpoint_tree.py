"""The layout of checkpoint trees, with a folder for each model, layer and step.

::

    TREE/.../<model>/analysis_higher/<prompt>_l<layer>/representations/checkpoint-<step>/
        representations.pt
        metadata.json
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fastcka.errors import ImportRefusedError
from fastcka.store.importing.checkpoint import (
    METADATA,
    VALUES,
    CityTables,
    read_checkpoint,
)
from fastcka.store.importing.finding import FindingKind, ImportFinding
from fastcka.store.importing.jsonfile import read_json, whole_number
from fastcka.store.importing.tree import TreeContents, TreeLayer, TreeStep, unique_names
from fastcka.store.importing.walk import listed, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

ANALYSES: Final = "analysis_higher"
LAYOUT: Final = "checkpoint tree"

_EXTRACTION: Final = re.compile(r"(?P<prompt>.+)_l(?P<layer>\d{1,9})")
_CHECKPOINT: Final = re.compile(r"checkpoint-(?P<step>\d{1,18})")


def find_checkpoint_tree(root: Path, *, only: str = "*") -> TreeContents | None:
    """Return the models, steps and layers below a folder; None if no model has this layout.

    Parameters
    ----------
    root
        The tree.
    only
        A glob pattern for the names of the folders ``<prompt>_l<layer>`` to read.
    """
    findings: list[ImportFinding] = []
    folders = []
    for folder, inner, _ in walk(root, findings):
        if ANALYSES in inner:
            folders.append(folder)
            inner.remove(ANALYSES)
    if not folders:
        return None
    models = unique_names(sorted(folders), root)
    tables = CityTables()
    steps = []
    for model, folder in models.items():
        steps += _ModelTree(model, folder, findings).steps(only, tables)
    return TreeContents(LAYOUT, models, steps, findings)


def checkpoint_folders(representations: Path) -> dict[int, Path]:
    """Return step -> folder ``checkpoint-<step>`` in a folder, by ascending step.

    Raises
    ------
    ImportRefusedError
        If two folders have the same step.
    """
    folders: dict[int, Path] = {}
    for name in listed(representations)[0]:
        match = _CHECKPOINT.fullmatch(name)
        if match is None:
            continue
        other = folders.setdefault(int(match["step"]), representations / name)
        if other.name != name:
            raise ImportRefusedError(
                "two folders for one step",
                f"{representations}: {other.name} and {name} are the same step; keep one",
            )
    return dict(sorted(folders.items()))


def layer_of(extraction: str) -> int | None:
    """Return the layer in a folder's name ``<prompt>_l<layer>``; None if it has another form."""
    match = _EXTRACTION.fullmatch(extraction)
    return None if match is None else int(match["layer"])


class _ModelTree:
    """One model's part of the tree."""

    def __init__(self, model: str, folder: Path, findings: list[ImportFinding]) -> None:
        self._model = model
        self._folder = folder
        self._findings = findings

    def steps(self, only: str, tables: CityTables) -> list[TreeStep]:
        layers: dict[int, dict[int, Path]] = {}
        prompts: dict[int, str] = {}
        for layer, extraction in self._extractions(only).items():
            representations = extraction / "representations"
            prompts[layer] = extraction.name.rpartition("_l")[0]
            try:
                layers[layer] = checkpoint_folders(representations)
                self._note_other_folders(representations, layer, layers[layer])
            except ImportRefusedError as error:
                self._note("skipped", error.reason, str(error), layer)
            except OSError as error:
                detail = f"{representations}: {error.strerror or error}"
                self._note("skipped", "no representations", detail, layer)
        steps = []
        for step in sorted({step for folders in layers.values() for step in folders}):
            present = {layer: folders[step] for layer, folders in layers.items() if step in folders}
            for layer in layers.keys() - present.keys():
                detail = f"{self._folder}: layer {layer} lacks step {step}, other layers have it"
                self._note("doubtful", "layer without a step", detail, layer, step)
            files = (folder / name for folder in present.values() for name in (METADATA, VALUES))
            read = partial(self._read, step, present, prompts, tables)
            steps.append(
                TreeStep(
                    self._model,
                    step,
                    self._folder,
                    tuple(file for file in files if file.is_file()),
                    read,
                )
            )
        return steps

    def _extractions(self, only: str) -> dict[int, Path]:
        """Return layer -> its folder below ``analysis_higher``, by ascending layer."""
        analyses = self._folder / ANALYSES
        names_of: dict[int, list[str]] = {}
        for name in listed(analyses)[0]:
            match = _EXTRACTION.fullmatch(name)
            if match is not None and fnmatchcase(name, only):
                names_of.setdefault(int(match["layer"]), []).append(name)
            elif match is None and (analyses / name / "representations").is_dir():
                detail = f"{analyses / name}: the name does not end with _l<layer>"
                self._note("skipped", "folder without a layer", detail)
        if not names_of:
            detail = f"{analyses}: contains no folder <prompt>_l<layer> that matches {only!r}"
            self._note("skipped", "no representations", detail)
        for layer, names in names_of.items():
            if len(names) > 1:
                detail = (
                    f"{analyses}: {', '.join(names)} are all layer {layer}; choose one with "
                    f"--only, as in --only '{names[0].rpartition('_l')[0]}_l*'"
                )
                self._note("skipped", "two folders for one layer", detail, layer)
        return {
            layer: analyses / names[0]
            for layer, names in sorted(names_of.items())
            if len(names) == 1
        }

    def _note_other_folders(self, representations: Path, layer: int, steps: Iterable[int]) -> None:
        for name in listed(representations)[0]:
            folder = representations / name
            if name == "final":
                self._note_final(folder, layer, list(steps))
            elif _CHECKPOINT.fullmatch(name) is None:
                detail = f"{folder}: expected the name checkpoint-<step>"
                self._note("skipped", "folder without a step", detail, layer)

    def _note_final(self, folder: Path, layer: int, steps: list[int]) -> None:
        """Record that ``final`` is not imported, and whether its content is lost."""
        step = None
        try:
            metadata = read_json(folder / METADATA)
            if isinstance(metadata, dict):
                step = whole_number(f"{folder / METADATA}: step", metadata.get("step"))
        except ImportRefusedError:
            pass  # a folder whose step is unknown
        last = f"the last checkpoint is checkpoint-{steps[-1]}" if steps else "it is the only one"
        if step is None:
            detail = f"{folder}: not imported: its metadata contain no step; {last}"
            kind: FindingKind = "doubtful" if steps else "skipped"
        elif step in steps:
            detail = f"{folder}: not imported: it is step {step}, as is checkpoint-{step}"
            kind = "doubtful"
        else:
            detail = (
                f"{folder}: not imported: it is step {step}, and {last}; rename it to "
                f"checkpoint-{step} to import it"
            )
            kind = "skipped"
        self._note(kind, "final folder", detail, layer, step)

    def _read(
        self,
        step: int,
        folders: dict[int, Path],
        prompts: dict[int, str],
        tables: CityTables,
        findings: list[ImportFinding],
    ) -> list[TreeLayer]:
        layers = []
        for layer, folder in folders.items():
            name = str(layer)
            try:
                checkpoint = read_checkpoint(folder, layer=layer, step=step, tables=tables)
            except ImportRefusedError as error:
                findings.append(
                    ImportFinding("skipped", error.reason, str(error), self._model, step, name)
                )
                continue
            layers.append(TreeLayer(name, checkpoint.values, checkpoint.table))
            prompt, noted = prompts[layer], checkpoint.prompt_format
            if noted is not None and noted != prompt and not prompt.endswith(f"_{noted}"):
                detail = (
                    f"{folder / METADATA}: prompt_format is {noted!r}, but the folder's name has "
                    f"{prompt!r}"
                )
                reason = "prompt format contradicts the folder"
                findings.append(ImportFinding("doubtful", reason, detail, self._model, step, name))
        return layers

    def _note(
        self,
        kind: FindingKind,
        reason: str,
        detail: str,
        layer: int | None = None,
        step: int | None = None,
    ) -> None:
        name = None if layer is None else str(layer)
        self._findings.append(ImportFinding(kind, reason, detail, self._model, step, name))
