"""One part of `gpu_check.py` in a process, so that an error of the device ends with it.

python -m benchmarks.gpu PART --into FILE --scratch FOLDER [--seconds 100]
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks import clock
from benchmarks.gpu.part import FULL, TINY, Part
from benchmarks.gpu.rehearsal import rehearsing
from benchmarks.record import Record

#: Seconds for which `repeated` takes samples.
SAMPLING_SECONDS = 0.6


def chains(part, sizes, _):
    from benchmarks.gpu.chains import measure_chains

    measure_chains(part, sizes)


def calls(part, sizes, _):
    from benchmarks.gpu.calls import measure_calls

    measure_calls(part, sizes)


def copies(part, sizes, _):
    from benchmarks.gpu.copies import measure_copies

    measure_copies(part, sizes)


def store(part, sizes, scratch):
    from benchmarks.gpu.reads import measure_reads

    measure_reads(part, sizes, scratch)


def sweep(part, sizes, scratch):
    from benchmarks.gpu.sweeps import measure_sweeps

    measure_sweeps(part, sizes, scratch)


def groups(part, sizes, _):
    from benchmarks.gpu.calls import measure_groups

    measure_groups(part, sizes)


def rates(part, sizes, _):
    from benchmarks.rates import device_rates

    part.measure("device", device_rates, part.device, sizes.bytes_moved)


PARTS = {call.__name__: call for call in (chains, calls, copies, store, sweep, groups, rates)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=(*PARTS, *FULL.workloads))
    parser.add_argument("--into", required=True, help="JSON file for the measurements")
    parser.add_argument("--scratch", required=True, help="folder that all parts share")
    parser.add_argument(
        "--seconds", type=float, default=100.0, help="no measurement starts after this time"
    )
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    clock.SECONDS = 0.0 if rehearsing() else SAMPLING_SECONDS
    sizes = TINY if rehearsing() else FULL
    record = Record(options.into)
    common = {"device": "cpu" if rehearsing() else "cuda", "until": until}
    if options.part in PARTS:
        PARTS[options.part](Part(record, **common), sizes, options.scratch)
    else:
        from benchmarks.gpu.race import GpuRace

        GpuRace(sizes.workloads[options.part], record, **common).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
