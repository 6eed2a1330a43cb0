"""The ``fastcka`` command: each file here parses one command's arguments, calls, and prints.

Answers go to stdout; messages and progress go to stderr. The exit status is 0 only if everything
that was asked for was done, 2 for a wrong call, 1 for any other failure, 130 after Ctrl-C.

Nothing heavy is imported before a command runs: ``fastcka --version`` and ``--help`` stay quick.
"""

from __future__ import annotations

from fastcka.cli.app import main

__all__ = ["main"]
