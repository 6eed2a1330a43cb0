"""Rows that do not depend on their example alone are refused; round-off is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations, capture_representations
from fastcka.errors import InputError, KeyExistsError
from fastcka.store import open_store

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
REMEDY = r".*check_rows=False"


class Table(nn.Module):
    """Learned positions: as many rows as its input has tokens."""

    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(2.0 * n_tokens).reshape(n_tokens, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table[: x.shape[1]]


class Positions(nn.Module):
    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        self.positions = Table(n_tokens)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.positions(x)


class Sorted(nn.Module):
    """Sorts by length, as for packed sequences, and restores the order after the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        order = x[:, 0].argsort(descending=True)
        return self.layer(x[order])[order.argsort()]


class Mixed(nn.Module):
    """Attends to the other examples of its batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x @ x.T, dim=1) @ x


class Counts(nn.Module):
    """Keeps a state from one call to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


class SeededNoise(nn.Module):
    """Adds noise that depends on the position in the batch, the same in each call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


class Trims(nn.Module):
    """Removes the columns that are zero in all examples of the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, : int(x.abs().amax(dim=0).nonzero().max()) + 1]


class Repeats(nn.Module):
    """Calls a module once for every two examples."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(len(x) // 2):
            x = self.inner(x)
        return x


@pytest.mark.parametrize("batch_size", [256, 16])
@pytest.mark.parametrize("n_tokens", [2, 4, 16])
def test_a_table_of_as_many_positions_as_a_batch_has_examples(
    n_tokens: int, batch_size: int
) -> None:
    x = np.zeros((n_tokens if n_tokens < 16 else 2 * n_tokens, n_tokens, 2), np.float32)
    batch_size = min(batch_size, n_tokens)
    model = Positions(n_tokens)
    with pytest.raises(InputError, match="layer 'positions'" + REMEDY):
        capture_activations(model, x, ["positions"], batch_size=batch_size)
    kept = capture_activations(model, x, ["positions"], batch_size=batch_size, check_rows=False)[
        "positions"
    ]
    np.testing.assert_array_equal(kept[:2], [[0, 1], [2, 3]])  # positions, not examples


@pytest.mark.parametrize("batch_size", [12, 4])
@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False)), "0"),
        (Sorted(), "layer"),
        (nn.Sequential(Mixed(), nn.ReLU()), "0"),
        (nn.Sequential(nn.Flatten(), nn.Softmax(dim=0)), "1"),
        (nn.Sequential(Counts()), "0"),
        (nn.Sequential(SeededNoise()), "0"),
        (Repeats(), "inner@*"),
    ],
)
def test_rows_that_depend_on_their_batch(model: nn.Module, layer: str, batch_size: int) -> None:
    with pytest.raises(InputError, match=rf"layer '{layer.partition('@')[0]}" + REMEDY):
        capture_activations(model, X, [layer], batch_size=batch_size)
    got = capture_activations(model, X, [layer], batch_size=batch_size, check_rows=False)
    assert all(len(rows) == 12 for rows in got.values())


def test_sorting_is_found_although_the_probe_is_sorted() -> None:
    x = X[X[:, 0].argsort()[::-1]]
    with pytest.raises(InputError, match=r"layer 'layer': the row of example '\d+' depends"):
        capture_activations(Sorted(), x, ["layer"])


def test_the_number_of_features_depends_on_the_batch() -> None:
    x = X.copy()
    x[0, 1:] = 0  # in a batch of one, it has one feature
    with pytest.raises(
        InputError, match=r"'0': expected 3 features for an example as before, got 1" + REMEDY
    ):
        capture_activations(nn.Sequential(Trims()), x, ["0"])


def test_the_first_layer_of_the_forward_pass_is_named() -> None:
    model = nn.Sequential(nn.ReLU(), Mixed(), nn.Tanh())
    with pytest.raises(InputError, match="layer '1'"):
        capture_activations(model, X, ["2", "1", "0"])
    assert list(capture_activations(model, X, ["0"])) == ["0"]


def test_random_draws_in_eval_mode() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(x, 0.5, training=True)

    with pytest.raises(InputError, match="random draws"):
        capture_activations(nn.Sequential(Noisy()), X, ["0"])


@pytest.mark.parametrize("n_examples", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 256])
def test_few_examples(n_examples: int, batch_size: int) -> None:
    x = X[:n_examples]
    got = capture_activations(nn.Sequential(nn.Tanh()), x, ["0"], batch_size=batch_size)["0"]
    np.testing.assert_allclose(got, np.tanh(x), rtol=1e-6)


def test_at_most_eight_examples_run_again_in_batches_no_larger_than_batch_size() -> None:
    class Notes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.batches: list[list[float]] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.batches.append(x[:, 0].tolist())
            return x

    column = np.arange(10, dtype=np.float32)[:, None]
    for batch_size, expected in (
        (256, [[9, 6, 3, 0], [0, 0], [9, 9]]),
        (3, [[9, 6, 3], [0], [0, 0], [9, 9]]),
        (1, [[9], [6], [3], [0]]),
    ):
        model = nn.Sequential(Notes())
        capture_activations(model, column, ["0"], batch_size=batch_size)
        assert model[0].batches[-len(expected) :] == expected
        assert sum(len(batch) for batch in model[0].batches) <= 10 + 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_round_off_is_no_difference(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    blocks = [(nn.Linear(64, 64), nn.LayerNorm(64), nn.GELU()) for _ in range(12)]
    model = nn.Sequential(*(layer for block in blocks for layer in block)).to(dtype)
    x = torch.randn(200, 64, dtype=dtype)
    got = capture_activations(model, x, ["**"], batch_size=64)
    assert len(got) == 36


def test_round_off_of_low_precision_inside_a_float32_network() -> None:
    class Casts(nn.Module):
        """Returns float32 with the digits of bfloat16, which differ between batch sizes."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            noise = 0.004 * (len(x) % 2)  # one bit of bfloat16
            return self.inner((x * (1 + noise)).bfloat16()).float()

    model = nn.Sequential(Casts())
    assert capture_activations(model, X[:11], ["0"])["0"].shape == (11, 3)


