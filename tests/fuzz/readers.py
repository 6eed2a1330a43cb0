"""Mutated files for the readers of files that fastcka did not write.

The mutations of a number are always the same, so that a failure is found again by its number.
"""

from __future__ import annotations

import io
import json
import random
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from fastcka.capture import CheckpointPlan
from fastcka.errors import InputError
from fastcka.store.foreign.arrays import array_names, has_matlab_axes, read_member
from fastcka.store.foreign.examples import example_columns, id_fields
from fastcka.store.importing import read_models

INTERESTING = [
    *(bytes([value]) for value in (0, 1, 0x7F, 0x80, 0xFF, 0x28, 0x2D, 0x5B)),
    *(value.to_bytes(4, "little") for value in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**20)),
    *(value.to_bytes(8, "little") for value in (0, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1)),
    *(b"-1", b"0", b"True", b"1e9", b"999999999999", b"9" * 30, b"None", b"nan", b"\xc3\x28"),
    *(b"[" * 200, b"{", b"}", b"]", b'"', b"'", b",", b":", b"\n", b"&a", b"*a", b"!!set", b"<<: "),
]


class Reader(NamedTuple):
    """One kind of file."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    zipped: bool = False
    head: int | None = None  # most mutations are in the first bytes
    folder: bool = False  # the seeds are zip files of a folder, whose files are changed


def _read_arrays(path: Path) -> None:
    for name in array_names(path):
        try:
            read_member(path, name or None)
        except InputError as error:  # the seeds hold ids as text as well
            if "expected a numeric array" not in str(error):
                raise
        has_matlab_axes(f"{path}:{name}".rstrip(":"))
    id_fields(path)


def _read_table(path: Path) -> None:
    for name in array_names(path):
        read_member(path, name or None)
        example_columns(path, name or None)
    id_fields(path)


def _arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(6, 4)).astype(np.float32),
        "counts": np.arange(12, dtype=np.int64).reshape(6, 2),
        "ids": np.array([f"id{i}" for i in range(6)]),
    }


def _npy() -> list[bytes]:
    made = []
    for array in (*_arrays().values(), np.asfortranarray(_arrays()["x"])):
        buffer = io.BytesIO()
        np.save(buffer, array)
        made.append(buffer.getvalue())
    return made


def _npz() -> list[bytes]:
    made = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **_arrays())
        made.append(buffer.getvalue())
    return made


def _pt() -> list[bytes]:
    import torch

    tensors = {name: torch.from_numpy(values) for name, values in list(_arrays().items())[:2]}
    saved = {"layers": [tensors["x"], tensors["x"].bfloat16()], **tensors, "ids": ["a", "b"]}
    made = []
    for content, zipped in ((saved, True), (saved, False), (tensors["x"][::2].t(), True)):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
        made.append(buffer.getvalue())
    return made


def _safetensors() -> list[bytes]:
    import torch
    from safetensors.torch import save

    x = torch.from_numpy(_arrays()["x"])
    return [save({"x": x, "half": x.bfloat16(), "image_ids": torch.arange(6)})]


def _hdf5() -> list[bytes]:
    made = []
    for options in ({}, {"chunks": (3, 4), "compression": "gzip", "fletcher32": True}):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            arrays = _arrays()
            file.create_dataset("group/x", data=arrays["x"], **options)
            file["counts"] = arrays["counts"]
            file["counts"].attrs["_FillValue"] = np.int64(-1)
            file["counts"].attrs["MATLAB_class"] = np.bytes_(b"int64")
            file["ids"] = arrays["ids"].astype(h5py.string_dtype())
        made.append(buffer.getvalue())
    return made


def _h5ad() -> list[bytes]:
    made = []
    for options in ({}, {"chunks": (3,), "compression": "gzip"}):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file["obsm/x"] = _arrays()["x"]
            for name, values in {"data": [1.0, 2, 3], "indices": [0, 2, 1]}.items():
                file.create_dataset(f"X/{name}", data=values, **options)
            file["X/indptr"] = [0, 1, 1, 2, 2, 3, 3]
            file["X"].attrs["encoding-type"] = "csr_matrix"
            file["X"].attrs["shape"] = [6, 3]
            texts = _arrays()["ids"].astype(h5py.string_dtype())
            file.create_dataset("obs/cell", data=texts, **options)
            file["obs"].attrs["_index"] = "cell"
            file["obs/kind/codes"] = np.array([0, 1, -1, 0, 1, 0], "i1")
            file["obs/kind/categories"] = texts[:2]
        made.append(buffer.getvalue())
    return made


def _parquet() -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    arrays = _arrays()
    columns = {
        "id": arrays["ids"].tolist(),
        "x": pa.FixedSizeListArray.from_arrays(arrays["x"].ravel(), 4),
        "lists": arrays["x"].tolist(),
        "count": arrays["counts"][:, 0],
        "kind": pa.array(list("aabbab")).dictionary_encode(),
    }
    made = []
    for compression in ("none", "zstd"):
        buffer = io.BytesIO()
        parquet.write_table(pa.table(columns), buffer, compression=compression, row_group_size=4)
        made.append(buffer.getvalue())
    return made


def _zarr() -> list[bytes]:
    import numcodecs
    import zarr
    from zarr.codecs import Crc32cCodec, GzipCodec, ZstdCodec

    arrays = _arrays()
    made = []
    for zarr_format, compressors in (
        (2, numcodecs.Blosc()),
        (2, numcodecs.Zlib()),
        (3, [ZstdCodec(), Crc32cCodec()]),
        (3, [GzipCodec()]),
        (3, None),
    ):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
            options = {"compressors": compressors}
            group.create_array("group/x", data=arrays["x"], chunks=(4, 4), **options)
            group.create_array("counts", data=arrays["counts"], chunks=(3, 2), **options)
            group.create_array("ids", data=arrays["ids"], chunks=(6,), **options)
            text = group.create_array("kind", shape=6, chunks=(6,), dtype=str)
            text[:] = np.array(list("aabbab"), object)
            if zarr_format == 3:
                shards = {"chunks": (2, 2), "shards": (4, 4), **options}
                group.create_array("shards", data=arrays["x"], **shards)
            made.append(_zipped(Path(folder)))
    return made


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return buffer.getvalue()


def _models() -> list[bytes]:
    text = """\
