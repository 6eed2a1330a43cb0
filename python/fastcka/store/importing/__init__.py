"""Importing files of other programs into a store. `import_tree` reads two layouts.

Checkpoint trees, one for each model and layer, at any depth below TREE::

    <model>/analysis_higher/<prompt>_l<layer>/representations/checkpoint-<step>/
        representations.pt        see `fastcka.store.importing.checkpoint`
        metadata.json

Folders of arrays, at any depth below TREE. The step may have the prefix ``checkpoint-`` or
``step_``. The rows are named by ids inside the files, next to them or in a folder above (see
`fastcka.store.importing.array_folders`)::

    <model>/<step>/<layer>.npy    one array in each file: also .npz .pt .safetensors .h5 .mat
    <model>/<step>.npz            a layer for each array: also .pt .safetensors .h5 .mat

The second layout is used only if TREE contains nothing in the first. The name of a model is the
name of its folder, preceded by as much of the path below TREE as makes it unique.

Nothing is guessed, and the report lists which ids were used. A layer is skipped if its files are
damaged or incomplete, or contradict each other or the name of their folder. A step is skipped if
its layers have different examples. Each case is an `ImportFinding` with a reason, which every later
import reports again.
"""

from __future__ import annotations

from fastcka.store.importing.checkpoint import CityTables, read_checkpoint
from fastcka.store.importing.checkpoint_tree import checkpoint_folders, layer_of
from fastcka.store.importing.finding import ImportFinding
from fastcka.store.importing.importer import import_tree
from fastcka.store.importing.models_file import read_models
from fastcka.store.importing.provenance import representations_folder
from fastcka.store.importing.report import ImportReport

__all__ = [
    "CityTables",
    "ImportFinding",
    "ImportReport",
    "checkpoint_folders",
    "import_tree",
    "layer_of",
    "read_checkpoint",
    "read_models",
    "representations_folder",
]