def test_the_same_nan_is_no_difference_and_another_is() -> None:
    x = X.copy()
    x[0, 0] = np.nan
    got = capture_activations(nn.Sequential(nn.Identity()), x, ["0"])["0"]
    np.testing.assert_array_equal(got, x)

    class Overflows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / (0 if len(x) == 2 else 1)

    with pytest.raises(InputError, match="depends on other examples"):
        capture_activations(nn.Sequential(Overflows()), X, ["0"])


def test_a_network_that_cannot_take_one_example() -> None:
    class Squeezes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.squeeze()

    model = nn.Sequential(nn.Unflatten(1, (3, 1)), Squeezes(), nn.ReLU())
    np.testing.assert_array_equal(capture_activations(model, X, ["2"])["2"], np.maximum(X, 0))


def test_a_network_that_fails_in_small_batches() -> None:
    class Picky(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) < 12:
                raise RuntimeError("too few")
            return x

    with pytest.raises(InputError, match=r"layer '0' \(Picky\).*too few.*smaller batches" + REMEDY):
        capture_activations(nn.Sequential(Picky()), X, ["0"])


def test_the_store_records_whether_rows_were_checked(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2))

    def capture(*, check_rows: bool, overwrite: bool = False) -> bool:
        return capture_representations(
            model,
            Probe(X),
            layers=["0"],
            store=tmp_path,
            model_name="m",
            step=0,
            check_rows=check_rows,
            overwrite=overwrite,
        )

    def recorded() -> object:
        with open_store(tmp_path) as store:
            return store.provenance("m", 0)["capture"]["check_rows"]

    assert capture(check_rows=False)
    assert recorded() is False
    assert not capture(check_rows=False)
    with pytest.raises(KeyExistsError, match="with other check_rows"):
        capture(check_rows=True)
    assert capture(check_rows=True, overwrite=True)
    assert recorded() is True
    assert not capture(check_rows=True)
    assert not capture(check_rows=False)  # checked rows are reused