cnn-seed0: {family: cnn, seed: 0, tasks: [angle, distance], replaced_by: mlp-seed1}
mlp-seed1:
  family: mlp
  seed: 1
  rate: 1.0e-3
  note: "12"
"""
    return [text.encode(), b"a: {}\n"]


def _plan() -> list[bytes]:
    plan = CheckpointPlan.of({"cnn": {"early": 100, "late": 2000}, "mlp": {"mid": 50}}, 2000)
    return [
        plan.to_json().encode(),
        json.dumps({"experiments": json.loads(plan.to_json())["experiments"]}).encode(),
    ]


READERS = {
    "npy": Reader(".npy", _npy, _read_arrays, head=128),
    "npz": Reader(".npz", _npz, _read_arrays, zipped=True),
    "pt": Reader(".pt", _pt, _read_arrays, zipped=True),
    "safetensors": Reader(".safetensors", _safetensors, _read_arrays, head=300),
    "hdf5": Reader(".h5", _hdf5, _read_arrays),
    "h5ad": Reader(".h5ad", _h5ad, _read_table),
    "parquet": Reader(".parquet", _parquet, _read_table),
    "zarr": Reader(".zarr", _zarr, _read_table, folder=True),
    "models": Reader(".yaml", _models, read_models),
    "plan": Reader(".json", _plan, CheckpointPlan.load),
}


@cache
def seeds(name: str) -> list[bytes]:
    """Return the files without damage that mutations begin with."""
    return READERS[name].seeds()


def mutated(name: str, number: int) -> bytes:
    """Return the damaged file of a number."""
    rng = random.Random(f"{name} {number}")
    reader = READERS[name]
    data = rng.choice(seeds(name))
    if reader.folder:
        return _with_changed_file(data, rng)
    if reader.zipped and data[:2] == b"PK" and rng.random() < 0.6:
        return _with_changed_member(data, rng)
    head = reader.head if reader.head is not None and rng.random() < 0.7 else None
    return _changed(data, rng, head)


def _with_changed_member(data: bytes, rng: random.Random) -> bytes:
    """Change the content of a member; its checksum is right."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = old.namelist()
        chosen = next((name for name in names if name.endswith("data.pkl")), names[0])
        chosen = chosen if rng.random() < 0.6 else rng.choice(names)
        for info in old.infolist():
            content = old.read(info)
            if info.filename == chosen:
                content = _changed(content, rng, 128 if chosen.endswith(".npy") else None)
            new.writestr(info.filename, content, info.compress_type)
    return buffer.getvalue()


def _with_changed_file(data: bytes, rng: random.Random) -> bytes:
    """Change or remove a file of a folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        chosen, removed = rng.choice(old.namelist()), rng.random() < 0.1
        for name in old.namelist():
            content = old.read(name)
            if name != chosen:
                new.writestr(name, content)
            elif not removed:
                new.writestr(name, _changed(content, rng, None))
    return buffer.getvalue()


def _changed(data: bytes, rng: random.Random, head: int | None) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        offset = rng.randrange(min(len(changed), head or len(changed)) or 1)
        kind = rng.randrange(8)
        if not changed:
            break
        if kind == 0:
            changed[offset] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[offset] = rng.randrange(256)
        elif kind in (2, 3):
            value = rng.choice(INTERESTING)
            changed[offset : offset + (len(value) if kind == 2 else 0)] = value
        elif kind == 4:
            del changed[offset : offset + rng.choice((1, 2, 4, 16, 200))]
        elif kind == 5:
            other = rng.randrange(len(changed))
            changed[offset:offset] = changed[other : other + rng.choice((1, 4, 16, 200))]
        elif kind == 6:
            length = rng.choice((4, 16, 64))
            changed[offset : offset + length] = bytes(len(changed[offset : offset + length]))
        elif rng.random() < 0.3:
            del changed[offset:]
    return bytes(changed)


def _place(name: str, data: bytes, path: Path) -> None:
    if not READERS[name].folder:
        path.write_bytes(data)
        return
    shutil.rmtree(path, ignore_errors=True)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(path)


def outcome(name: str, number: int, folder: Path) -> BaseException | None:
    """Read the damaged file of a number; return what was raised."""
    path = folder / f"damaged{READERS[name].suffix}"
    _place(name, mutated(name, number), path)
    try:
        READERS[name].read(path)
    except Exception as error:
        return error
    return None


def check_seeds() -> None:
    """Read the files without damage, which must succeed."""
    with tempfile.TemporaryDirectory() as folder:
        for name in READERS:
            for data in seeds(name):
                path = Path(folder) / f"whole{READERS[name].suffix}"
                _place(name, data, path)
                READERS[name].read(path)
