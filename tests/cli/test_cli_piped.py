"""Output that goes to a pipe or a file."""

from __future__ import annotations

import os
import subprocess
import sys

PRINT = """
from fastcka.cli import output
table = output.facts({"a": "first", "a longer name": "a longer line"})
output.stdout().print(table)
output.stderr().print("second")
output.stdout().print("third")
"""


def buffered():
    """Return the environment in which Python buffers what it prints, as it does for users."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_lines_arrive_in_order_and_without_padding():
    done = subprocess.run(
        [sys.executable, "-c", PRINT],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=buffered(),
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "line", "second", "third"]
    assert [line for line in lines if line.endswith(" ")] == []
