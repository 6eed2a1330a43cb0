"""Captured rows in the store: their values, and that they are reused only for the same capture."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_representations, representations
from fastcka.errors import InputError, KeyExistsError, WriteError
from fastcka.store import Key, create_store, open_store

X = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)


class Network(nn.Module):
    def __init__(self, *, slope: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(2, 3)
        self.act = nn.LeakyReLU(slope)
        self.register_buffer("offset", torch.zeros(3), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.first(x) + self.offset)


def network(**options: float) -> Network:
    torch.manual_seed(0)
    return Network(**options)


def probe(**changed: Any) -> Probe:
    arguments: dict[str, Any] = {
        "inputs": X,
        "ids": [f"row-{row}" for row in range(9)],
        "columns": {"label": list(range(9))},
    }
    return Probe(**arguments | changed)


def capture(store: Any, model: nn.Module, probe_set: Probe | None = None, **changed: Any) -> bool:
    arguments: dict[str, Any] = {
        "layers": ["first", "act"],
        "store": store,
        "model_name": "net-seed0",
        "step": 100,
        "factors": {"seed": 0},
        "batch_size": 4,
    }
    return capture_representations(model, probe_set or probe(), **arguments | changed)


def test_the_contents_of_the_store(tmp_path: Path) -> None:
    model, probe_set = network(), probe()
    assert capture(tmp_path / "store", model, probe_set, source={"checkpoint": "run/x.pt"})
    with open_store(tmp_path / "store") as store:
        assert store.keys() == [Key("net-seed0", 100, "first"), Key("net-seed0", 100, "act")]
        first, act = (store.read(key) for key in store.keys())
        by_hand = X @ model.first.weight.detach().numpy().T + model.first.bias.detach().numpy()
        np.testing.assert_allclose(first, by_hand, atol=1e-6)
        np.testing.assert_array_equal(act, np.maximum(first, 0))
        examples = store.examples(store.keys()[0])
        assert tuple(examples.ids) == probe_set.ids
        assert examples.columns["label"].tolist() == list(range(9))
        assert store.factors("net-seed0") == {"seed": 0}
        info = store.info(store.keys()[0])
        assert (info.pooling, info.io, info.dtype) == ("flatten", "output", "float32")
        assert store.provenance("net-seed0", 100)["source"] == {"checkpoint": "run/x.pt"}
        assert all(finding.ok for finding in store.verify())
    left = [path.name for path in (tmp_path / "store").iterdir() if path.name.startswith(".")]
    assert not left


def changed_weight(model: Network) -> Network:
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.first.weight[0, 0] += 1e-6
    return changed


def changed_buffer(model: Network) -> Network:
    changed = copy.deepcopy(model)
    changed.offset += 1
    return changed


@pytest.mark.parametrize(
    ("part", "model", "probe_set", "arguments"),
    [
        ("weights", changed_weight(network()), probe(), {}),
        ("weights", changed_buffer(network()), probe(), {}),
        ("weights", network().double(), probe(inputs=np.zeros((9, 2))), {}),
        ("network", network(slope=0.5), probe(), {}),
        ("probe", network(), probe(inputs=np.zeros((9, 2), np.float32)), {}),
        ("probe", network(), probe(ids=None), {}),
        ("layers", network(), probe(), {"layers": ["first"]}),
        ("layers", network(), probe(), {"layers": ["*"]}),
        ("pool", network(), probe(), {"pool": "none"}),
        ("pool", network(), probe(), {"pool": {"first": "flatten", "act": "none"}}),
        ("side", network(), probe(), {"side": "input"}),
        ("factors", network(), probe(), {"factors": {"seed": 0.0}}),
    ],
)
def test_rows_of_another_capture_are_never_reused(
    tmp_path: Path, part: str, model: nn.Module, probe_set: Probe, arguments: dict[str, Any]
) -> None:
    path = tmp_path / "store"
    assert capture(path, network())
    assert not capture(path, network())
    assert not capture(path, network(), batch_size=2, source={"checkpoint": "elsewhere"})
    before = [file.read_bytes() for file in path.rglob("*.h5")]
    with pytest.raises(
        KeyExistsError, match=rf"step 100, captured with other .*\b{part}\b.*overwrite=True"
    ):
        capture(path, model, probe_set, **arguments)
    assert [file.read_bytes() for file in path.rglob("*.h5")] == before
    assert capture(path, model, probe_set, **arguments, overwrite=True)
    assert not capture(path, model, probe_set, **arguments)
    with pytest.raises(KeyExistsError):
        capture(path, network())


def test_replaced_rows_are_the_new_ones(tmp_path: Path) -> None:
    model = network()
    capture(tmp_path, model)
    changed = changed_buffer(model)
    capture(tmp_path, changed, overwrite=True)
    with open_store(tmp_path) as store:
        with torch.no_grad():
            expected = changed(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(store.read(Key("net-seed0", 100, "act")), expected, atol=1e-6)


def test_an_open_store_other_steps_and_a_damaged_file(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store:
        for step in (0, 100):
            assert capture(store, network(), step=step)
        assert store.steps("net-seed0") == [0, 100]
        assert [capture(store, network(), step=step) for step in (0, 100)] == [False, False]
    damaged = next((tmp_path / "store").rglob("100.h5"))
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert capture(tmp_path / "store", network(), overwrite=True)
    assert not capture(tmp_path / "store", network())


def test_nothing_is_written_where_a_layer_is_not_finite(tmp_path: Path) -> None:
    model = network()
    with torch.no_grad():
        model.first.bias[1] = torch.nan
    with pytest.raises(InputError, match=r"layers\['first'\].*9 NaN or Inf of 27"):
        capture(tmp_path / "store", model)
    assert not list((tmp_path / "store").rglob("*.h5"))


def test_rows_are_collected_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []
    with create_store(tmp_path / "store") as store:
        write = store.write

        def noted(**arguments: Any) -> None:
            kinds.extend(type(rows) for rows in arguments["layers"].values())
            write(**arguments)

        monkeypatch.setattr(store, "write", noted)
        capture(store, network())
    assert kinds == [np.memmap, np.memmap]


def test_a_full_disk_is_an_error_before_rows_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sparse memory-mapped file, SIGBUS would end the process."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(representations.os, "posix_fallocate", full)
    with pytest.raises(WriteError) as caught:
        capture(tmp_path / "store", network())
    path = tmp_path / "store"
    assert str(caught.value) == f"{path}: rows cannot be collected here: No space left on device"
    monkeypatch.undo()
    assert capture(tmp_path / "store", network())


def test_a_system_without_fallocate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS: zeros take the room, so that the file is not sparse."""
    monkeypatch.delattr(representations.os, "posix_fallocate")
    assert capture(tmp_path / "store", network())
    with (tmp_path / "rows").open("wb") as file:
        representations._reserve(file, (5 << 20) + 3)
    size = (tmp_path / "rows").stat()
    assert size.st_size == (5 << 20) + 3
    assert size.st_blocks * 512 >= size.st_size
