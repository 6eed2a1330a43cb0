"""The pass alone, on data that lie on the GPU: what the kernels and cuBLAS take, without Python.

It is the compiled pass that `fastcka.compare` runs, with the plan that it makes, in memory of
torch's and on torch's current stream, so that events of torch time it. All representations are
prepared in one call.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fastcka.core.arrays import as_view
from fastcka.core.backend import cuda_runtime
from fastcka.core.cuda.pending import Results, read_results
from fastcka.core.cuda.plan import make_cuda_plan, with_tile
from fastcka.core.estimators import estimate

#: Products -> the precision that leads to them for data on the GPU.
PRECISIONS = {"float16x3": "high", "float16": "fast", "float64": "float64", "float32": "high"}
ALIGNMENT = 256


def planned(case, products, *, index=0):
    """The plan for data on the GPU; in float32, which "high" takes for data from elsewhere."""
    runtime = cuda_runtime()
    plan = make_cuda_plan(
        case.n,
        (case.d,) * case.m,
        itemsizes=(4,) * case.m,
        on_device=(products != "float32",) * case.m,
        device=runtime.device(index),
        precision=PRECISIONS[products],
        compiled=runtime.compiled,
    )
    # From the host too, "high" takes fp16 where float32 would take longer than the copy.
    plan = replace(plan, products=products)
    return with_tile(plan, plan.tile, runtime.compiled.bytes_needed)


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
        self.plan = plan

    def prepare(self):
        self._pass.prepare(0, self._views, self._stream)

    def sums(self):
        self._pass.sums(self._stream)

    def run(self):
        self.prepare()
        self.sums()

    def result(self):
        """Both CKAs and the biased HSIC of the run before, (M, M) float64 each."""
        address, size = self._pass.results
        begin = address - self._memory.data_ptr()
        data = self._memory[begin : begin + size].cpu().numpy()
        results = Results(data, self._pass.result_fields, self._too_large)
        sums, far = read_results(results, self.plan, self._names)
        assert not far  # route F would need a second round
        biased = estimate(sums, "biased")
        return {
            "biased": biased.cka,
            "unbiased": estimate(sums, "unbiased").cka,
            "hsic_biased": biased.hsic,
        }


def errors(found, exact, positions):
    """Largest errors of CKA over the pairs of the positions, and the mean one of HSIC itself."""
    at = np.ix_(positions, positions)
    own = np.diag(found["hsic_biased"][at]) / np.diag(exact["hsic_biased"])
    return {
        "biased": float(np.abs(found["biased"][at] - exact["biased"]).max()),
        "unbiased": float(np.abs(found["unbiased"][at] - exact["unbiased"]).max()),
        "relative_self_hsic": float(own.mean() - 1),
    }
