"""Groups spread over all GPUs of the machine, with a thread and a session for each.

    this thread | check, plan, choose a GPU ...         | results, in order
    GPU 0       | copy group 0 | copy group 2 | ...
    GPU 1       | copy group 1 | copy group 3 | ...

A group goes to the GPU with the least predicted work so far, so that the choice is the same in
every run. A group with arrays on a GPU goes to that one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace

from fastcka.core.backend import cuda_runtime
from fastcka.core.cuda.plan import CudaPlan
from fastcka.core.device import plan_on_cuda
from fastcka.core.device_arrays import common_device
from fastcka.core.options import Options
from fastcka.core.request import AnyGroup, Flight, Group, Request
from fastcka.core.result import Outcome, Result
from fastcka.core.views import DeviceView
from fastcka.core.work import CudaWork
from fastcka.errors import InputError
from fastcka.out_of_memory import THREAD_BYTES, named_shortage, require_room

#: A GPU computes one group while the next is copied to it.
GROUPS_EACH = 2


def groups_in_flight() -> int:
    """Return how many groups are taken before the outcome of the first one is awaited."""
    return GROUPS_EACH * max(1, len(cuda_runtime().devices))


class ManyGpus:
    """The GPUs of this machine, and the groups that they compute."""

    def __init__(self, options: Options) -> None:
        runtime = cuda_runtime()
        runtime.device(0)  # an error if there is none
        devices = [device.index for device in runtime.devices]
        require_room(len(devices) * THREAD_BYTES, f"computing on {len(devices)} GPUs")
        threads = max(1, options.threads // len(devices))
        self._progress = options.progress
        self._options = replace(options, threads=threads, progress=None)
        self._seconds = dict.fromkeys(devices, 0.0)  # predicted, of what it was given
        self._threads = {
            index: ThreadPoolExecutor(1, thread_name_prefix=f"fastcka-cuda:{index}")
            for index in devices
        }
        self._flights: deque[list[Future[CudaWork] | InputError]] = deque()

    def outcomes(self, groups: Iterable[AnyGroup | Flight]) -> Iterator[list[Outcome]]:
        """Take the groups and yield the outcomes of each flight; see `compare_many`."""
        source = iter(groups)
        error: Exception | None = None
        try:
            while True:
                try:
                    self._flights.append(self._begin(next(source)))
                except StopIteration:
                    break
                except Exception as stopped:
                    error = stopped
                    break
                if len(self._flights) == groups_in_flight():
                    yield self._finish(self._flights.popleft())
            while self._flights:
                yield self._finish(self._flights.popleft())
        finally:
            for thread in self._threads.values():
                thread.shutdown(cancel_futures=True)
        if error is not None:
            raise error

    def _begin(self, taken: AnyGroup | Flight) -> list[Future[CudaWork] | InputError]:
        if isinstance(taken, Flight):
            return [self._send(member) for member in taken.groups]
        return [self._send(taken, wait=True)]

    @named_shortage("preparing representations")
    def _send(self, group: AnyGroup, *, wait: bool = False) -> Future[CudaWork] | InputError:
        """Give a group to a GPU. With ``wait``, its staged buffers have then been read."""
        try:
            request = Request.of_group(
                group if isinstance(group, Group) else Group(group), self._options.estimator
            )
            plan = self._plan(request)
        except InputError as error:
            error.__context__ = error.__cause__ = None
            return error.with_traceback(None)  # its frames hold on to the arrays
        index = plan.device.index
        self._seconds[index] += plan.seconds
        # In a copy of the context, which says whether memory is checked.
        work = self._threads[index].submit(
            copy_context().run, _copied, request, plan, self._options
        )
        if wait and request.staged:
            work.exception()  # the caller may fill the same buffers with the next group
        return work

    def _plan(self, request: Request) -> CudaPlan:
        index, reason = common_device(request.views, request.names), "the arrays are on it"
        if index is None:
            index = min(self._seconds, key=self._seconds.__getitem__)
            reason = "all GPUs share the groups"
        options = self._options
        return plan_on_cuda(
            request.views, options.precision, index, reason, threads=options.threads
        )

    def _finish(self, flight: list[Future[CudaWork] | InputError]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for work in flight:
            result = work if isinstance(work, InputError) else _waited(work)
            outcomes.append(result.comparison() if isinstance(result, Result) else result)
            if self._progress is not None:
                self._progress(1, 1)
        return outcomes


def _waited(work: Future[CudaWork]) -> Result | InputError:
    try:
        return work.result().outcome()
    except InputError as error:
        return error


@named_shortage("copying representations to a GPU")
def _copied(request: Request, plan: CudaPlan, options: Options) -> CudaWork:
    """Queue the pass of a group on its GPU."""
    session = cuda_runtime().session(plan.device.index)
    on_device = any(isinstance(view, DeviceView) for view in request.views)
    return CudaWork(request, plan, session, options, keep=not on_device)
