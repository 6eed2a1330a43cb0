"""Two ways to call the command line: in this process, which is fast, and in another one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from fastcka.cli.app import app

COMMAND = [sys.executable, "-c", "from fastcka.cli import main; main()"]


def environment() -> dict[str, str]:
    """The environment without variables that would change the output of the command."""
    unset = {"FASTCKA_DEBUG", "COLUMNS", "FORCE_COLOR", "FASTCKA_IMPLEMENTATION", "OMP_NUM_THREADS"}
    return {name: value for name, value in os.environ.items() if name not in unset}


@pytest.fixture
def call() -> Callable[..., Any]:
    """Call the command in this process: ``call("cka", a, b)`` -> exit_code, stdout, stderr."""

    def run(*arguments: object) -> Any:
        result = CliRunner().invoke(app, list(map(str, arguments)), env={"FASTCKA_DEBUG": None})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def run_in_a_shell(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call the command in a new process, without a terminal, stdout and stderr separate."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment() | variables,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@pytest.fixture(scope="session")
def shell() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the command in a new process: ``shell("plan", path, VARIABLE="value")``."""
    return run_in_a_shell
