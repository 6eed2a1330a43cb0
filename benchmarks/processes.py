"""The processes of a run's contestants. They end when the run ends."""

from __future__ import annotations

from benchmarks.peer_folder import folder_for
from benchmarks.process import Process


class Processes:
    """A context manager that starts processes, and ends those that are left.

    Parameters
    ----------
    threads
        Threads of a process.
    peers
        The folder of the peers.
    reuse
        Whether a contestant keeps its process for all workloads. That saves the imports, which
        take longer than calls of a small size.
    """

    def __init__(self, threads, peers, *, reuse=False):
        self._threads, self._peers, self._reuse = threads, peers, reuse
        self._running = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._running.values():
            process.end()
        self._running.clear()

    def rate(self, name):
        """The process of a rate."""
        return self._get(name, None, self._threads, None)

    def get(self, contestant, *, threads=None, implementation=None):
        """The process of a contestant; `implementation` is that of fastcka's inner loops."""
        folder = folder_for(contestant, self._peers)
        return self._get(contestant.name, folder, threads or self._threads, implementation)

    def release(self, process):
        """End a process that is no longer needed, unless the next workload will use it."""
        if self._reuse and process.alive():
            return
        for key, running in list(self._running.items()):
            if running is process:
                del self._running[key]
        process.end()

    def _get(self, name, folder, threads, implementation):
        key = name, threads, implementation
        if key not in self._running or not self._running[key].alive():
            self._running[key] = Process(
                name, threads=threads, folder=folder, implementation=implementation
            )
        return self._running[key]
