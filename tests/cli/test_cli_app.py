"""The command group: version, help, start-up, errors."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fastcka.cli.app import FAILED, INTERRUPTED, WRONG_CALL, app
from fastcka.errors import DeviceError, InputError, LedgerError, StoreError, SweepError

ROOT = Path(__file__).parents[2]
COMMANDS = ["demo", "cka", "store", "plan", "run", "doctor"]


def test_version(shell):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    done = shell("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fastcka {version}\n", "")


def test_help_lists_the_commands_and_each_has_a_help(call):
    listed = call("--help")
    assert listed.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", listed.stdout)
        assert call(command, "--help").exit_code == 0


@pytest.mark.parametrize("arguments", [["no-such-command"], ["cka", "--no-such-option"], ["plan"]])
def test_a_wrong_call_exits_2_on_stderr(call, arguments):
    done = call(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr


def test_start_up_is_light(shell):
    assert shell("--version").returncode == 0
    code = """
import sys
from fastcka.cli.app import FAILED, INTERRUPTED, WRONG_CALL, app
heavy = {"torch", "matplotlib", "pandas", "pydantic", "h5py", "yaml", "xarray", "sklearn"}
print(*sorted(heavy & set(sys.modules)))
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError, 2),
        (SweepError, 2),
        (LedgerError, 1),
        (StoreError, 1),
        (DeviceError, 1),
        (OSError, 1),
        (KeyboardInterrupt, 130),
    ],
)
def test_an_error_is_one_message_and_a_status(call, monkeypatch, error, status):
    def fails(*_: object, **__: object) -> None:
        raise error("layer [bold]x[/] is not\nthere")

    monkeypatch.setattr("fastcka.cli.doctor._examine", fails)
    done = call("doctor")
    assert done.exit_code == status
    assert done.stdout == ""
    expected = "interrupted\n" if status == 130 else "error: layer [bold]x[/] is not\nthere\n"
    assert done.stderr == expected


def test_a_stopped_demo_says_how_to_resume_it(call, monkeypatch, tmp_path):
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fastcka.demo.run_demo", stopped)
    done = call("demo", tmp_path / "demo")
    expected = "interrupted; run the same command again to resume\n"
    assert (done.exit_code, done.stderr) == (130, expected)


def test_help_lists_the_exit_statuses(call):
    shown = " ".join(call("--help").stdout.split())
    assert "Exit status: 0 if everything" in shown
    for status in (INTERRUPTED, WRONG_CALL, FAILED):
        assert f"{status} " in shown


@pytest.mark.parametrize("how", ["--debug", "FASTCKA_DEBUG"])
def test_debug_shows_the_traceback_and_keeps_the_status(shell, tmp_path, how):
    arguments = ["cka", tmp_path / "absent.npy", tmp_path / "absent.npy"]
    plain = shell(*arguments)
    asked = (
        shell("--debug", *arguments) if how == "--debug" else shell(*arguments, FASTCKA_DEBUG="1")
    )
    assert "Traceback" not in plain.stderr
    assert "Traceback" in asked.stderr
    assert asked.returncode == plain.returncode != 0
    assert asked.stderr.endswith(plain.stderr)


def test_a_bug_is_not_reported_as_a_message(call, monkeypatch):
    def fails() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("fastcka.cli.doctor._examine", fails)
    with pytest.raises(RuntimeError, match="a bug"):
        call("doctor")


def test_the_group_is_the_console_script():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"fastcka": "fastcka.cli:main"}
    assert app.info.name == "fastcka"
