"""Predictions in a separate process, as a user's first call makes them.

python -m benchmarks.predict    # shapes as JSON on stdin, their plans as JSON on stdout
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.process import ROOT, ContestantError, environment

#: Seconds for the predictions of all shapes.
PATIENCE = 60


def predictions(shapes, threads):
    """The plan of each (n, widths, threads, precision), all made by one new process."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.predict"],
            input=json.dumps(shapes),
            cwd=ROOT,
            env=environment(threads),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
            start_new_session=True,  # Ctrl-C reaches only the suite
        )
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise ContestantError(f"predictions: {reason}") from None
    except subprocess.TimeoutExpired:
        raise ContestantError(f"predictions: no answer after {PATIENCE} s") from None
    return json.loads(done.stdout)


def main():
    """Answer with the plan of each shape."""
    from benchmarks.by_fastcka import plan

    json.dump([plan(*shape) for shape in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
