"""``python -m benchmarks``: run the suite, install the peers, render a record."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks import peer_folder, record, suite
from benchmarks.picture import draw
from benchmarks.race import Settings
from benchmarks.table import markdown, placed

HERE = Path(__file__).parent
OUTPUT = Path("build/benchmarks")
QUICK = {"repeats": 2, "limit": 0.5, "patience": 60.0}


def run(options):
    """Measure; print which packages are missing, and where the results are."""
    unknown = set(options.only or ()) - set(suite.names())
    if unknown:
        got = ", ".join(sorted(unknown))
        sys.exit(f"--only: expected names from {', '.join(suite.names())}; got {got}")
    missing = peer_folder.missing(options.peers)
    for package, reason in sorted(missing.items()):
        print(f"{package}: {reason}", flush=True)
    changes = QUICK if options.quick else {}
    settings = Settings(options.threads, options.peers, missing=missing, **changes)
    only = options.only or suite.names()
    suite.run(settings, options.output, only, quick=options.quick, tell=_tell)
    print(f"{options.output}: record.json, table.md" + ", growth.png" * ("growth" in only))


def peers(options):
    """Install the peers; status 1 if one does not work."""
    failed = 0
    for peer, reason in peer_folder.install(options.peers, options.only):
        print(f"{peer}: {reason or 'works'}", flush=True)
        failed += reason is not None
    sys.exit(failed > 0)


def render(options):
    """Put the tables and curves of a record into benchmarks/README.md; copy the record if asked."""
    facts = record.read(options.record)
    if options.keep is not None:
        record.Record(HERE / "records" / f"cpu-{options.keep}.json", facts).write()
    readme = HERE / "README.md"
    readme.write_text(placed(readme.read_text("utf-8"), markdown(facts)), encoding="utf-8")
    if "growth" in facts:
        draw(facts["growth"], HERE / "growth.png")


def parser():
    """The command line."""
    whole = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = whole.add_subparsers(required=True)

    cores = len(os.sched_getaffinity(0))
    one = commands.add_parser("run", help="measure; this is the default command")
    one.add_argument(
        "--only", nargs="+", metavar="PART", help=f"measure only these: {', '.join(suite.names())}"
    )
    one.add_argument(
        "--quick", action="store_true", help="small sizes, to see that everything runs"
    )
    one.add_argument("--threads", type=int, default=cores, help="default: all cores")
    one.add_argument("--output", type=Path, default=OUTPUT, help="folder for the results")
    one.add_argument("--peers", type=Path, default=peer_folder.DEFAULT, help="folder of the peers")
    one.set_defaults(call=run)

    one = commands.add_parser("peers", help="install the peers, each in a separate folder")
    one.add_argument(
        "--peers", type=Path, default=peer_folder.DEFAULT, help="folder to install into"
    )
    one.add_argument("--only", choices=peer_folder.REQUIREMENTS, help="install only this peer")
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


def _tell(text):
    print(text, flush=True)


def main(words=None):
    """Run the command; without one, `run`."""
    words = sys.argv[1:] if words is None else words
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["run", *words]
    options = parser().parse_args(words)
    try:
        options.call(options)
    except (record.RecordError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
