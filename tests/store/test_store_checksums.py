"""Format 1.1: no chunk is read that differs from the one written there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xxhash

from fastcka import _core
from fastcka.errors import CorruptFileError
from fastcka.store import Key, Store, create_store, open_store
from fastcka.store.file import writer

N, D, ROWS = 60, 8, 16
KEY = Key("m", 0, "a")
IDS = [f"image {i:03d}" for i in range(N)]
REMEDY = "write model 'm', step 0, again with overwrite=True, or delete the file"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "chunk_rows", lambda n, row_bytes: min(n, ROWS))


def write(store: Store, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    layers = {
        "a": rng.normal(size=(N, D)).astype(np.float32),
        "b": rng.normal(size=(N, D)).astype(np.float32),
        "half": rng.normal(size=(N, D)).astype(np.float16),
        "zeros": np.zeros((N, D)),
    }
    store.write(
        model="m",
        step=0,
        layers=layers,
        example_ids=IDS,
        example_columns={
            "digit": rng.integers(0, 10, N).tolist(),
            "other": rng.integers(0, 10, N).tolist(),
            "none": [0] * N,
            "flag": rng.random(N) < 0.5,
            "text": [f"t{i % 7}" for i in range(N)],
        },
        layer_attributes={"a": {"pooling": "mean"}},
        factors={"seed": 0},
        provenance={"where": "é"},
        overwrite=True,
    )
    return store.info(KEY).path


@pytest.fixture
def path(store: Store) -> Path:
    return write(store)


def chunks_of(path: Path, name: str) -> list[tuple[int, int]]:
    """Return where the chunks of a dataset are: (offset, bytes), fletcher32 included."""
    with h5py.File(path) as file:
        stored_chunks: list[Any] = []
        file[name].id.chunk_iter(stored_chunks.append)
    return [(chunk.byte_offset, chunk.size) for chunk in stored_chunks]


def damaged(store: Store, path: Path, where: str, change: Callable[[bytearray], None]) -> None:
    """Change the file; check that its errors name the file, dataset and remedy."""
    data = bytearray(path.read_bytes())
    change(data)
    assert data != path.read_bytes()
    path.write_bytes(data)
    layer = {"layers/0/x": "a", "layers/1/x": "b", "layers/2/x": "half"}.get(where)
    opened = open_store(store.path)
    message = rf"/0\.h5: /{where}: damaged: .*checksum.*; {REMEDY}"
    with pytest.raises(CorruptFileError, match=message) as caught:
        opened.examples(KEY) if layer is None else opened.read(Key("m", 0, layer))
    assert str(caught.value).startswith(str(path))
    (finding,) = opened.verify()
    assert finding.kind == "error"
    assert str(path) in finding.message
    if layer is None and where != "examples/id":
        with pytest.raises(CorruptFileError, match=message):
            opened.examples_fingerprint(KEY, [where.removeprefix("examples/")])


DATASETS = ["layers/0/x", "layers/2/x", *(f"examples/{n}" for n in ("id", "digit", "flag", "text"))]


@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
@pytest.mark.parametrize("name", DATASETS)
def test_a_hole(store: Store, path: Path, name: str, fill: bytes) -> None:
    offset, size = chunks_of(path, name)[-1]

    def punch(data: bytearray) -> None:
        data[offset : offset + size] = fill * size

    damaged(store, path, name, punch)


@pytest.mark.parametrize("name", DATASETS)
def test_swapped_chunks(store: Store, path: Path, name: str) -> None:
    (one, size), (other, _), *_ = chunks_of(path, name)

    def swap(data: bytearray) -> None:
        first = bytes(data[one : one + size])
        data[one : one + size] = data[other : other + size]
        data[other : other + size] = first

    damaged(store, path, name, swap)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *((name, name) for name in DATASETS),
        *(("layers/0/x", "layers/1/x"), ("examples/digit", "examples/other")),
        ("examples/digit", "examples/none"),
    ],
)
def test_a_copied_chunk(store: Store, path: Path, name: str, source: str) -> None:
    offset, size = chunks_of(path, name)[0]
    copied, _ = chunks_of(path, source)[1]

    def copy(data: bytearray) -> None:
        data[offset : offset + size] = data[copied : copied + size]

    damaged(store, path, name, copy)


@pytest.mark.parametrize("name", ["layers/0/x", "layers/2/x", "examples/digit", "examples/flag"])
def test_a_stale_chunk(store: Store, path: Path, tmp_path: Path, name: str) -> None:
    old = write(create_store(tmp_path / "old"), seed=1)
    assert chunks_of(old, name) == chunks_of(path, name)
    offset, size = chunks_of(path, name)[1]

    def keep(data: bytearray) -> None:
        data[offset : offset + size] = old.read_bytes()[offset : offset + size]

    damaged(store, path, name, keep)


def test_swapped_columns_and_layers(store: Store, path: Path) -> None:
    """Swap all chunks, or the names, of datasets with equal shape and type."""
    good = path.read_bytes()
    for one, other in (("layers/0/x", "layers/1/x"), ("examples/digit", "examples/other")):
        pairs = list(zip(chunks_of(path, one), chunks_of(path, other), strict=True))

        def swap(data: bytearray, pairs: list[Any] = pairs) -> None:
            for (first, size), (second, _) in pairs:
                data[first : first + size], data[second : second + size] = (
                    data[second : second + size],
                    data[first : first + size],
                )

        damaged(store, path, one, swap)
        path.write_bytes(good)
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            for old, new in ((one, "examples/t"), (other, one), ("examples/t", other)):
                file.move(old, new)
        with pytest.raises(CorruptFileError, match=f"/{one}: damaged: the type, shape or attri"):
            open_store(store.path).keys()
        path.write_bytes(good)


def test_a_torn_file_never_gives_wrong_values(store: Store, path: Path, tmp_path: Path) -> None:
    """Pages of two versions of the file, with the table of checksums and the root."""
    old = write(create_store(tmp_path / "old"), seed=1).read_bytes()
    good = path.read_bytes()
    layers = {name: store.read(Key("m", 0, name)) for name in ("a", "b", "half", "zeros")}
    digits = store.examples(KEY).columns["digit"]
    rng = np.random.default_rng(2)
    refused = 0
    for _ in range(100):
        data = bytearray(good)
        for page in rng.choice(len(good) // 512, size=rng.integers(1, 12), replace=False):
            data[page * 512 : (page + 1) * 512] = old[page * 512 : (page + 1) * 512]
        path.write_bytes(data)
        opened = open_store(store.path)
        for name, expected in layers.items():
            try:
                np.testing.assert_array_equal(opened.read(Key("m", 0, name)), expected)
            except CorruptFileError:
                refused += 1
        try:
            np.testing.assert_array_equal(opened.examples(KEY).columns["digit"], digits)
        except CorruptFileError:
            refused += 1
    assert refused > 50


def test_a_truncated_file(store: Store, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(CorruptFileError, match=r"/0\.h5: damaged: .*cut off after.*; write the"):
        open_store(store.path).read(KEY)


def test_rows_check_only_the_chunks_that_contain_them(store: Store, path: Path) -> None:
    x = store.read(KEY)
    offset, size = chunks_of(path, "layers/0/x")[1]
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    opened = open_store(store.path)
    rows = np.array([59, 3, 35, 3])
    np.testing.assert_array_equal(opened.read(KEY, rows=rows), x[rows])
    with pytest.raises(CorruptFileError, match=r"of /layers/0/x does not match \(chunk 1 of 4, ro"):
        opened.read(KEY, rows=np.array([0, 20]))


def test_damage_after_the_headers_were_read(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_store(store.path)
    opened.keys()
    offset, size = chunks_of(path, "layers/0/x")[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    status = path.lstat()
    entries = opened._headers._entries
    assert entries is not None
    (relative,) = entries
    entry = entries[relative]
    stamp = entry.stamp._replace(mtime_ns=status.st_mtime_ns, ctime_ns=status.st_ctime_ns)
    entries[relative] = entry._replace(stamp=stamp)
    with pytest.raises(CorruptFileError, match=rf"of /layers/0/x does not match.*{REMEDY}"):
        opened.read(KEY)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.attrs.__delitem__("seal"), "attribute 'seal' is missing"),
        (lambda f: f.attrs.modify("seal", np.bytes_(b"0" * 64)), "do not match their seal"),
        (lambda f: f.__delitem__("checksums"), "/checksums is missing"),
        (lambda f: f["checksums"].__setitem__(0, 0), "do not match their seal"),
        (lambda f: f["checksums"].__setitem__(..., 0), "do not match their seal"),
        (lambda f: f.attrs.modify("factors", np.bytes_(b'{"seed":1}')), "do not match their seal"),
        (lambda f: f.move("examples/other", "examples/another"), "do not match their seal"),
        (lambda f: f.__delitem__("examples/other"), "do not match their seal"),
        (lambda f: f.__delitem__("layers/3"), "do not match their seal"),
        (
            lambda f: f["layers/0/x"].attrs.__delitem__("first_checksum"),
            "/layers/0/x: attribute 'first_checksum' is missing",
        ),
        *(
            (
                lambda f, first=first: f["layers/0/x"].attrs.modify(
                    "first_checksum", np.int64(first)
                ),
                f"/layers/0/x: damaged: {text}",
            )
            for first, text in (
                (-1, "/checksums has no checksums at -1"),
                (2**62, "/checksums has no"),
                (2**63 - 1, "/checksums has no"),
                (0, "the type, shape or attributes do not match their checksum"),
            )
        ),
        (
            lambda f: f["layers/0"].attrs.modify("pooling", np.bytes_(b"last")),
            "/layers/0/x: damaged: the type, shape or attributes do not match",
        ),
        (
            lambda f: f["examples/id"].attrs.modify("positional", 1),
            "/examples/id: damaged: the type, shape or attributes do not match",
        ),
    ],
)
def test_a_changed_description_or_table(
    store: Store, path: Path, damage: Callable[[h5py.File], None], message: str
) -> None:
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        damage(file)
    with pytest.raises(CorruptFileError, match=message) as caught:
        open_store(store.path).keys()
    assert str(caught.value).startswith(f"{path}: ")
    assert re.search(
        r"; write (model 'm', step 0,|the model's step 0) again with overwrite=True, or delete the "
        "file$",
        str(caught.value),
    )


def xxh3(data: bytes, path: str, chunk: int) -> int:
    return xxhash.xxh3_64_intdigest(data, seed=xxhash.xxh3_64_intdigest(path.encode(), seed=chunk))


def test_checksums_and_seal_follow_the_specification(path: Path) -> None:
    """Compute them with another implementation of XXH3 and h5py."""
    dtypes = {"<f4": "float32", "<f2": "float16", "<f8": "float64", "<i8": "int64", "|u1": "bool"}
    with h5py.File(path) as file:
        table = file["checksums"][...]
        covered = []
        columns = [f"/examples/{name}" for name in file["examples"]]
        for name in [*columns, *(f"/layers/{i}/x" for i in range(4))]:
            data = file[name]
            values = data[...]
            if name.startswith("/layers"):
                attributes = {k: v.decode() for k, v in data.parent.attrs.items()}
            else:
                attributes = {"positional": 0} if name.endswith("/id") else {}
            dtype = dtypes.get(values.dtype.str, values.dtype.str.lstrip("|"))
            about = [name, dtype, list(data.shape), data.chunks[0], attributes]
            text = json.dumps(about, sort_keys=True, separators=(",", ":")).encode()
            expected = [xxh3(text, name, 0)]
            for chunk, start in enumerate(range(0, N, data.chunks[0])):
                rows = values[start : start + data.chunks[0]]
                expected.append(xxh3(rows.tobytes(), name, chunk))
            first = int(data.attrs["first_checksum"])
            assert table[first : first + len(expected)].tolist() == expected
            covered += range(first, first + len(expected))
        assert sorted(covered) == list(range(len(table)))
        texts = ("format", "format_version", "model", "factors", "provenance")
        root: dict[str, Any] = {name: file.attrs[name].decode() for name in texts}
        root["step"] = int(file.attrs["step"])
        names = sorted(name.removeprefix("/examples/") for name in columns if "/id" not in name)
        text = json.dumps([root, names, 4], sort_keys=True, separators=(",", ":")).encode()
        seal = hashlib.blake2b(text + table.astype("<u8").tobytes(), digest_size=32).hexdigest()
        assert file.attrs["seal"] == seal.encode()


@pytest.mark.parametrize("size", [1, 3, 16, 17, 128, 240, 241, 1024, 4097, 600_001])
def test_the_compiled_checksum_is_xxh3(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size=size, dtype=np.uint8)
    for chunk_bytes in (1, 100, size, 300_000):
        if size // chunk_bytes > 5000:
            continue
        got = _core.chunk_checksums(data, chunk_bytes=chunk_bytes, dataset="/é", first=7)
        parts = [
            data[start : start + chunk_bytes].tobytes() for start in range(0, size, chunk_bytes)
        ]
        assert got.tolist() == [xxh3(part, "/é", 7 + index) for index, part in enumerate(parts)]


def test_no_chunk_of_one_byte_value_is_its_checksum() -> None:
    for value in (0, 255):
        for chunk in range(100):
            data = np.full(4096, value, np.uint8)
            (got,) = _core.chunk_checksums(data, chunk_bytes=4096, dataset="/x", first=chunk)
            assert got not in (0, 2**64 - 1)
