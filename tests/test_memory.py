"""Free memory: of the machine, control groups of both versions, and ulimit; a fake /proc."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap

import pytest

import fastcka
from fastcka.errors import OutOfMemoryError
from fastcka.memory import FreeMemory, free_memory, require_memory, size_text

GB = 10**9
MEMINFO = "MemTotal: 32000000 kB\nMemFree: 100 kB\nMemAvailable:   20000000 kB\n"


@pytest.fixture
def machine(tmp_path):
    """A function that writes files under a root folder and returns the root."""

    def make(files):
        for name, text in ({"proc/meminfo": MEMINFO} | files).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def test_a_machine_without_limits(machine):
    assert free_memory(machine({})) == FreeMemory(20_480_000_000, "on this machine")


V2 = {
    "proc/self/cgroup": "0::/user.slice/job\n",
    "proc/self/mountinfo": (
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
        "31 23 0:27 / /data rw - ext4 /dev/sda rw\n"
    ),
}


def test_a_control_group_of_version_2(machine):
    folder = "sys/fs/cgroup/user.slice/job"
    files = V2 | {
        f"{folder}/memory.max": f"{8 * GB}\n",
        f"{folder}/memory.current": f"{5 * GB}\n",
        # 2 GB of cached files can be freed; shmem is in neither.
        f"{folder}/memory.stat": (
            f"anon {3 * GB}\nfile {2 * GB}\nshmem 0\ninactive_file {GB}\nactive_file {GB}\n"
            "slab_reclaimable 0\n"
        ),
    }
    free = free_memory(machine(files))
    assert free.bytes == 8 * GB - 5 * GB + 2 * GB
    assert str(free) == "5.0 GB are free (within the control group's memory.max of 8.0 GB)"


def test_the_limit_of_a_parent_group_counts(machine):
    files = V2 | {
        "sys/fs/cgroup/user.slice/job/memory.max": "max\n",
        "sys/fs/cgroup/user.slice/job/memory.current": "17\n",
        "sys/fs/cgroup/user.slice/memory.max": f"{4 * GB}\n",
        "sys/fs/cgroup/user.slice/memory.current": f"{GB}\n",
    }
    assert free_memory(machine(files)).bytes == 3 * GB


@pytest.mark.parametrize(
    ("mounted", "folder"),
    # The whole tree of the host, and a container whose group is the root.
    [("/", "sys/fs/cgroup/memory/docker/abc"), ("/docker/abc", "sys/fs/cgroup/memory")],
)
def test_a_control_group_of_version_1(machine, mounted, folder):
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
        "proc/self/mountinfo": (
            "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
            f"35 31 0:32 {mounted} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        ),
        f"{folder}/memory.limit_in_bytes": f"{2 * GB}\n",
        f"{folder}/memory.usage_in_bytes": f"{GB}\n",
        f"{folder}/memory.stat": (
            f"inactive_file 1\nactive_file 1\ntotal_inactive_file {GB // 4}\n"
            f"total_active_file {GB // 4}\n"
        ),
    }
    assert free_memory(machine(files)).bytes == 1.5 * GB


@pytest.mark.parametrize(("limit", "name"), [("RLIMIT_AS", "-v"), ("RLIMIT_DATA", "-d")])
def test_a_limit_of_the_process(limit, name):
    code = f"""
        import resource
        from fastcka.memory import free_memory
        resource.setrlimit(resource.{limit}, (2_000_000_000, resource.RLIM_INFINITY))
        free = free_memory()
        x = bytearray(500_000_000)
        print(free.bytes, free.limit, free_memory().bytes, sep=",")
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    ).stdout
    before, reported, after = out.strip().split(",")
    assert reported == f"within ulimit {name} of 2.0 GB"
    assert 0 < int(before) < 2 * GB
    assert int(before) - int(after) == pytest.approx(500_000_000, abs=10_000_000)
    assert resource.getrlimit(getattr(resource, limit))[0] == resource.RLIM_INFINITY


def test_unknown_free_memory(tmp_path):
    assert free_memory(tmp_path).bytes > 10**18


@pytest.mark.parametrize(
    ("count", "text"), [(900, "0.9 kB"), (350_000_000, "350 MB"), (23_400_000_000, "23.4 GB")]
)
def test_sizes_in_words(count, text):
    assert size_text(count) == text


def test_the_refusal_has_figures_and_a_remedy(monkeypatch):
    monkeypatch.setattr(
        "fastcka.memory.free_memory", lambda: FreeMemory(20_900_000_000, "on this machine")
    )
    require_memory(20_900_000_000, "it", "do less")
    with pytest.raises(OutOfMemoryError) as raised:
        require_memory(23_400_000_000, "it", "do less")
    assert str(raised.value) == (
        "it needs 23.4 GB, 20.9 GB are free (on this machine): do less; "
        "--no-memory-check (in Python fastcka.memory_check(False)) skips this check"
    )
    with fastcka.memory_check(False), fastcka.memory_check(True):
        require_memory(23_400_000_000, "it", "do less")


def test_compare_checks_the_memory_before_it_computes(rng, monkeypatch):
    monkeypatch.setattr("fastcka.memory.free_memory", lambda: FreeMemory(10**8, "on this machine"))
    xs = [rng.standard_normal((3000, 600), dtype="float32") for _ in range(16)]
    # The centred copy alone is 115 MB.
    with pytest.raises(
        OutOfMemoryError, match=r"16 representations of 3,000 examples.*needs 1\d\d MB"
    ):
        fastcka.compare(xs, device="cpu")
    with pytest.raises(OutOfMemoryError, match="precision='high'"):
        fastcka.compare(xs, device="cpu", precision="float64")
    with fastcka.memory_check(False):
        assert fastcka.compare(xs[:9], device="cpu").cka.shape == (9, 9)
    assert fastcka.compare(xs[:2], device="cpu").cka.shape == (2, 2)
