"""A pass on the device whose plan is forced."""

from __future__ import annotations

from dataclasses import replace

from fastcka.core.arrays import as_view
from fastcka.core.backend import cuda_runtime
from fastcka.core.cuda.plan import sum_lengths
from fastcka.core.device import plan_on_cuda


def submitted(representations, **forced):
    """Submit a pass with these fields of its plan, such as route, products, tile and chunk."""
    names = [f"x{i}" for i in range(len(representations))]
    views = [as_view(x, name) for x, name in zip(representations, names, strict=True)]
    runtime = cuda_runtime()
    plan = plan_on_cuda(views, "high", 0)
    products = forced.get("products", plan.products)
    chunk, rank_chunk = sum_lengths(products, plan.n_examples, runtime.compiled)
    plan = replace(plan, **{"chunk": chunk, "rank_chunk": rank_chunk, **forced})
    needed = runtime.compiled.bytes_needed(plan.n_examples, plan.n_features, plan.settings)
    plan = replace(
        plan,
        bytes_centered=needed.prepared,
        bytes_workspace=needed.workspace,
        bytes_results=needed.results,
    )
    return runtime.session(0).submit(views, names, plan)
