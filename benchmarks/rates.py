"""How fast this machine multiplies matrices, moves memory and launches kernels.

RATES are measured with every workload on the CPU, in a process for each; the others on a GPU.
"""

from __future__ import annotations

import numpy as np

from benchmarks.clock import device_seconds, on_gpu, repeated, wall_seconds

#: A product of route F is measured on at most this many columns.
WIDEST = 16384


def _factors(extent):
    return np.random.default_rng(0).standard_normal((2, extent, extent), dtype=np.float32)


def _by_numpy(extent):
    a, b = _factors(extent)
    return lambda: a @ b


def _by_torch(extent):
    import torch

    a, b = map(torch.from_numpy, _factors(extent))
    return lambda: a @ b


#: How a library multiplies two square matrices of an extent.
RATES = {"sgemm by NumPy": _by_numpy, "sgemm by torch": _by_torch}


def product_shape(plan):
    """Height, width and depth of the products that a pass on a GPU mostly consists of."""
    if plan.route == "G":
        edge = min(plan.tile, plan.n_examples)
        return edge, edge, plan.n_features[0]
    total = sum(plan.n_features)
    return min(plan.tile, total), min(total, WIDEST), min(plan.chunk, plan.n_examples)


def product_rate(plan, device):
    """Flops per second of cuBLAS for such a product alone; three fp16 products count as one."""
    import torch

    from benchmarks.by_torch import product

    dtype = getattr(torch, plan.products.removesuffix("x3"))
    height, width, depth = product_shape(plan)
    terms = depth * (3 if plan.products.endswith("x3") else 1)

    def operand(extent):
        # As the data are in memory: rows are examples on route G, columns on route F.
        shape = (extent, terms) if plan.route == "G" else (terms, extent)
        x = torch.randn(shape, device=device, dtype=torch.float32).to(dtype)
        return x if plan.route == "G" else x.T

    a, b = operand(height), operand(width)
    samples = repeated(lambda: device_seconds(lambda: product(a, b.T), device, times=10), share=0.2)
    return {
        "shape": [height, width, depth],
        "flops_per_second": 2 * height * width * depth / samples["median"],
        "seconds": samples,
    }


def device_rates(device, bytes_moved=1 << 30):
    """Bytes per second on the device and from the host; seconds from one launch to the next."""
    import torch

    words = bytes_moved // 4
    source = torch.randn(words, device=device)
    target = torch.empty_like(source)
    pinned = torch.empty(words, pin_memory=on_gpu(device))
    pageable = torch.zeros(words)
    one = torch.zeros(1, device=device)
    copy = repeated(lambda: device_seconds(lambda: target.copy_(source), device, times=5))
    up = repeated(lambda: device_seconds(lambda: target.copy_(pinned, non_blocking=True), device))
    plain = repeated(lambda: wall_seconds(lambda: target.copy_(pageable), device))
    launch = repeated(lambda: device_seconds(lambda: one.add_(1), device, times=1000), share=0.2)
    return {
        "device_bytes_per_second": 2 * bytes_moved / copy["median"],
        "pinned_bytes_per_second": bytes_moved / up["median"],
        "pageable_bytes_per_second": bytes_moved / plain["median"],
        "launch_seconds": launch["median"],
        "graph_launch_seconds": _graph_launch_seconds(one) if on_gpu(device) else None,
    }


def _graph_launch_seconds(one, count=1000):
    """From one dependent kernel to the next in a CUDA graph."""
    import torch

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        one.add_(1)  # the first launch loads the kernel, which a capture cannot do
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(count):
            one.add_(1)
    return repeated(lambda: device_seconds(graph.replay, one.device), share=0.2)["median"] / count
