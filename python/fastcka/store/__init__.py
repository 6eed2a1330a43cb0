"""Representations on disk: files appear whole or not at all, and every read verifies checksums.

A store is a folder with one HDF5 file for each model and step::

    store.json                    the format and its version
    models/<id>/<step>.h5         layers, example ids and columns, factors; never changed in place
    index.sqlite                  a cache of headers, rebuilt when needed

``docs/store-format.md`` in the source specifies the files.
"""

from __future__ import annotations

from fastcka.store.file.columns import ids_digest
from fastcka.store.file.dtypes import STORED_DTYPES
from fastcka.store.file.key import Examples, Key, LayerInfo
from fastcka.store.filters import ExampleFilter, Filtered
from fastcka.store.foreign.arrays import has_matlab_axes, read_array
from fastcka.store.foreign.examples import read_examples
from fastcka.store.foreign.rows import open_array
from fastcka.store.hdf5.safety import HDF5_VERSION
from fastcka.store.headers import UnreadableFile
from fastcka.store.importing import ImportFinding, ImportReport, import_tree
from fastcka.store.prefetch import prefetch
from fastcka.store.store import Store, create_store, open_store
from fastcka.store.upgrade import Upgrade, Upgraded, upgrade_store
from fastcka.store.verify import Finding, Verification

__all__ = [
    "HDF5_VERSION",
    "STORED_DTYPES",
    "ExampleFilter",
    "Examples",
    "Filtered",
    "Finding",
    "ImportFinding",
    "ImportReport",
    "Key",
    "LayerInfo",
    "Store",
    "UnreadableFile",
    "Upgrade",
    "Upgraded",
    "Verification",
    "create_store",
    "has_matlab_axes",
    "ids_digest",
    "import_tree",
    "open_array",
    "open_store",
    "prefetch",
    "read_array",
    "read_examples",
    "upgrade_store",
]
