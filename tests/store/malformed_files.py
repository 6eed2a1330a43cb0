"""A file of a store, and changes to it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from fastcka.store import Key

KEY = Key("m", 3, "a")


N, D = 7, 5


def put(file: h5py.File, name: str, **options: object) -> h5py.Dataset:
    """Replace a dataset by one that follows the format except for `options`."""
    if name in file:
        del file[name]
    settings: dict = {"shape": (N, D), "dtype": "<f4", "chunks": (N, D), "fletcher32": True}
    settings |= options
    values = settings.pop("values", 0)
    data = file.create_dataset(name, **settings)
    if values is not None:
        data[...] = values
    return data


def text(file: h5py.File, name: str, value: str, where: str = "/") -> None:
    data = value.encode()
    file[where].attrs[name] = np.array(data, dtype=h5py.string_dtype("utf-8", len(data)))


def drop(file: h5py.File, name: str, where: str = "/") -> None:
    del file[where].attrs[name]


def replace(file: h5py.File, name: str, link: object) -> None:
    del file[name]
    file[name] = link


def external_storage(file: h5py.File) -> None:
    side = Path(file.filename).with_name("side.bin")
    side.write_bytes(bytes(N * D * 4))
    del file["layers/0/x"]
    file.create_dataset("layers/0/x", (N, D), "<f4", external=[(str(side), 0, N * D * 4)])


def virtual(file: h5py.File) -> None:
    other = Path(file.filename).with_name("other.bin")
    with h5py.File(other, "w") as source:
        source["x"] = np.zeros((N, D), "<f4")
    layout = h5py.VirtualLayout((N, D), "<f4")
    layout[...] = h5py.VirtualSource(other, "x", (N, D))
    del file["layers/0/x"]
    file.create_virtual_dataset("layers/0/x", layout)


def unknown_filter(file: h5py.File) -> None:
    del file["layers/0/x"]
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((N, D))
    creation.set_filter(54321, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((N, D))
    h5py.h5d.create(file["layers/0"].id, b"x", h5py.h5t.IEEE_F32LE, space, creation)
    file["layers/0/x"][...] = 0


def second_name(group: h5py.Group, name: bytes) -> None:
    group.id.links.create_hard(b"\xff", group.id, name)


def one_chunk_missing(file: h5py.File) -> None:
    put(file, "layers/0/x", chunks=(4, D), values=None)[:4] = 1
    file.create_dataset("padding", data=np.zeros(1000))  # so that the file is large enough
