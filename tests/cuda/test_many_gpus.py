"""Device "cuda:all": groups are spread over all GPUs, here two emulated ones."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import fastcka
from checks import compared
from fastcka.core import Group, StagedRepresentation, compare_many, cuda_status
from fastcka.core.backend import cuda_runtime
from fastcka.core.cuda.runtime import CudaRuntime
from fastcka.errors import DeviceError, InputError
from samples import related, staged_copy

NAMES = ("cuda:0 emulated device 0", "cuda:1 emulated device 1")


@pytest.fixture
def two_gpus(monkeypatch, emulated):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    return emulated


@pytest.fixture
def groups(rng):
    return [related(rng, n, (5, 20)) for n in (30, 40, 50, 60, 70)]


def gpus_of(results):
    return [NAMES.index(result.provenance["device"]) for result in results]


def sessions():
    return [cuda_runtime().session(index) for index in (0, 1)]


def test_all_gpus_compute_and_give_the_bits_of_one(two_gpus, groups):
    results = list(compared(groups, device="cuda:all"))
    assert set(gpus_of(results)) == {0, 1}
    for result, xs in zip(results, groups, strict=True):
        alone = fastcka.compare(xs, device="cuda:0")
        assert result.n_examples == len(xs[0])
        np.testing.assert_array_equal(result.hsic_unbiased, alone.hsic_unbiased)
        assert result.provenance["device_reason"] == "all GPUs share the groups"
    assert not [each for each in threading.enumerate() if each.name.startswith("fastcka-cuda")]


def test_a_group_goes_to_the_gpu_with_the_least_predicted_work(two_gpus, rng):
    # The copy of the large one takes longer than everything of all small ones.
    small, large = related(rng, 30, (5, 20)), related(rng, 100, (4000, 4000))
    sequence = [small, large, small, small, large, small]
    for _ in range(2):
        assert gpus_of(compared(sequence, device="cuda:all")) == [0, 1, 0, 0, 0, 1]


def test_gpus_work_at_the_same_time(two_gpus, groups, monkeypatch):
    together = threading.Barrier(2)  # each waits until the other is there
    for session in sessions():

        def submit(*arguments, submit=session.submit, **options):
            together.wait(timeout=60)
            return submit(*arguments, **options)

        monkeypatch.setattr(session, "submit", submit)
    assert gpus_of(compared([groups[0]] * 4, device="cuda:all")) == [0, 1, 0, 1]


def test_as_many_groups_are_taken_as_the_gpus_can_hold(two_gpus, groups):
    taken = []
    results = compared((taken.append(len(xs[0])) or xs for xs in groups * 2), device="cuda:all")
    assert next(results).n_examples == 30
    assert taken == [30, 40, 50, 60]
    assert next(results).n_examples == 40
    assert taken == [30, 40, 50, 60, 70]
    results.close()


def test_a_group_that_cannot_be_compared_leaves_the_others(two_gpus, groups):
    nan = [x.copy() for x in groups[1]]
    nan[1][3, 2] = np.nan
    uneven = [groups[0][0], groups[1][1]]
    flights = list(compare_many([groups[0], nan, uneven, groups[2]], device="cuda:all"))
    first, second, third, last = [outcome for (outcome,) in flights]
    assert (first.n_examples, last.n_examples) == (30, 50)
    assert "example 3, feature 2" in str(second)
    assert "has 40 examples" in str(third)


def test_an_error_names_its_gpu_and_comes_after_earlier_results(two_gpus, groups, monkeypatch):
    def submit(*_arguments, **_options):
        raise MemoryError("of the test")

    session = sessions()[1]
    monkeypatch.setattr(session, "_alloc", submit)
    results = compared([groups[0]] * 5, device="cuda:all")
    assert next(results).provenance["device"] == NAMES[0]
    with pytest.raises(DeviceError, match=r"^cuda:1 emulated device 1 has \d+ of \d+ bytes free"):
        next(results)


def test_a_gpu_that_cannot_be_opened_is_named(two_gpus, groups, monkeypatch):
    opened = fastcka.core.cuda.runtime.CudaSession

    def session(module, device, cublas):
        if device.index == 1:
            raise RuntimeError("cublasCreate: out of order")
        return opened(module, device, cublas)

    monkeypatch.setattr("fastcka.core.cuda.runtime.CudaSession", session)
    message = "^device 'cuda:1' cannot be used: cublasCreate: out of order$"
    with pytest.raises(DeviceError, match=message):
        list(compared(groups, device="cuda:all"))


def test_an_error_of_the_source_is_raised_after_earlier_results(two_gpus, groups):
    def source():
        yield from groups[:2]
        raise OSError("no more")

    results = compared(source(), device="cuda:all")
    assert [next(results).n_examples, next(results).n_examples] == [30, 40]
    with pytest.raises(OSError, match="no more"):
        next(results)


def test_without_a_gpu_the_reason_is_given(monkeypatch, groups):
    runtime = CudaRuntime(None, "not built")
    for place in ("many_gpus", "device"):
        monkeypatch.setattr(f"fastcka.core.{place}.cuda_runtime", lambda: runtime)
    with pytest.raises(DeviceError, match="cannot be used: not built; choose 'cpu' or 'auto'"):
        list(compared(groups, device="cuda:all"))


def test_groups_on_a_gpu_are_computed_there(two_gpus, groups):
    with two_gpus.cupy.cuda.Device(1):
        there = [[two_gpus.cupy.asarray(x) for x in xs] for xs in groups[:3]]
    results = list(compared([*there, groups[3]], device="cuda:all"))
    assert gpus_of(results) == [1, 1, 1, 0]
    assert results[0].provenance["device_reason"] == "the arrays are on it"


def test_one_group_is_computed_by_the_first_gpu_or_where_it_is(two_gpus, groups):
    provenance = fastcka.compare(groups[0], device="cuda:all").provenance
    assert provenance["device"] == NAMES[0]
    assert provenance["device_reason"] == "one GPU computes a single group"
    with two_gpus.cupy.cuda.Device(1):
        there = [two_gpus.cupy.asarray(x) for x in groups[0]]
    assert fastcka.compare(there, device="cuda:all").provenance["device"] == NAMES[1]
    assert fastcka.cka(*there, device="cuda:all") == fastcka.cka(*there, device="cuda:1")


def test_staged_buffers_may_be_filled_again(two_gpus, groups, monkeypatch):
    """The caller has one pair of buffers for all groups; the GPUs begin late to read them."""
    alike = [[x[:30] for x in xs] for xs in groups]
    buffers = [staged_copy(x)._base for x in alike[0]]
    for session in sessions():

        def submit(*arguments, submit=session.submit, **options):
            time.sleep(0.05)
            return submit(*arguments, **options)

        monkeypatch.setattr(session, "submit", submit)

    def source():
        for xs in alike:
            staged = [
                StagedRepresentation(base, *x.shape) for base, x in zip(buffers, xs, strict=True)
            ]
            for each, x in zip(staged, xs, strict=True):
                each.array[...] = x
            yield Group(staged)

    for result, xs in zip(compared(source(), device="cuda:all"), alike, strict=True):
        alone = fastcka.compare(xs, device="cuda:0")
        np.testing.assert_array_equal(result.hsic_unbiased, alone.hsic_unbiased)


def test_threads_are_divided_among_the_gpus(two_gpus, groups, monkeypatch):
    plans = []
    for session in sessions():

        def submit(views, names, plan, submit=session.submit, **options):
            plans.append(plan.threads)
            return submit(views, names, plan, **options)

        monkeypatch.setattr(session, "submit", submit)
    list(compared(groups[:2], device="cuda:all", threads=6))
    assert plans == [3, 3]


def test_progress_is_reported_by_the_calling_thread(two_gpus, groups):
    calls = []
    done = compared(
        groups,
        device="cuda:all",
        progress=lambda *call: calls.append((threading.current_thread(), *call)),
    )
    assert len(list(done)) == len(groups)
    assert calls == [(threading.current_thread(), 1, 1)] * len(groups)


def test_what_the_cpu_computes_is_refused(two_gpus, groups):
    with pytest.raises(DeviceError, match="on the CPU only, and device is 'cuda:all'"):
        list(compared(groups, device="cuda:all", inference=True))


def test_devices_of_torch_are_accepted(two_gpus, groups):
    torch = pytest.importorskip("torch")
    xs = groups[0]
    for device, name in (
        ("cpu", "cpu"),
        ("cpu:0", "cpu"),
        ("cuda", NAMES[0]),
        ("cuda:1", NAMES[1]),
    ):
        provenance = fastcka.compare(xs, device=torch.device(device)).provenance
        assert provenance["device"] == name
        assert fastcka.cka(*xs, device=torch.device(device)) == pytest.approx(fastcka.cka(*xs))
    for device in ("meta", "mps"):
        with pytest.raises(InputError, match=rf"device must be .*, got device\(type='{device}'\)"):
            fastcka.compare(xs, device=torch.device(device))
    for other in (1, None, b"cpu"):
        with pytest.raises(InputError, match="device must be"):
            fastcka.compare(xs, device=other)


def test_the_status_lists_both(two_gpus):
    assert [str(device) for device in cuda_status().devices] == list(NAMES)
