"""The pass alone, on data that are on the GPU: the time of the kernels and cuBLAS, without Python.

It is the compiled pass that `fastcka.compare` runs, with the same plan, in memory and on the
current stream of torch, so that torch's events time it. All representations are prepared in one
call. Only this module of the benchmarks uses the inner parts of `fastcka.core`.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from fastcka.core.arrays import as_view
from fastcka.core.backend import cuda_runtime
from fastcka.core.base_plan import round_up
from fastcka.core.cuda.pending import Results, read_results
from fastcka.core.cuda.plan import make_cuda_plan, sum_lengths, with_tile
from fastcka.core.device import plan_on_cuda
from fastcka.core.estimators import estimate

#: Products -> the precision that leads to them for data on the GPU.
PRECISIONS = {"float16x3": "high", "float16": "fast", "float32": "high", "float64": "float64"}
ALIGNMENT = 256


def planned(workload, products, *, index=0):
    """The plan for data on the GPU; with float32, the one for data from elsewhere at "high"."""
    m, n, d = workload.m, workload.n, workload.d
    runtime = cuda_runtime()
    plan = make_cuda_plan(
        n,
        (d,) * m,
        itemsizes=(4,) * m,
        on_device=(products != "float32",) * m,
        device=runtime.device(index),
        precision=PRECISIONS[products],
        compiled=runtime.compiled,
    )
    # From the host too, "high" takes fp16 where float32 would take longer than the copy.
    chunk, rank_chunk = sum_lengths(products, n, runtime.compiled)
    plan = replace(plan, products=products, chunk=chunk, rank_chunk=rank_chunk)
    return with_tile(plan, plan.tile, runtime.compiled.bytes_needed)


def with_sums_of(plan, length):
    """The plan with sums of that many examples, or entries of a Gram tile."""
    compiled = cuda_runtime().compiled
    whole = round_up(plan.n_examples, compiled.example_grain)
    plan = replace(plan, chunk=min(length, whole), rank_chunk=length)
    return with_tile(plan, plan.tile, compiled.bytes_needed)


def upload(arrays, *, threads, index=0):
    """Copy arrays of the host to the GPU as a pass does; return when they have arrived."""
    session = cuda_runtime().session(index)
    views = [as_view(x, f"arrays[{i}]") for i, x in enumerate(arrays)]
    with session.current():
        while views:
            _, copied = session.upload(views, threads)
            del views[: len(copied)]
        session.ring.wait()
        session.copy.synchronize()


def repeated_cka(arrays, *, repeats, index=0, **changes):
    """Biased CKA (M, M) of the last of several runs of one plan, after changes to that plan.

    The first run is plain, the second is captured, the others replay the capture.
    """
    names = [f"arrays[{i}]" for i in range(len(arrays))]
    views = [as_view(x, name) for x, name in zip(arrays, names, strict=True)]
    plan = replace(plan_on_cuda(views, "high", index), **changes)
    session = cuda_runtime().session(index)
    for _ in range(repeats):
        sums = session.submit(views, names, plan).result()
    return estimate(sums, "biased").cka


def close():
    """Free what fastcka keeps on the GPU."""
    cuda_runtime().close()


class ResidentPass:
    """One pass over the representations xs (torch tensors of one device)."""

    def __init__(self, plan, xs):
        session = cuda_runtime().session(plan.device.index)
        device = xs[0].device
        self._memory = torch.empty(
            plan.bytes_on_device + ALIGNMENT, dtype=torch.uint8, device=device
        )
        address = -(-self._memory.data_ptr() // ALIGNMENT) * ALIGNMENT
        self._pass = session.module.Pass(
            session.cublas,
            plan.device.index,
            plan.n_examples,
            plan.n_features,
            **plan.settings,
            memory=address,
            bytes=plan.bytes_on_device,
        )
        self._names = [f"representations[{i}]" for i in range(len(xs))]
        views = [as_view(x, name) for x, name in zip(xs, self._names, strict=True)]
        self._views = [
            session.module.View(
                address=view.address,
                row_stride=view.row_stride,
                column_stride=view.column_stride,
                dtype=view.dtype,
            )
            for view in views
        ]
        self._too_large = session.module.too_large
        on_gpu = device.type == "cuda"
        self._stream = torch.cuda.current_stream(device).cuda_stream if on_gpu else 0
        self._plan = plan

    def prepare(self):
        self._pass.prepare(0, self._views, self._stream)

    def sums(self):
        self._pass.sums(self._stream)

    def result(self):
        """Both CKAs and the biased HSIC of the latest run, (M, M) float64 each."""
        address, size = self._pass.results
        begin = address - self._memory.data_ptr()
        data = self._memory[begin : begin + size].cpu().numpy()
        results = Results(data, self._pass.result_fields, self._too_large)
        sums, far = read_results(results, self._plan, self._names)
        assert not far  # route F would need a second round
        biased = estimate(sums, "biased")
        return {
            "biased": biased.cka,
            "unbiased": estimate(sums, "unbiased").cka,
            "hsic_biased": biased.hsic,
        }
