"""``python -m benchmarks``; see `command`."""

import sys

if __name__ == "__main__":
    try:
        from benchmarks.command import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        sys.exit(130)
