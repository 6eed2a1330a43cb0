"""The command group: global options, and the conversion of errors to messages."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from fastcka.cli import output
from fastcka.cli.arguments import SWEEP_FIELDS
from fastcka.cli.capture import CAPTURE_KEYS, capture
from fastcka.cli.checkpoints import checkpoints
from fastcka.cli.cka import cka
from fastcka.cli.demo import demo
from fastcka.cli.doctor import doctor
from fastcka.cli.evolve import evolve
from fastcka.cli.pair import PAIR_KEYS, pair
from fastcka.cli.plan import plan
from fastcka.cli.report import report
from fastcka.cli.run import run
from fastcka.cli.store import store
from fastcka.errors import (
    FastckaError,
    InputError,
    NoStoreError,
    OutOfMemoryError,
    SweepConfigError,
    SweepError,
    UnknownKeyError,
)
from fastcka.out_of_memory import raise_if_shortage, require_room

WRONG_CALL = 2
FAILED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells report it

LIBRARY_BYTES = 32 << 20
"""Free memory required before a command loads libraries: h5py does not survive a failed load."""

RESUMED = {"run", "demo", "capture"}
"""Commands that resume after an interruption."""

STATUSES = (
    "Exit status: 0 on success, 1 if something failed or a file is damaged, 2 for invalid "
    "arguments or an invalid configuration file, 130 after Ctrl-C."
)


class ErrorsAsMessages(TyperGroup):
    """Runs a command and prints its errors on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raise `typer.Exit` with the status that its failure calls for."""
        try:
            require_room(LIBRARY_BYTES, "loading libraries")
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the pipe was closed (`| head`): typer exits silently
        except KeyboardInterrupt:
            again = "; run the same command again to resume"
            resumes = ctx.invoked_subcommand in RESUMED
            output.stderr().print(f"interrupted{again if resumes else ''}")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            _fail(error, debug=bool(ctx.params["debug"]))


def _fail(error: Exception, *, debug: bool) -> NoReturn:
    """Print errors that a user can act on; raise all others unchanged."""
    try:
        raise_if_shortage(error, "this command")
    except OutOfMemoryError as named:
        error = named
    if not isinstance(error, FastckaError | OSError):
        raise error
    if debug:
        trace = "".join(traceback.format_exception(error))
        sys.stderr.write(output.printable(trace, lines=True))
    output.note("error", error)
    raise typer.Exit(WRONG_CALL if _is_wrong_call(error) else FAILED) from None


def _is_wrong_call(error: Exception) -> bool:
    # A plain SweepError is the configuration's, unless what failed in the run is its cause.
    return isinstance(error, InputError | SweepConfigError | NoStoreError | UnknownKeyError) or (
        type(error) is SweepError and error.__cause__ is None
    )


def _print_version(asked: bool) -> None:
    if asked:
        from fastcka import __version__

        sys.stdout.write(f"fastcka {__version__}\n")
        raise typer.Exit


app = typer.Typer(
    name="fastcka",
    cls=ErrorsAsMessages,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=STATUSES,
)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="FASTCKA_DEBUG", help="Show the traceback of an error."),
    ] = False,
) -> None:
    """Compare the representations of neural networks by Centered Kernel Alignment."""


app.command()(demo)
app.command()(cka)
app.add_typer(store, name="store")
app.command(epilog=SWEEP_FIELDS)(plan)
app.command(epilog=SWEEP_FIELDS)(run)
app.command(epilog=PAIR_KEYS)(pair)
app.add_typer(checkpoints, name="checkpoints")
app.command(epilog=CAPTURE_KEYS)(capture)
app.command()(evolve)
app.command()(report)
app.command()(doctor)


def main() -> None:
    """Run the command line in ``sys.argv``; exits with the status of the command."""
    warnings.showwarning = _show_warning
    try:
        app()
    except Exception as error:
        try:
            raise_if_shortage(error, "this command")
        except MemoryError as named:  # not enough of it for rich to print with
            sys.stderr.write(f"error: {named or 'not enough memory'}\n")
            raise SystemExit(FAILED) from None
        raise


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning like Python, with control characters of names escaped."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(output.printable(text, lines=True))
