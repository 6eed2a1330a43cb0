"""The command line of the suite: run it, install the peers, render a record."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from benchmarks import machine, peer_folder, record, suite
from benchmarks.picture import draw
from benchmarks.process import ContestantError
from benchmarks.progress import Progress
from benchmarks.race import Settings
from benchmarks.table import left_out, markdown, placed
from benchmarks.terminal import plain
from fastcka.processors import usable_processors

HERE = Path(__file__).parent
OUTPUT = Path("build/benchmarks")
QUICK_OUTPUT = OUTPUT / "quick"
QUICK = {
    "repeats": 2,
    "limit": 0.5,
    "patience": 60.0,
    "pause": 0.05,
    "extent": 1500,
    "reuse": True,
}
#: Seconds after which a quick run stops, and keeps what it has measured.
QUICK_SECONDS = 110
QUICK_HELP = (
    "small sizes, to see that everything runs; stops after two minutes; contestants are "
    f"extrapolated beyond {QUICK['limit']} s a call, not {Settings.limit:g} s; the other packages "
    "take part only in `pairs`"
)
#: Seconds in which another Ctrl-C changes nothing.
REPEATED = 5
#: Exit status after Ctrl-C: 128 + SIGINT, as shells expect.
INTERRUPTED = 130

ABOUT = """\
How fast is fastcka? This suite computes linear CKA of all pairs of some
representations with fastcka, with NumPy and torch code, and with eight other
CKA packages. It checks each answer against float64, times the calls, prints
tables, and writes them to a folder.

  python -m benchmarks --quick            small sizes, at most two minutes
  python -m benchmarks                    all parts: tens of minutes, on an idle machine
  python -m benchmarks --only pairs tall  some parts
  python -m benchmarks peers              install the eight other packages (once)
  python -m benchmarks render RECORD      put the tables of a run into benchmarks/README.md

Ctrl-C ends a run and keeps what was measured."""


def run(options):
    """Measure and print the tables; status 130 after Ctrl-C."""
    only = _parts(options.only)
    output = options.output or (QUICK_OUTPUT if options.quick else OUTPUT)
    missing = peer_folder.missing(options.peers)
    for line in left_out(missing):
        print(line, flush=True)
    if (output / "record.json").exists():
        print(f"The results of this run replace those of an earlier run in {output}.", flush=True)
    changes = QUICK if options.quick else {}
    settings = Settings(options.threads, options.peers, missing=missing, **changes)
    _stop_once()
    if options.quick:
        signal.signal(signal.SIGALRM, _time_over)
        signal.alarm(QUICK_SECONDS)
    progress = Progress(len(only))
    facts = suite.run(settings, output, only, quick=options.quick, progress=progress)
    signal.alarm(0)
    if facts is None:
        print("Stopped before anything was measured: nothing was written.")
        _exit_interrupted()
    print(f"\n{plain(markdown(facts, with_left_out=False))}")
    print(_ending(facts, output))
    if facts.get("stopped", {}).get("by") == "Ctrl-C":
        _exit_interrupted()


def peers(options):
    """Install the peers; status 1 if one does not work."""
    failed = 0
    chosen = [options.only] if options.only else list(peer_folder.REQUIREMENTS)
    print(f"Installing {', '.join(chosen)} into {options.peers}", flush=True)
    try:
        for peer, reason in peer_folder.install(options.peers, options.only):
            print(f"{peer}: {reason or 'works'}", flush=True)
            failed += reason is not None
    except KeyboardInterrupt:
        print("\nInterrupted: the packages named above are kept.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(failed > 0)


def render(options):
    """Put the tables and curves of a record into benchmarks/README.md; copy the record if asked."""
    facts = record.read(options.record)
    if options.keep is not None:
        record.Record(HERE / "records" / f"cpu-{options.keep}.json", facts).write()
    if "growth" in facts and machine.version("matplotlib") is None:
        raise ValueError("the curves need matplotlib: run `pip install matplotlib`")
    readme = HERE / "README.md"
    readme.write_text(placed(readme.read_text("utf-8"), markdown(facts)), encoding="utf-8")
    if "growth" in facts:
        draw(facts["growth"], HERE / suite.PICTURE)


def parser():
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    names = suite.names()
    width = max(map(len, names))
    parts = "\n".join(f"  {name:{width}}  {title}" for name, title in names.items())
    parts = f"parts (M representations of n examples and d features):\n{parts}"
    whole = argparse.ArgumentParser(
        prog="python -m benchmarks",
        usage="python -m benchmarks [COMMAND] [OPTIONS]",
        description=ABOUT,
        formatter_class=raw,
    )
    commands = whole.add_subparsers(
        title="commands", metavar="COMMAND", required=True, prog="python -m benchmarks"
    )
    one = commands.add_parser(
        "run",
        help="measure; this is the default, so its name can be left out",
        description="Measure, print the tables, and write record.json, table.md and growth.png.",
        epilog=parts,
        formatter_class=raw,
    )
    _add_run_options(one)
    whole.epilog = f"options of run:\n{_options_of(one)}\n\n{parts}"

    one = commands.add_parser("peers", help="install the eight other CKA packages")
    _add_folder_of_peers(one, "folder to install into, with a folder for each package")
    one.add_argument("--only", choices=peer_folder.REQUIREMENTS, help="install only this package")
    one.set_defaults(call=peers)

    one = commands.add_parser(
        "render", help="put the tables and curves of a record into benchmarks/README.md"
    )
    one.add_argument("record", type=Path, help="record.json of a run")
    one.add_argument(
        "--keep", metavar="NAME", help="also copy the record to benchmarks/records/cpu-NAME.json"
    )
    one.set_defaults(call=render)
    return whole


def _add_run_options(one):
    cores = usable_processors()[0]
    one.add_argument("--quick", action="store_true", help=QUICK_HELP)
    one.add_argument("--only", nargs="+", metavar="PART", help="measure only these parts")
    one.add_argument(
        "--threads",
        type=_threads,
        default=cores,
        metavar="N",
        help=f"threads of each contestant (default: all cores, {cores} here)",
    )
    one.add_argument(
        "--output",
        type=_folder,
        metavar="DIR",
        help=f"folder for the results (default: {OUTPUT}; with --quick {QUICK_OUTPUT})",
    )
    _add_folder_of_peers(one, "folder in which the command `peers` installed the other packages")
    one.set_defaults(call=run)


def _add_folder_of_peers(one, text):
    one.add_argument(
        "--peers",
        type=_folder,
        default=peer_folder.DEFAULT,
        metavar="DIR",
        help=f"{text} (default: {peer_folder.DEFAULT})",
    )


def _options_of(one):
    """The lines of a command's help about its options, without --help."""
    text = one.format_help()
    text = text[text.index("--help") :]
    return text[text.index("\n") + 1 : text.index("\n\nparts")].rstrip()


