"""The arrays of a workload, from a seed.

On the CPU they are written once, so that all contestants read the same.
"""

from __future__ import annotations

import numpy as np

SEED = 0
GPU_SEED = 20261121
#: Features of the signal that all representations of a group share.
SHARED = 32
#: Means of `offset`, in standard deviations.
OFFSET = 100


def representations(m, n, d, seed=SEED):
    """Gaussian noise around a shared signal, float32, mean 3: CKA between 0.2 and 0.6."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, SHARED), dtype=np.float32)
    for _ in range(m):
        yield (
            shared @ rng.standard_normal((SHARED, d), dtype=np.float32)
            + rng.uniform(2, 6) * rng.standard_normal((n, d), dtype=np.float32)
            + 3
        )


def on_device(m, n, d, device):
    """The same kind of data as a list of torch tensors that are drawn on a device.

    Never zeros: a GPU multiplies these 13% faster than data.
    """
    import torch

    generator = torch.Generator(device).manual_seed(GPU_SEED)

    def normal(*shape):
        return torch.randn(shape, generator=generator, device=device)

    shared = normal(n, SHARED)
    levels = torch.linspace(2, 6, m).tolist()
    return [shared @ normal(SHARED, d) + level * normal(n, d) + 3 for level in levels]


def offset(m, n, d):
    """The mean of every feature is `OFFSET` of its standard deviations."""
    for x in representations(m, n, d):
        yield x + OFFSET * x.std(axis=0)


def scaled(m, n, d, factor):
    for x in representations(m, n, d):
        yield x * np.float32(factor)


def heavy_tailed(m, n, d):
    """Student's t with two degrees of freedom: no variance, a few examples outweigh the rest."""
    rng = np.random.default_rng(SEED)
    shared = rng.standard_t(2, (n, 8))
    for _ in range(m):
        mixed = shared @ rng.standard_normal((8, d)) + rng.standard_t(2, (n, d))
        yield mixed.astype(np.float32)


def transformer_layers(n, *, seeds=2, blocks=6, width=256, tokens=16, heads=4):
    """The outputs of small transformers' blocks, mean over tokens: seeds * blocks x (n, width).

    The networks have random weights and see the same inputs.
    """
    import torch
    from torch import nn

    captured = []
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn((n, tokens, width), generator=generator)
    for seed in range(seeds):
        torch.manual_seed(seed)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, batch_first=True)
        network = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False).eval()
        for parameter in network.parameters():  # the blocks are copies of one
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        outputs = [[] for _ in range(blocks)]
        for block, kept in zip(network.layers, outputs, strict=True):
            block.register_forward_hook(lambda _, __, out, kept=kept: kept.append(out.mean(1)))
        with torch.no_grad():
            for batch in inputs.split(256):
                network(batch)
        captured += [torch.cat(kept).numpy() for kept in outputs]
    return captured


def write(path, groups, shape):
    """Write groups of representations to a .npy file of (groups, m, n, d) float32."""
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for number, group in enumerate(groups):
        for position, x in enumerate(group):
            file[number, position] = x
    file.flush()


def read(path, group, positions):
    """The representations at these positions of a group, copied into memory."""
    file = np.load(path, mmap_mode="r")
    return [np.array(file[group, position]) for position in positions]
