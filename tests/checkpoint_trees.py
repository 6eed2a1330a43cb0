"""Small checkpoint trees as training runs leave them, quirks included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

REGIONS = ("Europe", "Asia", "Atlantis")
N_CITIES = 60
TOKENS, HIDDEN = 2, 6


def cities(n: int = N_CITIES) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [
        {
            "row_id": 995 + row,
            "name": f"city {row}",
            "x": float(rng.normal()),
            "y": float(rng.normal()),
            "country": f"land {row % 7}",
            "region": REGIONS[row % 3],
        }
        for row in range(n)
    ]


def values_of(model: str, step: int, layer: int, n: int = N_CITIES) -> np.ndarray:
    """A shared signal that grows with training, and noise that differs between models."""
    signal = np.random.default_rng(7).normal(size=(n, 3))
    generator = np.random.default_rng([step, layer, *model.encode()])
    mixed = signal @ generator.normal(size=(3, TOKENS * HIDDEN)) * (1 + step / 100)
    return (mixed + generator.normal(size=mixed.shape)).astype(np.float32)


def checkpoint_folder(
    tree: Path, model: str, layer: int, step: int | str, *, prompt: str = "distance"
) -> Path:
    name = step if isinstance(step, str) else f"checkpoint-{step}"
    extraction = f"{prompt}_firstcity_last_and_trans_l{layer}"
    return tree / model / "analysis_higher" / extraction / "representations" / name


def write_checkpoint(
    folder: Path,
    values: np.ndarray,
    rows: list[dict[str, Any]] | None,
    *,
    layer: int,
    step: int,
    metadata: dict[str, Any] | None = None,
    saved: dict[str, Any] | None = None,
    text_numbers: bool = False,
) -> None:
    folder.mkdir(parents=True)
    flat = torch.from_numpy(values)
    shape = [len(values), TOKENS, 1, HIDDEN]
    tensors = {
        "representations": flat.reshape(shape).clone(),
        "representations_flat": flat,
        "input_ids": torch.zeros(len(values), 5, dtype=torch.int64),
        "step": step,
        "layers": [layer],
    }
    torch.save(tensors | (saved or {}), folder / "representations.pt")
    fields = {
        "step": step,
        "checkpoint_path": f"/elsewhere/checkpoint-{step}",
        "layers": [layer],
        "n_cities": len(values),
        "n_tokens": TOKENS,
        "n_layers": 1,
        "hidden_dim": HIDDEN,
        "representation_shape": shape,
        "representation_flat_dim": TOKENS * HIDDEN,
        "city_info": rows,
        "prompt_format": "distance_firstcity_last_and_trans",
        "x_train_mean": float("nan"),
    } | (metadata or {})
    if text_numbers:  # json.dump(..., default=str) of NumPy numbers
        fields = {name: as_text(value) for name, value in fields.items()}
    (folder / "metadata.json").write_text(json.dumps(fields))


def as_text(value: Any) -> Any:
    """Numbers as texts, at any depth."""
    if isinstance(value, dict):
        return {name: as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return str(value) if isinstance(value, int | float) else value


def write_model(
    tree: Path,
    model: str,
    *,
    layers: tuple[int, ...] = (3, 4),
    steps: tuple[int, ...] = (0, 100),
    values_like: str | None = None,
    **options: Any,
) -> None:
    for layer in layers:
        for step in steps:
            write_checkpoint(
                checkpoint_folder(tree, model, layer, step),
                values_of(Path(values_like or model).name, step, layer),
                cities(),
                layer=layer,
                step=step,
                **options,
            )
