"""What the GPU at hand can do: cuBLAS at the shapes of a pass, memory, the bus, launches."""

from __future__ import annotations

import torch

from benchmarks.gpu.clock import device_seconds, repeated, wall_seconds

#: Products -> what cuBLAS multiplies, and how often.
FACTORS = {
    "float16x3": (torch.float16, 3),
    "float16": (torch.float16, 1),
    "float32": (torch.float32, 1),
    "float64": (torch.float64, 1),
}
WIDEST = 16384


def product_shape(plan):
    """Height, width and depth of the products that a pass mostly consists of."""
    if plan.route == "G":
        edge = min(plan.tile, plan.n_examples)
        return edge, edge, plan.n_features[0]
    total = sum(plan.n_features)
    return min(plan.tile, total), min(total, WIDEST), min(plan.chunk, plan.n_examples)


def product_rate(plan, device):
    """Flops a second of cuBLAS for such a product alone, three fp16 products counted as one."""
    dtype, factor = FACTORS[plan.products]
    height, width, depth = product_shape(plan)
    across = plan.route == "G"  # as the data lie: rows are examples

    def operand(extent):
        shape = (extent, factor * depth) if across else (factor * depth, extent)
        return torch.randn(shape, device=device, dtype=torch.float32).to(dtype)

    a, b = operand(height), operand(width)
    a, b = (a, b.T) if across else (a.T, b)

    def multiply():
        if dtype == torch.float16 and a.is_cuda:
            return torch.mm(a, b, out_dtype=torch.float32)
        return torch.mm(a, b)

    taken = repeated(lambda: device_seconds(multiply, device, times=10), share=0.2)
    return {
        "shape": [height, width, depth],
        "flops_per_second": 2 * height * width * depth / taken["median"],
        "seconds": taken,
    }


def device_rates(device, bytes_moved=1 << 30):
    """Bytes a second on the device and from the host; seconds from launch to launch."""
    words = bytes_moved // 4
    source = torch.randn(words, device=device)
    target = torch.empty_like(source)
    pinned = torch.empty(words, pin_memory=source.is_cuda)
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
        "graph_launch_seconds": _graph_launch_seconds(one) if one.is_cuda else None,
    }


def _graph_launch_seconds(one, count=1000):
    """From one dependent kernel to the next in a CUDA graph."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        one.add_(1)  # a kernel is loaded by its first launch, which a capture cannot do
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(count):
            one.add_(1)
    return repeated(lambda: device_seconds(graph.replay, one.device), share=0.2)["median"] / count