def _threads(text):
    cores = usable_processors()[0]
    if not text.isdecimal() or not 1 <= int(text) <= cores:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {cores}, got {text!r}")
    return int(text)


def _folder(text):
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, and {text} is a file")
    return path


def _parts(only):
    """The parts to measure, in the order of the suite."""
    names = suite.names()
    unknown = sorted(set(only or ()) - set(names))
    if unknown:
        got = ", ".join(unknown)
        sys.exit(f"--only: expected names from {', '.join(names)}; got {got}")
    return [name for name in names if only is None or name in only]


def _ending(facts, output):
    """What was kept, and where."""
    files = ["record.json", "table.md", suite.PICTURE]
    where = f"{output}: " + ", ".join(name for name in files if (output / name).exists())
    if "growth" in facts and not (output / suite.PICTURE).exists():
        where += f" ({suite.PICTURE} needs matplotlib: `pip install matplotlib`)"
    if "stopped" not in facts:
        return f"Written to {where}."
    stopped, parts = facts["stopped"], suite.measured(facts)
    why = "Interrupted" if stopped["by"] == "Ctrl-C" else f"Stopped after {QUICK_SECONDS} s"
    lacking = [*([stopped["in"]] if stopped["in"] else []), *stopped["left"]]
    lacking = [name for name in lacking if name not in parts]
    lost = f"; not measured: {', '.join(lacking)}" if lacking else ""
    kept = [f"{name} (in part)" if name == stopped["in"] else name for name in parts]
    return f"{why}: kept {', '.join(kept)} in {where}{lost}."


def _stop_once():
    """Let Ctrl-C stop the run, and ignore a key that repeats, so that the results are written."""
    last = float("-inf")

    def stop(*_):
        nonlocal last
        previous, last = last, time.monotonic()
        if last - previous > REPEATED:
            raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as in the background of a shell
        signal.signal(signal.SIGINT, stop)


def _exit_interrupted():
    """Exit. A key that repeats is ignored also while Python ends, when `stop` no longer works."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(INTERRUPTED)


def _time_over(*_):
    raise suite.TimeOver


def main(words=None):
    """Run the command; without one, `run`."""
    words = sys.argv[1:] if words is None else words
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["run", *words]
    options = parser().parse_args(words)
    try:
        options.call(options)
    except (record.RecordError, ContestantError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
