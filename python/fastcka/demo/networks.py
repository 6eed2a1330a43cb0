"""The three small networks of the demo: 8 x 8 images of digits in, ten logits out."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import torch
    from torch import nn

Family = Literal["mlp", "cnn", "transformer"]
FAMILIES: tuple[Family, ...] = get_args(Family)

# Five each, so that a position in depth means the same in all three.
LAYERS: dict[Family, tuple[str, ...]] = {
    "mlp": ("hidden1", "hidden2", "hidden3", "hidden4", "logits"),
    "cnn": ("conv1", "conv2", "conv3", "dense", "logits"),
    "transformer": ("embedding", "block1", "block2", "pool", "logits"),
}


def build_network(family: Family, seed: int) -> nn.Module:
    """A network with the modules of ``LAYERS[family]``, its weights drawn from ``seed``.

    The caller's random state is left as it was.
    """
    import torch

    build = {"mlp": _mlp, "cnn": _cnn, "transformer": _transformer}[family]
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the accelerators too, which fork_rng([]) does not put back.
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
        """16 patches of 2 x 2 pixels, each projected, plus a learned position."""

        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Conv2d(1, width, kernel_size=2, stride=2)
            self.position = nn.Parameter(0.5 * torch.randn(patches, width))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = self.project(images).flatten(2).transpose(1, 2)
            return torch.add(tokens, self.position)

    class MeanPool(nn.Module):
        """The mean over patches."""

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
