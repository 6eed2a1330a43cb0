"""The three small networks of the demo, with 8 x 8 images as input and ten logits as output."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import torch
    from torch import nn

Family = Literal["cnn", "mlp", "transformer"]
FAMILIES: tuple[Family, ...] = get_args(Family)

# Five layers each, so that all three have the same depths.
LAYERS: dict[Family, tuple[str, ...]] = {
    "cnn": ("conv1", "conv2", "conv3", "dense", "logits"),
    "mlp": ("hidden1", "hidden2", "hidden3", "hidden4", "logits"),
    "transformer": ("embedding", "block1", "block2", "pool", "logits"),
}


def build_network(family: Family, seed: int) -> nn.Module:
    """Return a network with the modules ``LAYERS[family]`` and weights drawn from ``seed``.

    The global random state does not change.
    """
    import torch

    build = {"cnn": _cnn, "mlp": _mlp, "transformer": _transformer}[family]
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed accelerators, whose state fork_rng([]) does not restore.
        torch.default_generator.manual_seed(seed)
        return build()


def _mlp(width: int = 64) -> nn.Module:
    from torch import nn

    hidden = OrderedDict(
        (f"hidden{i}", nn.Sequential(nn.Linear(width, width), nn.ReLU())) for i in range(1, 5)
    )
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), **hidden, logits=nn.Linear(width, 10)))


def _cnn() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        OrderedDict(
            conv1=nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()),
            conv2=nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            conv3=nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            flatten=nn.Flatten(),
            dense=nn.Sequential(nn.Linear(128, 64), nn.ReLU()),
            logits=nn.Linear(64, 10),
        )
    )


def _transformer(width: int = 32, patches: int = 16) -> nn.Module:
    import torch
    from torch import nn

    class Embedding(nn.Module):
        """Project 16 patches of 2 x 2 pixels, and add a learned position."""

        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Conv2d(1, width, kernel_size=2, stride=2)
            self.position = nn.Parameter(0.5 * torch.randn(patches, width))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = self.project(images).flatten(2).transpose(1, 2)
            return torch.add(tokens, self.position)

    class MeanPool(nn.Module):
        """Average over the patches."""

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return tokens.mean(dim=1)

    def block() -> nn.Module:
        return nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.0, batch_first=True
        )

    return nn.Sequential(
        OrderedDict(
            embedding=Embedding(),
            block1=block(),
            block2=block(),
            pool=MeanPool(),
            logits=nn.Linear(width, 10),
        )
    )
