"""The layout of plain folders: arrays of any format that `read_array` reads.

::

    TREE/.../<model>/<step>/<layer>.npy     one array in a file, also .npz .pt .safetensors .h5 .mat
    TREE/.../<model>/<step>.npz             a layer for each array, also .pt .safetensors .h5 .mat

``<step>`` is a number, with ``checkpoint-`` or ``step_`` before it or not. Hidden folders, and
stores, are not looked into. The ids of the rows are looked for

- inside the file: text with one axis, or a member called ``ids``, ``filenames``, ``image_ids`` ...
  (see `is_id_name`), in the group of the array or around it;
- next to the arrays, or in the nearest folder above that has such files: ``examples.json`` (a list
  of objects) or ``examples.csv`` (parted by commas, semicolons or tabs), whose other fields become
  columns; ``ids.txt``, ``file_names.txt`` ... (an id in each line), ``ids.json``, ``ids.npy`` ...

In a table the field ``id`` holds them, else one that is called like ids, else the only field of
text without repeated values. What was taken is listed; sources that do not agree are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from fastcka.errors import ImportRefusedError, InputError, StoreError
from fastcka.store.file.format import MARKER
from fastcka.store.foreign.arrays import (
    ARRAY_SUFFIXES,
    array_names,
    member_has_matlab_axes,
    read_member,
)
from fastcka.store.foreign.examples import fields_near, id_fields
from fastcka.store.foreign.id_fields import IdField
from fastcka.store.importing.example_files import ExampleFiles, is_example_file
from fastcka.store.importing.example_table import ExampleTable
from fastcka.store.importing.finding import FindingKind, ImportFinding
from fastcka.store.importing.found import FoundLayer, FoundStep, FoundTree, unique_names
from fastcka.store.importing.jsonfile import UNREADABLE
from fastcka.store.importing.walk import walk

LAYOUT: Final = "folders of arrays"

_STEP: Final = re.compile(r"((checkpoint|step)[-_])?(?P<step>\d{1,18})")
_ARRAYS: Final = set(ARRAY_SUFFIXES)


def find_array_folders(root: Path) -> FoundTree:
    """Return the models and steps below a folder."""
    findings: list[ImportFinding] = []
    sources: dict[Path, dict[int, list[Path]]] = {}  # model's folder -> step -> folders or files
    for folder, inner, names in walk(root, findings):
        if MARKER in names:
            inner.clear()
            continue
        arrays = [
            folder / name
            for name in names
            if Path(name).suffix.lower() in _ARRAYS and not is_example_file(folder / name, _ARRAYS)
        ]
        step = _step(folder.name)
        if step is not None and folder != root and arrays:
            sources.setdefault(folder.parent, {}).setdefault(step, []).append(folder)
            continue
        for array in arrays:
            step = _step(array.stem)
            if step is None or array.suffix.lower() == ".npy":
                detail = f"{array}: neither <model>/<step>/<layer>.npy nor <model>/<step>.npz"
                findings.append(ImportFinding("skipped", "array outside the layout", detail))
            else:
                sources.setdefault(folder, {}).setdefault(step, []).append(array)
    models = unique_names(sorted(sources), root)
    examples = ExampleFiles()
    steps = []
    for model, folder in models.items():
        for step, found in sorted(sources[folder].items()):
            if len(found) > 1:
                detail = f"{folder}: {', '.join(path.name for path in found)}"
                reason = "two sources for one step"
                findings.append(ImportFinding("skipped", reason, detail, model, step))
                continue
            steps.append(_found_step(root, model, step, found[0], examples))
    return FoundTree(LAYOUT, models, steps, findings)


def _step(name: str) -> int | None:
    match = _STEP.fullmatch(name)
    return None if match is None else int(match["step"])


def _found_step(root: Path, model: str, step: int, source: Path, tables: ExampleFiles) -> FoundStep:
    if source.is_dir():
        files = sorted(
            (
                path
                for path in source.iterdir()
                if path.suffix.lower() in _ARRAYS and not is_example_file(path, _ARRAYS)
            ),
            key=_natural,
        )
        beside = source
    else:
        files, beside = [source], source.parent
    above = [folder for folder in (beside, *beside.parents) if folder.is_relative_to(root)]
    examples = next((paths for folder in above if (paths := tables.files_in(folder, _ARRAYS))), [])
    read = partial(_read, model, step, source, files, examples, tables)
    return FoundStep(
        model,
        step,
        source.parent,
        (*files, *examples),
        read,
    )


def _natural(path: Path) -> list[tuple[str, int]]:
    """Sort key by which layer2 comes before layer10."""
    return _natural_name(path.name)


def _natural_name(name: str) -> list[tuple[str, int]]:
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _read(
    model: str,
    step: int,
    source: Path,
    files: list[Path],
    examples: list[Path],
    tables: ExampleFiles,
    findings: list[ImportFinding],
) -> list[FoundLayer]:
    def note(kind: FindingKind, reason: str, detail: str, layer: str | None) -> None:
        findings.append(ImportFinding(kind, reason, detail, model, step, layer))

    try:
        rows = tables.rows(examples)
        arrays = _one_file(source) if source.is_file() else _files(source, files)
    except ImportRefusedError as error:
        note("skipped", error.reason, str(error), None)
        return []
    found: list[FoundLayer] = []
    made: dict[tuple[int, ...], ExampleTable] = {}
    text: dict[str, str] = {}
    for name, path, member, fields in arrays:
        try:
            values, near, matlab_axes = _array(path, member, fields)
            n_examples = len(values)
            if rows.n_examples not in (None, n_examples):
                raise ImportRefusedError(
                    "row counts differ",
                    f"{path}: {n_examples} rows, but {examples[0]} has {rows.n_examples}",
                )
            key = (n_examples, *map(id, near))
            if key not in made:
                made[key] = rows.table(n_examples, near)
        except ImportRefusedError as error:
            note("skipped", error.reason, str(error), name)
            continue
        found.append(FoundLayer(name, values, made[key]))
        text |= {field.source: name for field in near if not field.known}
        if matlab_axes:
            detail = (
                f"{path}: read with the shape {values.shape} that MATLAB shows (the file stores "
                "the axes reversed); its rows must be the examples"
            )
            note("doubtful", "MATLAB axes", detail, name)
    used = {layer.table.id_source for layer in found}
    for where, name in text.items():
        if where not in used:
            note("doubtful", "text left out", f"{where}: text, and not taken as ids", name)
    return found


_Array = tuple[str, Path, str | None, Mapping[str, IdField]]
"""Layer, file, name in the file (None for its only array), what may be ids in the file."""


def _files(source: Path, files: list[Path]) -> list[_Array]:
    """Return the layers of a step that has a file for each."""
    names = [path.stem for path in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ImportRefusedError(
            "two files for one layer", f"{source}: two files are called {', '.join(twice)}"
        )
    return [(path.stem, path, None, {}) for path in files]


def _one_file(source: Path) -> list[_Array]:
    """Return the layers of a step that is one file, in its order."""
    try:
        fields = id_fields(source)
        inside = [name for name in array_names(source) if name not in fields]
    except (InputError, StoreError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    if not inside or "" in inside:
        raise ImportRefusedError(
            UNREADABLE, f"{source}: expected arrays with names, one for each layer"
        )
    if source.suffix.lower() not in (".npz", ".pt"):  # these two keep the order of the network
        inside = sorted(inside, key=_natural_name)
    return [(name.strip("/"), source, name, fields) for name in inside]


def _array(
    path: Path, member: str | None, fields: Mapping[str, IdField]
) -> tuple[Any, list[IdField], bool]:
    """Return an array, what may be the ids of its rows, and whether it has MATLAB's axes."""
    try:
        if member is None and path.suffix.lower() != ".npy":
            fields = id_fields(path)
            names = [name for name in array_names(path) if name not in fields]
            member = names[0] if fields and len(names) == 1 else None
        values = read_member(path, member or None)
        matlab_axes = member_has_matlab_axes(path, member or None)
    except (InputError, StoreError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    if values.ndim < 2:
        raise ImportRefusedError(
            "not a representation",
            f"{path}: expected (n_examples, n_features) or more axes, got shape {values.shape}",
        )
    return values, fields_near(fields, path, member or ""), matlab_axes
