"""The layout of checkpoint trees: a tree for each model and layer, a folder for each step.

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
from fastcka.store.importing.found import FoundLayer, FoundStep, FoundTree, unique_names
from fastcka.store.importing.jsonfile import read_json, whole_number
from fastcka.store.importing.walk import listed, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

ANALYSES: Final = "analysis_higher"
LAYOUT: Final = "checkpoint tree"

_EXTRACTION: Final = re.compile(r"(?P<prompt>.+)_l(?P<layer>\d{1,9})")
_CHECKPOINT: Final = re.compile(r"checkpoint-(?P<step>\d{1,18})")


def find_checkpoint_tree(root: Path, *, only: str = "*") -> FoundTree | None:
    """Return the models, steps and layers below a folder; None if no model has this layout.

    Parameters
    ----------
    root
        The tree.
    only
        Which of the folders ``<prompt>_l<layer>`` to take, as a glob pattern of their names.
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
        own = _ModelTree(model, folder, findings)
        steps += own.steps(only, tables)
    return FoundTree(LAYOUT, models, steps, findings)


def checkpoint_folders(representations: Path) -> dict[int, Path]:
    """Return step -> folder, in increasing order, of the ``checkpoint-<step>`` in a folder.

    Raises
    ------
    ImportRefusedError
        If two folders stand for one step.
    """
    found: dict[int, Path] = {}
    for name in listed(representations)[0]:
        match = _CHECKPOINT.fullmatch(name)
        if match is None:
            continue
        other = found.setdefault(int(match["step"]), representations / name)
        if other.name != name:
            raise ImportRefusedError(
                "two folders for one step", f"{representations}: {other.name} and {name}"
            )
    return dict(sorted(found.items()))


def layer_of(extraction: str) -> int | None:
    """Return the layer that stands in a folder's name ``<prompt>_l<layer>``; None in another's."""
    match = _EXTRACTION.fullmatch(extraction)
    return None if match is None else int(match["layer"])


class _ModelTree:
    """One model's part of the tree."""

    def __init__(self, model: str, folder: Path, findings: list[ImportFinding]) -> None:
        self._model = model
        self._folder = folder
        self._findings = findings

    def steps(self, only: str, tables: CityTables) -> list[FoundStep]:
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
        found = []
        for step in sorted({step for folders in layers.values() for step in folders}):
            present = {layer: own[step] for layer, own in layers.items() if step in own}
            for layer in layers.keys() - present.keys():
                detail = f"{self._folder}: other layers have step {step}, layer {layer} has not"
                self._note("doubtful", "layer without a step", detail, layer, step)
            files = (folder / name for folder in present.values() for name in (METADATA, VALUES))
            read = partial(self._read, step, present, prompts, tables)
            found.append(
                FoundStep(
                    self._model,
                    step,
                    self._folder,
                    tuple(file for file in files if file.is_file()),
                    read,
                )
            )
        return found

    def _extractions(self, only: str) -> dict[int, Path]:
        """Return layer -> its folder below ``analysis_higher``, by layer."""
        analyses = self._folder / ANALYSES
        of_layer: dict[int, list[str]] = {}
        for name in listed(analyses)[0]:
            match = _EXTRACTION.fullmatch(name)
            if match is not None and fnmatchcase(name, only):
                of_layer.setdefault(int(match["layer"]), []).append(name)
            elif match is None and (analyses / name / "representations").is_dir():
                detail = f"{analyses / name}: the name does not end with _l<layer>"
                self._note("skipped", "folder without a layer", detail)
        if not of_layer:
            detail = f"{analyses}: holds no folder <prompt>_l<layer> that matches {only!r}"
            self._note("skipped", "no representations", detail)
        for layer, names in of_layer.items():
            if len(names) > 1:
                detail = (
                    f"{analyses}: {', '.join(names)} are all of layer {layer}; choose one with "
                    f"--only, as in --only '{names[0].rpartition('_l')[0]}_l*'"
                )
                self._note("skipped", "two folders for one layer", detail, layer)
        return {layer: analyses / of[0] for layer, of in sorted(of_layer.items()) if len(of) == 1}

    def _note_other_folders(self, representations: Path, layer: int, steps: Iterable[int]) -> None:
        for name in listed(representations)[0]:
            folder = representations / name
            if name == "final":
                self._note_final(folder, layer, list(steps))
            elif _CHECKPOINT.fullmatch(name) is None:
                detail = f"{folder}: not the name of a checkpoint (checkpoint-<step>)"
                self._note("skipped", "folder without a step", detail, layer)

    def _note_final(self, folder: Path, layer: int, steps: list[int]) -> None:
        """Say that ``final`` is not imported, and whether anything is lost by that."""
        step = None
        try:
            metadata = read_json(folder / METADATA)
            if isinstance(metadata, dict):
                step = whole_number(f"{folder / METADATA}: step", metadata.get("step"))
        except ImportRefusedError:
            pass  # a folder whose step is unknown
        last = f"checkpoint-{steps[-1]}" if steps else "no checkpoint"
        if step is None:
            detail = f"{folder}: not imported, as it does not say its step; {last} is the last"
            kind: FindingKind = "doubtful" if steps else "skipped"
        elif step in steps:
            detail = f"{folder}: not imported: it says step {step}, and so does checkpoint-{step}"
            kind = "doubtful"
        else:
            detail = (
                f"{folder}: not imported: it says step {step}, but {last} is the last; rename it "
                f"to checkpoint-{step} to import it"
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
    ) -> list[FoundLayer]:
        found = []
        for layer, folder in folders.items():
            name = str(layer)
            try:
                read = read_checkpoint(folder, layer=layer, step=step, tables=tables)
            except ImportRefusedError as error:
                findings.append(
                    ImportFinding("skipped", error.reason, str(error), self._model, step, name)
                )
                continue
            found.append(FoundLayer(name, read.values, read.table))
            prompt, said = prompts[layer], read.prompt_format
            if said is not None and said != prompt and not prompt.endswith(f"_{said}"):
                detail = f"{folder / METADATA}: prompt_format {said!r}, the folder is {prompt!r}"
                reason = "prompt format contradicts the folder"
                findings.append(ImportFinding("doubtful", reason, detail, self._model, step, name))
        return found

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
