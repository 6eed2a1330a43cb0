"""The session: order of copies and passes, too little memory, failing devices, interrupts."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

import oracle
from fastcka.core import compare
from fastcka.core.arrays import as_view
from fastcka.core.backend import cuda_runtime
from fastcka.core.cuda import ring as cuda_ring
from fastcka.core.cuda import runtime as cuda_runtime_module
from fastcka.core.cuda.blocks import block_counts, unions_of_blocks
from fastcka.core.cuda.submission import KEPT_PASSES
from fastcka.core.device import plan_on_cuda
from fastcka.core.estimators import estimate
from fastcka.errors import DeviceError, InputError
from samples import related

MIB = 1 << 20


@pytest.fixture
def session(emulated):
    return cuda_runtime().session(0)


def planned(xs, **forced):
    views = [as_view(x, f"x{i}") for i, x in enumerate(xs)]
    plan = replace(plan_on_cuda(views, "float64", 0), **forced)
    return views, [f"x{i}" for i in range(len(xs))], plan


def agrees(sums, xs, tolerance=1e-12):
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka_matrix(xs, estimator)
        got = estimate(sums, estimator).cka
        np.testing.assert_allclose(got, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffle"])
def test_passes_in_flight_do_not_disturb_each_other(session, rng, monkeypatch, order):
    # In the order "reverse", the emulation runs all work as late or as early as is allowed.
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
    groups = [related(rng, n, widths) for n in (60, 90, 70) for widths in ((5, 20), (30, 3, 8))]
    pending = [session.submit(*planned(xs)) for xs in groups]
    assert [p.running for p in pending] == [False] * 4 + [True] * 2  # two at a time
    for p, xs in zip(reversed(pending), reversed(groups), strict=True):
        agrees(p.result(), xs)
        assert not p.running


def test_host_memory_may_be_overwritten_after_submitting(session, rng):
    xs = related(rng, 300, (40, 50))
    copies = [x.copy() for x in xs]
    pending = session.submit(*planned(copies))
    for x in copies:
        x[:] = np.nan
    agrees(pending.result(), xs)


@pytest.mark.parametrize("size", [1 << 10, 96, 8])
def test_copies_in_many_pieces(emulated, rng, monkeypatch, size):
    # With 30 float32 features, a buffer of 1024 bytes holds eight rows, one of 96 bytes none.
    monkeypatch.setattr(cuda_ring, "BUFFER_BYTES", size)
    xs = related(rng, 61, (30, 7))
    xs[1] = np.asfortranarray(xs[1].astype(np.float64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTCKA_EMULATION_ORDER", "reverse")
        agrees(cuda_runtime().session(0).submit(*planned(xs)).result(), xs)


def counted_copies(session, monkeypatch):
    """The bytes of each copy from the host that is enqueued."""
    sizes = []
    copy = session.cupy.cuda.runtime.memcpyAsync

    def recorded(to, begin, size, kind, stream):
        if kind == session.cupy.cuda.runtime.memcpyHostToDevice:
            sizes.append(size)
        copy(to, begin, size, kind, stream)

    monkeypatch.setattr(session.cupy.cuda.runtime, "memcpyAsync", recorded)
    return sizes


@pytest.mark.parametrize("threads", [1, 3])
def test_arrays_that_fit_into_a_buffer_are_copied_together(session, rng, monkeypatch, threads):
    xs = related(rng, 61, (30, 7, 4, 50))
    xs[1] = np.asfortranarray(xs[1])
    xs[2] = np.repeat(xs[2], 2, axis=0)[::2]
    xs[3] = xs[3].astype(np.float16)
    sizes = counted_copies(session, monkeypatch)
    monkeypatch.setattr(cuda_ring, "COPY_BYTES", 1 << 10)
    agrees(session.submit(*planned(xs, threads=threads)).result(), xs)
    assert len(sizes) == 1
    monkeypatch.setattr(cuda_ring, "BUFFER_BYTES", 6 << 10)
    session.ring._buffers.clear()
    agrees(session.submit(*planned(xs, threads=threads)).result(), xs)
    # 51 rows of 120 bytes and the other 10; 1708 bytes padded to 1792, and 976; 6100.
    assert sizes[1:] == [51 * 120, 10 * 120, 1792 + 976, 6100]


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_pinned_memory_is_copied_from_in_place(session, rng, monkeypatch, order):
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
    xs = related(rng, 61, (30, 7, 12))
    memory = session.cupy.cuda.alloc_pinned_memory(xs[1].nbytes)
    pinned = np.frombuffer(memory, xs[1].dtype, xs[1].size).reshape(xs[1].shape)
    pinned[:] = xs[1]
    sizes = counted_copies(session, monkeypatch)
    pending = session.submit(*planned([xs[0], pinned, xs[2]]))
    pinned[:] = np.nan  # it has been read, as all host memory
    agrees(pending.result(), xs)
    assert sizes == [xs[0].nbytes, xs[1].nbytes, xs[2].nbytes]
    pinned[:] = xs[1]
    every_other = [x[:, ::2] for x in (xs[0], pinned, xs[2])]
    agrees(session.submit(*planned(every_other)).result(), every_other)


def test_a_graph_is_replayed_in_the_same_memory(session, rng, monkeypatch):
    made = []
    original = session.module.Pass

    def counted(*arguments, **options):
        made.append(options["memory"])
        return original(*arguments, **options)

    monkeypatch.setattr(session.module, "Pass", counted)
    for _ in range(4):
        xs = related(rng, 50, (6, 20))
        agrees(session.submit(*planned(xs)).result(), xs)
    assert len(made) == 1  # from the second pass on, sums() replays its graph


def test_the_number_of_kept_passes_is_limited(session, rng):
    for n in range(10, 10 + KEPT_PASSES + 3):
        session.submit(*planned(related(rng, n, (3, 4)))).result()
    assert len(session.passes) == KEPT_PASSES


def pass_bytes(plan):
    compiled = cuda_runtime().compiled
    return compiled.bytes_needed(plan.n_examples, plan.n_features, plan.settings).total


def test_short_memory_waits_for_the_previous_pass(session, rng, monkeypatch):
    first, second = related(rng, 80, (20, 30)), related(rng, 90, (20, 30))
    room = pass_bytes(planned(second)[2]) * 3 // 2
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", str(room))
    one = session.submit(*planned(first))
    two = session.submit(*planned(second))
    assert not one.running
    assert "short" not in two.plan.reason
    agrees(one.result(), first)
    agrees(two.result(), second)


def test_short_memory_takes_smaller_tiles(session, rng, monkeypatch):
    xs = related(rng, 600, (20,) * 8)
    views, names, plan = planned(xs, route="G", tile=608)
    room = pass_bytes(replace(plan, tile=256)) + MIB
    assert pass_bytes(replace(plan, tile=512)) > room
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", str(room))
    pending = session.submit(views, names, plan)
    agrees(pending.result(), xs)
    assert pending.plan.tile == 256
    assert "tile 256 instead of 608: device memory is short" in pending.plan.explain()


@pytest.mark.parametrize("m", [5, 8])
def test_shorter_memory_takes_blocks_of_representations(session, rng, monkeypatch, m):
    xs = related(rng, 1000, (60,) * m)
    views, names, plan = planned(xs, route="F", tile=64)
    room = pass_bytes(replace(plan, n_features=plan.n_features[:2])) + MIB
    assert pass_bytes(plan) > room
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", str(room))
    calls = []
    pending = session.submit(views, names, plan, progress=lambda *call: calls.append(call))
    agrees(pending.result(), xs)
    assert "blocks of representations" in pending.plan.reason
    assert calls[-1][0] == calls[-1][1]


def test_blocks_keep_the_facts_of_each_representation(session, rng, monkeypatch):
    xs = related(rng, 1000, (60,) * 5)
    xs[2][:] = 3
    xs[4] *= 2.0**20
    views, names, plan = planned(xs, route="F", tile=64)
    whole = session.submit(views, names, plan).result()
    room = pass_bytes(replace(plan, n_features=plan.n_features[:2])) + MIB
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", str(room))
    parts = session.submit(views, names, plan).result()
    assert parts.constant == whole.constant == (False, False, True, False, False)
    np.testing.assert_array_equal(parts.exponent, whole.exponent)
    np.testing.assert_array_equal(parts.r_totals, whole.r_totals)
    np.testing.assert_allclose(parts.s0, whole.s0, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(parts.norms, whole.norms, rtol=1e-12)


def test_blocks_find_values_that_are_not_finite(session, rng, monkeypatch):
    xs = related(rng, 1000, (60,) * 5)
    views, names, plan = planned(xs, route="F", tile=64)
    xs[3][7, 2] = np.inf
    room = pass_bytes(replace(plan, n_features=plan.n_features[:2])) + MIB
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", str(room))
    with pytest.raises(InputError, match=r"^x3 holds 1 NaN or infinite value, .* 7, feature 2$"):
        session.submit(views, names, plan)


def test_too_little_memory_is_an_error_with_the_bytes(session, rng, monkeypatch):
    xs = related(rng, 500, (60,) * 3)
    views, names, plan = planned(xs)
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", str(MIB))
    # An earlier test may not have freed everything yet.
    free, _ = session.cupy.cuda.Device(0).mem_info
    with pytest.raises(DeviceError) as error:
        session.submit(views, names, plan)
    text = str(error.value)
    assert f"cuda:0 emulated device 0 has {free} of" in text
    assert f"asked for {pass_bytes(plan)} bytes" in text
    smallest = pass_bytes(replace(plan, n_features=plan.n_features[:2]))
    assert str(smallest) in text
    assert "compute on 'cpu'" in text
    monkeypatch.delenv("FASTCKA_EMULATION_MEMORY")
    agrees(session.submit(views, names, plan).result(), xs)


@pytest.mark.parametrize("m", range(2, 30))
def test_pairs_of_blocks_hold_every_pair(m):
    counts = list(block_counts(m))
    assert counts == sorted(set(counts))
    assert counts[-1:] == ([m] if m > 2 else [])
    for count in counts:
        unions = unions_of_blocks(m, count)
        assert len(unions) == count * (count - 1) // 2
        for i in range(m):
            for j in range(m):
                assert any(i in union and j in union for union in unions)
        assert max(map(len, unions)) < m or m == 2
    if m > 2:
        assert {len(union) for union in unions_of_blocks(m, m)} == {2}


def test_a_failing_device_is_an_error_and_does_not_hang(session, rng, monkeypatch):
    xs = related(rng, 50, (6, 20))
    pending = session.submit(*planned(xs))
    with monkeypatch.context() as failing:
        failing.setenv("FASTCKA_EMULATION_FAILURE", "700")  # an illegal access
        for _ in range(2):
            with pytest.raises(
                DeviceError, match=r"^cuda:0 emulated device 0: cudaErrorIllegalAddress"
            ):
                pending.result()


def test_an_interrupted_wait_leaves_the_session_usable(session, rng, monkeypatch):
    xs = related(rng, 50, (6, 20))
    pending = session.submit(*planned(xs))
    query = session.cupy.cuda.runtime.eventQuery
    monkeypatch.setattr(session.cupy.cuda.runtime, "eventQuery", lambda event: 600)
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(cuda_ring.time, "sleep", nap)
    with pytest.raises(KeyboardInterrupt):
        pending.result()
    assert naps == [cuda_ring.SLEEP_SECONDS]
    monkeypatch.setattr(session.cupy.cuda.runtime, "eventQuery", query)
    agrees(pending.result(), xs)
    agrees(session.submit(*planned(xs)).result(), xs)


def test_progress_may_stop_a_pass(session, rng, monkeypatch):
    xs = related(rng, 50, (6, 20, 7))
    monkeypatch.setattr(cuda_ring, "BUFFER_BYTES", 8)  # an array at a time
    calls = []

    def stop(done, total):
        calls.append((done, total))
        if done == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match=r"^enough$") as error:
        session.submit(*planned(xs), progress=stop)
    assert type(error.value) is RuntimeError
    assert calls == [(1, 4), (2, 4)]
    agrees(session.submit(*planned(xs)).result(), xs)


def test_from_many_threads(session, rng):
    groups = [related(rng, 40 + i, (6, 20)) for i in range(8)]
    results = {}

    def work(i):
        results[i] = session.submit(*planned(groups[i])).result()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, xs in enumerate(groups):
        agrees(results[i], xs)


def test_closing_releases_the_device(emulated, rng):
    xs = related(rng, 50, (6, 20))
    before = emulated.cupy.cuda.Device(0).mem_info
    with cuda_runtime().session(0) as session:
        pending = session.submit(*planned(xs))
    assert not pending.running
    agrees(pending.result(), xs)
    assert emulated.cupy.cuda.Device(0).mem_info == before


def test_results_keep_their_pinned_memory(session, rng):
    # The memory of a pass that has ended would be taken, and overwritten, by the next ones.
    groups = [related(rng, 50, (6, 20)) for _ in range(6)]
    sums = [session.submit(*planned(xs)).result() for xs in groups]
    for each, xs in zip(sums, groups, strict=True):
        agrees(each, xs)


def test_a_shape_is_planned_once(session, rng, monkeypatch):
    made = []
    plan = cuda_runtime_module.make_cuda_plan

    def counted(*arguments, **options):
        made.append(arguments[0])
        return plan(*arguments, **options)

    monkeypatch.setattr(cuda_runtime_module, "make_cuda_plan", counted)
    for n in (50, 50, 60, 50):
        compare(related(rng, n, (6, 20)), device="cuda")
    assert made == [50, 60]
    compare(related(rng, 50, (6, 20)), device="cuda", precision="float64")
    assert made == [50, 60, 50]


def test_results_of_one_pass_do_not_depend_on_another(session, rng):
    xs = related(rng, 120, (20, 30))
    alone = compare(xs, device="cuda")
    other = session.submit(*planned(related(rng, 150, (40, 50))))
    overlapped = compare(xs, device="cuda")
    other.result()
    np.testing.assert_array_equal(alone.unbiased, overlapped.unbiased)
