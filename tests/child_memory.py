"""Run a script in a child process that measures its memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap

MIB = 1 << 20
PRELUDE = """
import json, sys

def memory(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

def reset_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
"""


def output_of(script, *arguments):
    """Return what the script prints."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout
