"""Small stand-ins for the packages that recipes of the documentation use and tests do without.

Each has the calls of the package that the recipes make, and checks their arguments.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

#: Pages of docs/howto whose code test_recipes.py runs.
RECIPES = (
    "anndata",
    "feature-extractors",
    "mlflow",
    "other-toolboxes",
    "parquet",
    "transformer-lens-and-nnsight",
    "weights-and-biases",
    "xarray-and-zarr",
)


def module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(contents)
    return made


class ActivationCache:
    """As of TransformerLens: it has the methods of a dict, but is no `Mapping`."""

    def __init__(self, cache_dict: dict[str, torch.Tensor]) -> None:
        self.cache_dict = cache_dict

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.cache_dict[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.cache_dict)

    def __len__(self) -> int:
        return len(self.cache_dict)

    def keys(self) -> Any:
        return self.cache_dict.keys()

    def values(self) -> Any:
        return self.cache_dict.values()

    def items(self) -> Any:
        return self.cache_dict.items()


class HookedTransformer:
    """Two blocks of width 6, whose activations are random."""

    tokenizer = SimpleNamespace(pad_token_id=0)

    @classmethod
    def from_pretrained(cls, name: str) -> HookedTransformer:
        assert name == "gpt2"
        return cls()

    def to_tokens(self, texts: list[str]) -> torch.Tensor:
        words = [len(text.split()) for text in texts]
        return torch.tensor([[1] * count + [0] * (max(words) - count) for count in words])

    def run_with_cache(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ActivationCache]:
        generator = torch.Generator().manual_seed(0)
        n, t = tokens.shape
        cache = {"hook_embed": torch.randn(n, t, 6, generator=generator)}
        for block in range(2):
            cache[f"blocks.{block}.attn.hook_pattern"] = torch.rand(n, 3, t, t, generator=generator)
            cache[f"blocks.{block}.hook_resid_post"] = torch.randn(n, t, 6, generator=generator)
        return torch.randn(n, t, 50, generator=generator), ActivationCache(cache)


class TinyResNet(torch.nn.Module):
    """Layers with the names of torchvision's resnet18."""

    def __init__(self) -> None:
        super().__init__()
        for i, (before, after) in enumerate(((3, 4), (4, 6), (6, 8), (8, 10)), start=1):
            setattr(self, f"layer{i}", torch.nn.Conv2d(before, after, 3, stride=2))
        self.pool = torch.nn.AdaptiveAvgPool2d(1)
        self.flatten = torch.nn.Flatten()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = {}
        for name, layer in self.named_children():
            features[name] = x = layer(x)
        return features


def resnet18(*, weights: str) -> TinyResNet:
    assert weights == "DEFAULT"
    return TinyResNet()


def create_feature_extractor(network: TinyResNet, *, return_nodes: list[str]) -> Any:
    return lambda images: {name: network(images)[name] for name in return_nodes}


def create_model(name: str, *, pretrained: bool, features_only: bool) -> Any:
    assert (name, pretrained, features_only) == ("resnet18", True, True)
    network = TinyResNet()
    names = [f"layer{i}" for i in (1, 2, 3, 4)]
    return SimpleNamespace(eval=lambda: lambda x: [network(x)[name] for name in names])


class Wandb(ModuleType):
    """`wandb.init`, whose run keeps what is logged; tables and images."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.logged: dict[str, Any] = {}
        self.finished = 0

    def init(self, *, project: str, config: dict[str, Any] | None = None) -> Any:
        return SimpleNamespace(log=self.logged.update, finish=self._finish)

    def _finish(self) -> None:
        self.finished += 1

    def Table(self, *, dataframe: pd.DataFrame) -> pd.DataFrame:  # noqa: N802
        assert isinstance(dataframe, pd.DataFrame)
        return dataframe

    def Image(self, data_or_path: Any) -> Any:  # noqa: N802
        assert isinstance(data_or_path, Figure | str)
        return data_or_path


class Mlflow(ModuleType):
    """The functions of mlflow that log to the active run; it keeps what is logged."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.metrics: list[tuple[str, float, int | None]] = []
        self.artifacts: dict[str, Any] = {}
        self._active = False

    @contextmanager
    def start_run(self) -> Iterator[None]:
        self._active = True
        yield
        self._active = False

    def log_params(self, params: dict[str, Any]) -> None:
        assert self._active
        assert params

    def log_table(self, data: pd.DataFrame, artifact_file: str) -> None:
        assert self._active
        assert artifact_file.endswith(".json")
        self.artifacts[artifact_file] = data

    def log_figure(self, figure: Figure, artifact_file: str) -> None:
        assert self._active
        assert isinstance(figure, Figure)
        self.artifacts[artifact_file] = figure

    def log_metric(self, key: str, value: float, step: int | None = None) -> None:
        assert self._active
        assert type(value) is float
        self.metrics.append((key, value, step))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        for key, value in metrics.items():
            self.log_metric(key, value, step)


class Similarity(ModuleType):
    """`register` and `make` of similarity-repository."""

    def __init__(self) -> None:
        super().__init__("similarity")
        self._registry: dict[str, Any] = {}

    def register(self, id: str, obj: Any) -> None:  # noqa: A002
        assert len(id.split("/")) == 3
        self._registry[id] = obj

    def make(self, id: str) -> Any:  # noqa: A002
        return self._registry[id]


def stand_ins() -> dict[str, ModuleType]:
    """Return name -> module of every stand-in, for `sys.modules`."""
    extraction = module(
        "torchvision.models.feature_extraction", create_feature_extractor=create_feature_extractor
    )
    models = module("torchvision.models", resnet18=resnet18, feature_extraction=extraction)
    base = type("RepresentationalSimilarityMeasure", (ABC,), {})
    utils = module("repsim.measures.utils", RepresentationalSimilarityMeasure=base)
    measures = module("repsim.measures", ALL_MEASURES={"CKA": np.nan}, utils=utils)
    return {
        "mlflow": Mlflow(),
        "repsim": module("repsim", measures=measures),
        "repsim.measures": measures,
        "repsim.measures.utils": utils,
        "similarity": Similarity(),
        "timm": module("timm", create_model=create_model),
        "torchvision": module("torchvision", models=models),
        "torchvision.models": models,
        "torchvision.models.feature_extraction": extraction,
        "transformer_lens": module("transformer_lens", HookedTransformer=HookedTransformer),
        "wandb": Wandb(),
    }
