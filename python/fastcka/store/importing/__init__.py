"""From files that others wrote to a store; `import_tree` takes two layouts.

Checkpoint trees, one for each model and layer, at any depth below TREE::

    <model>/analysis_higher/<prompt>_l<layer>/representations/checkpoint-<step>/
        representations.pt        see `fastcka.store.importing.checkpoint`
        metadata.json

Folders of arrays, at any depth below TREE, with ``checkpoint-`` or ``step_`` before the step or
not; the rows are named by ids inside the files, next to them or above (see
`fastcka.store.importing.array_folders`)::

    <model>/<step>/<layer>.npy    one array in each file: also .npz .pt .safetensors .h5 .mat
    <model>/<step>.npz            a layer for each array: also .pt .safetensors .h5 .mat

The second is looked for only where there is nothing of the first. A model is called by the name of
its folder, with as much of the path below TREE before it as makes it unique.

Nothing is guessed, and the report lists what was taken as ids. A layer whose files are damaged,
half there, or contradict each other or their folder's name is left out; a step whose layers are not
of the same examples is not imported. Each such thing is an `ImportFinding` with its reason, said
again by every later import.
"""

from __future__ import annotations

from fastcka.store.importing.checkpoint import CityTables, read_checkpoint
from fastcka.store.importing.checkpoint_tree import checkpoint_folders, layer_of
from fastcka.store.importing.finding import ImportFinding
from fastcka.store.importing.importer import import_tree
from fastcka.store.importing.models_file import read_models
from fastcka.store.importing.report import ImportReport
from fastcka.store.importing.sources import representations_folder

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
