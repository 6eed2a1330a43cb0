"""Representations on disk: written whole or not at all, read only when intact.

The format, version 1.1. A store is a folder:

    store.json                    {"format": "fastcka.store", "format_version": "1.1"}
    models/<id>/<step>.h5         one HDF5 file for each model and step, never changed in place
    index.sqlite                  a cache of headers; MAY be missing, MAY be deleted

``<id>`` is up to 40 characters of the model's name (other than letters and digits replaced by
"-"), "-", and the name's BLAKE2b hash (8 bytes, hexadecimal). ``<step>`` is decimal without
leading zeros. A file holds:

    /                     attributes format, format_version, model, step, factors (a JSON object
                          of scalars and lists of scalars), provenance (a JSON object), seal (see
                          below), and complete = 1
    /checksums            (m,) uint64: the checksums of all other datasets
    /examples/id          (n,) unique example ids; SHOULD have the attribute positional: 1 if nobody
                          gave ids, so that they are "0" to "n-1" and name only positions, else 0
    /examples/<column>    (n,) further columns: text, int64, float64, or uint8 with
                          logical_dtype = "bool"
    /layers/<i>/x         (n, d) float16, float32, float64, or uint16 with
                          logical_dtype = "bfloat16"; i = 0, 1, ... in the order of the network.
                          The group has attributes name and digest (BLAKE2b, 32 bytes, hexadecimal,
                          of the little-endian values in C order), and MAY have pooling and io

- A writer MUST write a temporary (a name that begins with ".tmp-") in the same folder, set
  ``seal`` and then ``complete`` last, fsync it, give it its name (by a hard link, unless it is to
  replace a file: of two writers one MUST fail), and fsync the folder. A reader MUST ignore
  temporaries.
- A reader MUST NOT match positional ids with others, nor with those of another n. Without the
  attribute, ids that are exactly "0" to "n-1" in this order count as positional: older files do not
  record whether somebody gave them.
- Numbers MUST be little-endian. Text MUST be UTF-8 of fixed length without NUL.
- Datasets MUST be chunked (layers in whole rows, 1 to 4 MiB or one row), carry the fletcher32
  filter and no other, have a fixed shape, and have every chunk stored. Files MUST be written with
  library version bounds ("v110", "v110"), which put checksums on all metadata.
- Every dataset but ``/checksums`` MUST have the attribute first_checksum, its position in that
  table: the checksum of its description, then those of its chunks. Checksums are XXH3-64.
- The checksum of chunk k of a dataset is that of its rows as they are stored (without fletcher32,
  and without the padding of the last chunk), with the seed XXH3-64(path, seed = k).
- The checksum of a description is that of the JSON text [path, type, shape, rows of a chunk,
  attributes], with the seed of chunk 0. The type is "float16", "bfloat16", "float32", "float64",
  "int64", "bool" or, of text, "S" and the number of bytes. The attributes are an object: of
  layers those of the group, of ids positional, of columns none.
- The seal is BLAKE2b (32 bytes, hexadecimal) of the JSON text [root, columns, number of layers],
  followed by the bytes of the table. The root is an object of format, format_version, model, step,
  factors and provenance as they are stored; the columns are their sorted names, without the ids.
  Both JSON texts are ASCII without spaces, and keys are sorted.
- A reader MUST check the seal, and the checksums of every description and chunk that it uses. It
  MAY read files of format 1.0, which have neither.
- Links other than hard ones, external storage, virtual datasets, data of variable length and object
  references MUST NOT occur; a reader MUST refuse them, and a file without ``complete``.
- Values MUST be finite. All steps of a model MUST have the same factors, none of them named as a
  part of the key or as a column of every table of results (`RESERVED_FACTORS` in format.py).
- A reader MUST refuse another major version, and MUST ignore attributes and groups that it does not
  know in a higher minor version.
"""

from __future__ import annotations

from fastcka.store.columns import ids_digest
from fastcka.store.dtypes import STORED_DTYPES
from fastcka.store.filters import ExampleFilter, Filtered
from fastcka.store.foreign import has_matlab_axes, read_array
from fastcka.store.foreign_ids import read_examples
from fastcka.store.hdf5_safety import HDF5_VERSION
from fastcka.store.headers import UnreadableFile
from fastcka.store.importing import ImportFinding, ImportReport, import_tree
from fastcka.store.key import Examples, Key, LayerInfo
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
    "open_store",
    "prefetch",
    "read_array",
    "read_examples",
    "upgrade_store",
]
