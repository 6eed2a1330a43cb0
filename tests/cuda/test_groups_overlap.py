"""On a device, the next group is submitted before the result of the last one is awaited."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checks import compared
from fastcka.core import device as device_module
from fastcka.core.backend import cuda_runtime
from samples import related


@pytest.fixture
def groups(rng):
    return [related(rng, n, (5, 20)) for n in (30, 40, 50, 60)]


def test_the_next_group_is_submitted_first(emulated, groups, monkeypatch):
    session = cuda_runtime().session(0)
    order = []
    submit = session.submit

    def recorded_submit(views, names, plan, **options):
        pending = submit(views, names, plan, **options)
        order.append(f"submit {plan.n_examples}")
        result = pending.result
        monkeypatch.setattr(
            pending, "result", lambda: order.append(f"wait {plan.n_examples}") or result()
        )
        return pending

    monkeypatch.setattr(session, "submit", recorded_submit)
    results = compared(groups, device="cuda")
    order.extend(f"got {result.n_examples}" for result in results)
    assert order == [
        *("submit 30", "submit 40", "wait 30", "got 30"),
        *("submit 50", "wait 40", "got 40"),
        *("submit 60", "wait 50", "got 50"),
        *("wait 60", "got 60"),
    ]


def test_a_submitted_group_may_be_abandoned(emulated, groups):
    results = compared(groups, device="cuda")
    assert next(results).n_examples == 30
    results.close()
    assert [r.n_examples for r in compared(groups, device="cuda")] == [30, 40, 50, 60]


def test_progress_is_that_of_the_current_group(emulated, groups):
    calls = []
    done = list(compared(groups[:2], device="cuda", progress=lambda *call: calls.append(call)))
    assert len(done) == 2
    # Both groups are copied; then the results are read.
    assert calls == [(2, 3), (2, 3), (3, 3), (3, 3)]


def test_auto_chooses_for_each_group(emulated, groups, monkeypatch):
    predicted = {30: 1e-9, 40: 1e9, 50: 1e-9, 60: 1e9}
    monkeypatch.setattr("fastcka.core.device.OVERHEAD_SECONDS", 1.0)
    monkeypatch.setattr("fastcka.core.device.START_SECONDS", 0.0)
    monkeypatch.setattr("fastcka.core.device.most_seconds", lambda flops, bytes_inputs: 1e9)
    plan_on_cpu = device_module.plan_on_cpu

    def alternating(*arguments):
        plan = plan_on_cpu(*arguments)
        return replace(plan, predict=lambda: predicted[plan.n_examples])

    monkeypatch.setattr(device_module, "plan_on_cpu", alternating)
    results = list(compared(groups))
    assert [r.n_examples for r in results] == [30, 40, 50, 60]
    assert [r.provenance["device"][:4] for r in results] == ["cpu", "cuda", "cpu", "cuda"]
