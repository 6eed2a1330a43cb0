"""The layout of plain folders: arrays in any format that `read_array` reads.

::

    TREE/.../<model>/<step>/<layer>.npy     one array in a file, also .npz .pt .safetensors .h5 .mat
    TREE/.../<model>/<step>.npz             a layer for each array, also .pt .safetensors .h5 .mat

Both may also be .parquet, .h5ad or .zarr; the other columns of such a file become columns of the
examples.

``<step>`` is a number that may have the prefix ``checkpoint-`` or ``step_``. Hidden folders and
stores are skipped. The ids of the rows are searched for

- inside the file: text with one axis, or a member named ``ids``, ``filenames``, ``image_ids`` ...
  (see `is_id_name`), in the array's group or a group around it;
- next to the arrays, or in the nearest folder above with such files: ``examples.json`` (a list of
  objects) or ``examples.csv`` (separated by commas, semicolons or tabs), whose other fields become
  columns; ``ids.txt``, ``file_names.txt`` ... (one id in each line), ``ids.json``, ``ids.npy`` ...

In a table, the ids are the field ``id``; else the field with the name of an id; else the only text
field without repeated values. The report lists the ids used. If two places disagree, the layer is
refused.
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
from fastcka.store.foreign.examples import example_columns, fields_near, id_fields
from fastcka.store.foreign.id_fields import IdField
from fastcka.store.importing.example_files import ExampleFiles, is_example_file
from fastcka.store.importing.example_table import ExampleRows, ExampleTable, stored_columns
from fastcka.store.importing.finding import FindingKind, ImportFinding
from fastcka.store.importing.jsonfile import UNREADABLE
from fastcka.store.importing.tree import TreeContents, TreeLayer, TreeStep, unique_names
from fastcka.store.importing.walk import walk

LAYOUT: Final = "folders of arrays"

_STEP: Final = re.compile(r"((checkpoint|step)[-_])?(?P<step>\d{1,18})")
_ARRAYS: Final = set(ARRAY_SUFFIXES)


def find_array_folders(root: Path) -> TreeContents:
    """Return the models and steps below a folder."""
    findings: list[ImportFinding] = []
    places: dict[Path, dict[int, list[Path]]] = {}  # model's folder -> step -> folders or files
    for folder, inner, names in walk(root, findings):
        if MARKER in names:
            inner.clear()
            continue
        folders = [name for name in inner if name.lower().endswith(".zarr")]
        inner[:] = [name for name in inner if name not in folders]
        arrays = [
            folder / name
            for name in sorted([*names, *folders])
            if Path(name).suffix.lower() in _ARRAYS and not is_example_file(folder / name, _ARRAYS)
        ]
        step = _step(folder.name)
        if step is not None and folder != root and arrays:
            places.setdefault(folder.parent, {}).setdefault(step, []).append(folder)
            continue
        for array in arrays:
            step = _step(array.stem)
            if step is None or array.suffix.lower() == ".npy":
                detail = (
                    f"{array}: expected the path <model>/<step>/<layer>.npy or <model>/<step>.npz"
                )
                findings.append(ImportFinding("skipped", "array outside the layout", detail))
            else:
                places.setdefault(folder, {}).setdefault(step, []).append(array)
    models = unique_names(sorted(places), root)
    examples = ExampleFiles()
    steps = []
    for model, folder in models.items():
        for step, paths in sorted(places[folder].items()):
            if len(paths) > 1:
                shown = " and ".join(path.name for path in paths)
                detail = f"{folder}: {shown} are all step {step}; keep one of them"
                reason = "two paths for one step"
                findings.append(ImportFinding("skipped", reason, detail, model, step))
                continue
            steps.append(_tree_step(root, model, step, paths[0], examples))
    return TreeContents(LAYOUT, models, steps, findings)


def _step(name: str) -> int | None:
    match = _STEP.fullmatch(name)
    return None if match is None else int(match["step"])


def _tree_step(root: Path, model: str, step: int, place: Path, tables: ExampleFiles) -> TreeStep:
    if place.suffix.lower() not in _ARRAYS:
        files = sorted(
            (
                path
                for path in place.iterdir()
                if path.suffix.lower() in _ARRAYS and not is_example_file(path, _ARRAYS)
            ),
            key=_natural,
        )
        nearest = place
    else:
        files, nearest = [place], place.parent
    above = [folder for folder in (nearest, *nearest.parents) if folder.is_relative_to(root)]
    examples = next((paths for folder in above if (paths := tables.files_in(folder, _ARRAYS))), [])
    read = partial(_read, model, step, place, files, examples, tables)
    return TreeStep(model, step, place.parent, (*files, *examples), read)


def _natural(path: Path) -> list[tuple[str, int]]:
    """Return a sort key that puts layer2 before layer10."""
    return _natural_name(path.name)


def _natural_name(name: str) -> list[tuple[str, int]]:
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _read(
    model: str,
    step: int,
    place: Path,
    files: list[Path],
    examples: list[Path],
    tables: ExampleFiles,
    findings: list[ImportFinding],
) -> list[TreeLayer]:
    def note(kind: FindingKind, reason: str, detail: str, layer: str | None) -> None:
        findings.append(ImportFinding(kind, reason, detail, model, step, layer))

    try:
        rows = tables.rows(examples)
        one_file = place.suffix.lower() in _ARRAYS
        arrays = _one_file(place) if one_file else _files(place, files)
    except ImportRefusedError as error:
        note("skipped", error.reason, str(error), None)
        return []
    layers: list[TreeLayer] = []
    made: dict[tuple[object, ...], ExampleTable] = {}
    text: dict[str, str] = {}
    for name, path, member, fields in arrays:
        try:
            values, near, matlab_axes = _array(path, member, fields)
            n_examples = len(values)
            if rows.n_examples not in (None, n_examples):
                raise ImportRefusedError(
                    "row counts differ",
                    f"{path}: has {n_examples} rows, but {examples[0]} has {rows.n_examples}",
                )
            group = (member or "").rpartition("/")[0]  # in zarr, each group may have columns
            key = (n_examples, path, group, *map(id, near))
            if key not in made:
                inside = _rows_inside(path, member, n_examples)
                made[key] = rows.joined(inside).table(n_examples, near)
        except ImportRefusedError as error:
            note("skipped", error.reason, str(error), name)
            continue
        layers.append(TreeLayer(name, values, made[key]))
        left = [field for field in near if not field.known and field.field not in made[key].columns]
        text |= {field.source: name for field in left}
        if matlab_axes:
            detail = (
                f"{path}: read with the shape {values.shape} that MATLAB shows (the file stores "
                "the axes in reverse order); the rows must be the examples"
            )
            note("doubtful", "MATLAB axes", detail, name)
    used = {layer.table.id_source for layer in layers}
    for where, name in text.items():
        if where not in used:
            note("doubtful", "text left out", f"{where}: contains text, not used as ids", name)
    return layers


def _rows_inside(path: Path, member: str | None, n_examples: int) -> ExampleRows:
    """Return the columns of an array's examples inside its file."""
    try:
        values, left_out = example_columns(path, member)
    except (InputError, StoreError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    columns, refused = stored_columns(values, n_examples)
    return ExampleRows(n_examples, columns, {**left_out, **refused}, ())


_Array = tuple[str, Path, str | None, Mapping[str, IdField]]
"""Layer, file, name in the file (None for its only array), fields of the file that may be ids."""


def _files(folder: Path, files: list[Path]) -> list[_Array]:
    """Return the layers of a step with one file for each layer."""
    names = [path.stem for path in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ImportRefusedError(
            "two files for one layer",
            f"{folder}: contains two files for each of {', '.join(twice)}; keep one",
        )
    return [(path.stem, path, None, {}) for path in files]


def _one_file(path: Path) -> list[_Array]:
    """Return the layers of a step in a single file, in the order of the file."""
    try:
        fields = id_fields(path)
        inside = [name for name in array_names(path) if name not in fields]
    except (InputError, StoreError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    if not inside or "" in inside:
        raise ImportRefusedError(
            UNREADABLE, f"{path}: expected arrays with names, one for each layer"
        )
    if path.suffix.lower() not in (".npz", ".pt", ".parquet"):  # in the order of the network
        inside = sorted(inside, key=_natural_name)
    return [(name.strip("/"), path, name, fields) for name in inside]


def _array(
    path: Path, member: str | None, fields: Mapping[str, IdField]
) -> tuple[Any, list[IdField], bool]:
    """Return an array, the fields that may be its ids, and whether it has MATLAB's axis order."""
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
