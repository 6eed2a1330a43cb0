"""How much memory this process may still allocate, and whether that is enough.

Linux kills a process that uses too much memory, without a message. Therefore fastcka predicts large
allocations and compares them with the free memory. Memory-mapped files do not count as needed: the
system can reclaim their pages.
"""

from __future__ import annotations

import os
import re
import resource
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.errors import InputError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_CHECK = "--no-memory-check (in Python fastcka.memory_check(False)) skips this check"

UNCHECKED_BYTES = 64 << 20
"""Smaller requests are not checked: finding the free memory would take longer than it saves."""

USED_SHARE = 0.75
"""The share of the free memory that a computation may use, if ``memory`` does not say otherwise."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)

_checked: ContextVar[bool] = ContextVar("checked", default=True)


@dataclass(frozen=True, order=True)
class FreeMemory:
    """The bytes that this process may still allocate, and what limits them."""

    bytes: int
    limit: str

    def __str__(self) -> str:
        return f"{size_text(self.bytes)} are free ({self.limit})"


def free_memory(root: Path | None = None) -> FreeMemory:
    """Return the free memory under the tightest limit: machine, control groups or ``ulimit``.

    The page cache counts as free; swap does not. Limits that cannot be read are ignored. A system
    without ``/proc``, such as macOS, does not say how much memory is free: all memory of the
    machine counts there.

    Parameters
    ----------
    root
        The folder that contains ``proc``; default: that of the system.
    """
    from pathlib import Path

    return min(
        _limits((root or Path("/")) / "proc"), default=FreeMemory(1 << 62, "no limit is known")
    )


@contextmanager
def memory_check(wanted: bool) -> Iterator[None]:
    """Turn the memory check off, or leave it on, within a ``with`` block.

    The check is on by default: work that needs more memory than is free raises `OutOfMemoryError`
    before it starts.

    >>> import fastcka
    >>> with fastcka.memory_check(False):
    ...     similarity = fastcka.cka([[1.0], [2.0]], [[1.0], [3.0]], estimator="biased")

    Parameters
    ----------
    wanted
        Whether to check. A block inside one with False does not check either.
    """
    token = _checked.set(wanted and _checked.get())
    try:
        yield
    finally:
        _checked.reset(token)


def require_memory(needed: int, what: str, remedy: str) -> None:
    """Check that ``needed`` bytes are free, unless `memory_check` is off.

    Raises
    ------
    OutOfMemoryError
        If they are not. The message is "``what`` needs 23.4 GB, 20.9 GB are free", and the remedy.
    """
    if needed < UNCHECKED_BYTES or not _checked.get():
        return
    free = free_memory()
    if needed > free.bytes:
        raise OutOfMemoryError(f"{what} needs {size_text(needed)}, {free}: {remedy}; {NO_CHECK}")


def parse_memory(memory: object) -> int | None:
    """Return the bytes of an argument ``memory``; None stays None.

    Raises
    ------
    InputError
        If it is neither a positive number of bytes nor a text such as "2GB" or "512 MiB".
    """
    if memory is None:
        return None
    count = 0.0
    if isinstance(memory, int | float) and not isinstance(memory, bool):
        count = float(memory)
    elif isinstance(memory, str) and (parts := _SIZE.fullmatch(memory.strip())):
        number, unit, binary = parts.groups()
        base = 1024 if binary else 1000
        count = float(number) * base ** (" kmgt".index(unit.lower()) if unit else 0)
    if not 1 <= count < 2**62:
        raise InputError(
            f"memory: expected a number of bytes, or a text such as '2GB' or '512MiB'; "
            f"got {memory!r}"
        )
    return int(count)


def usable_memory(memory: int | None) -> FreeMemory:
    """Return the bytes that a computation may use: ``memory``, or a share of what is free."""
    if memory is not None:
        return FreeMemory(memory, "the argument memory")
    free = free_memory()
    share = f"{USED_SHARE:.0%} of the {size_text(free.bytes)} that are free {free.limit}"
    return FreeMemory(int(free.bytes * USED_SHARE), share)


def size_text(count: int) -> str:
    """Return a number of bytes as text, such as "23.4 GB"."""
    if count < 1e6:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _limits(proc: Path) -> Iterator[FreeMemory]:
    available = _figures(proc / "meminfo").get("MemAvailable")
    if available is not None:
        yield FreeMemory(available * 1024, "on this machine")
    elif not proc.exists() and (installed := _installed_bytes()):
        yield FreeMemory(installed, "at most: the installed memory of this machine")
    for folder in _control_groups(proc):
        yield from _left_in(folder)
    status = _figures(proc / "self" / "status")
    for limit, used, name in (
        (resource.RLIMIT_AS, "VmSize", "ulimit -v"),
        (resource.RLIMIT_DATA, "VmData", "ulimit -d"),
    ):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY and used in status:
            left = max(most - status[used] * 1024, 0)
            yield FreeMemory(left, f"within {name} of {size_text(most)}")


def _installed_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # the system does not know the name, or not the number
        return None


def _left_in(folder: Path) -> Iterator[FreeMemory]:
    """Yield the bytes left under a control group's limit, version 2 or 1, if it has one."""
    for limit, usage, prefix in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        most, used = _number(folder / limit), _number(folder / usage)
        if most is None or used is None:
            continue
        counts = _figures(folder / "memory.stat")
        # Before it kills a process, the kernel reclaims file pages, but not shared memory.
        cache = sum(
            counts.get(f"{prefix}{name}", 0) for name in ("active_file", "inactive_file")
        ) + counts.get("slab_reclaimable", 0)
        left = max(most - used + min(cache, used), 0)
        yield FreeMemory(left, f"within the control group's {limit} of {size_text(most)}")


def _control_groups(proc: Path) -> Iterator[Path]:
    """Yield the folders of this process's memory control groups and of their parents."""
    from pathlib import Path

    paths: dict[str, str] = {}  # type of the file system -> path of the control group
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            paths["cgroup2"] = path
        elif "memory" in controllers.split(","):
            paths["cgroup"] = path
    for line in _lines(proc / "self" / "mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in paths or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        top, mounted = (_unescaped(field) for field in before.split(" ")[3:5])
        point = proc.parent / mounted.lstrip("/")
        # In a container, the mount may be the control group itself.
        inside = Path(paths[kind])
        below = inside.relative_to(top).parts if inside.is_relative_to(top) else ()
        if ".." in below:
            below = ()
        for depth in range(len(below) + 1):
            yield point.joinpath(*below[:depth])


def _unescaped(field: str) -> str:
    return field.encode("latin-1", "backslashreplace").decode("unicode_escape")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _figures(path: Path) -> dict[str, int]:
    """Return name -> number from a file with a name and a number in each line."""
    words = (line.replace(":", " ").split() for line in _lines(path))
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdecimal()}


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None
