"""Dask workers: local ones, those of a scheduler, or those of a client."""

from __future__ import annotations

import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from fastcka.core import cuda_status
from fastcka.errors import ClusterError, InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

SECONDS_TO_CONNECT = 10
"""A scheduler that does not answer for so long is an error."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the workers of a run are from: one of the first three is given.

    Attributes
    ----------
    workers
        The number of processes to start on this machine.
    scheduler
        The address of a Dask scheduler.
    client
        A client, which is left open.
    threads
        Threads of each task; None: see `Workers`.
    """

    workers: int | None
    scheduler: str | None
    client: Client | None
    threads: int | None

    @classmethod
    def of(
        cls,
        workers: int | None,
        scheduler: str | None,
        client: Client | None,
        threads: int | None,
    ) -> Cluster | None:
        """Return the cluster of a call; None if the call computes in its process.

        Raises
        ------
        InputError
            More than one is given, or one is not valid.
        MissingExtraError
            Dask is not installed.
        """
        given = [each for each in (workers, scheduler, client) if each is not None]
        if not given:
            return None
        if len(given) > 1:
            raise InputError("workers, scheduler and client: expected at most one of them")
        if workers is not None and not (type(workers) is int and workers >= 1):
            raise InputError(f"workers: expected a whole number of at least 1, got {workers!r}")
        if scheduler is not None and not isinstance(scheduler, str):
            raise InputError(
                f"scheduler: expected the address of a Dask scheduler, got {scheduler!r}"
            )
        distributed = _library()
        if client is not None and not isinstance(client, distributed.Client):
            raise InputError(f"client: expected a distributed.Client, got {type(client).__name__}")
        if client is not None and client.asynchronous:
            raise InputError("client: expected a client with asynchronous=False")
        return cls(workers, scheduler, client, threads)

    @contextmanager
    def connected(self) -> Iterator[Client]:
        """Connect to the workers; at the end, stop the local ones.

        Raises
        ------
        ClusterError
            No scheduler answers at the address, or local workers cannot be started.
        """
        if self.client is not None:
            yield self.client
            return
        with ExitStack() as stack:
            address = self.scheduler
            if address is None:
                address = stack.enter_context(_local_scheduler(self.workers or 1))
            yield stack.enter_context(_connected_client(address))

    @property
    def gpus(self) -> tuple[str, ...]:
        """The GPUs of this machine, for local workers; others are started with theirs."""
        if self.workers is None:
            return ()
        devices = [str(device.index) for device in cuda_status().devices]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        return tuple(devices if visible == [""] else visible[: len(devices)])


def _library() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            "workers, scheduler and client need Dask, which is not installed: "
            'pip install "fastcka[cluster]", or pip install distributed'
        ) from error
    return distributed


@contextmanager
def _local_scheduler(workers: int) -> Iterator[str]:
    """Start local workers, and yield the address of their scheduler."""
    distributed = _library()
    with ExitStack() as stack:
        try:
            with _later_interrupts():
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",
                        memory_limit=0,  # the plan predicts what is needed, and is checked before
                        silence_logs=logging.CRITICAL,  # a lost worker is replaced
                    )
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"workers: {workers} local workers could not be started ({error}): run again if "
                'one was killed; a script must call run_sweep below `if __name__ == "__main__":`, '
                "because each worker imports it"
            ) from error
        yield cluster.scheduler_address


@contextmanager
def _later_interrupts() -> Iterator[None]:
    """Raise the interrupts of this block at its end; threads that it starts never receive one.

    A terminal sends Ctrl-C to all processes of a command, and workers inherit the signal mask of
    Dask's thread. So this process can stop them in order.
    """
    arrived: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if main:
        signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    resource_tracker.ensure_running()  # its start unblocks the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if main:
            signal.signal(signal.SIGINT, handler)
        if arrived:
            raise KeyboardInterrupt


@contextmanager
def _connected_client(address: str) -> Iterator[Client]:
    """Connect to the scheduler at an address, once it has answered."""
    distributed = _library()
    try:
        # In a thread, because a notebook runs an event loop in this one.
        with ThreadPoolExecutor(1) as pool:
            kind = pool.submit(_kind_of_server, address).result()
        if kind != "Scheduler":
            raise ValueError(f"a {kind} answers there")
        client = distributed.Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        reason = str(error) or f"no answer within {SECONDS_TO_CONNECT} s"
        raise ClusterError(
            f"scheduler: no Dask scheduler answers at '{address}' ({reason}); expected the address "
            "that `dask scheduler` prints when it starts, such as tcp://host:8786"
        ) from error
    with client:
        yield client


def _kind_of_server(address: str) -> str:
    """Ask the server at an address what it is. A `Client` would wait for an answer forever."""
    import asyncio

    from distributed import Security, rpc

    async def ask() -> str:
        arguments = Security().get_connection_args("client")
        async with rpc(address, connection_args=arguments) as server:
            return str((await server.identity())["type"])

    async def ask_for_a_while() -> str:
        return await asyncio.wait_for(ask(), SECONDS_TO_CONNECT)

    return asyncio.run(ask_for_a_while())
