"""What the suite prints while it measures: the part, the contestant, how much is left."""

from __future__ import annotations

import shutil
import sys
import time


class Progress:
    """A line for each part and each step, and on a terminal one about what happens in between.

    Parameters
    ----------
    parts
        The number of parts of the run.
    stream
        Where to print; a line that is replaced later is printed only to a terminal.
    """

    def __init__(self, parts, stream=None):
        self._parts, self._part = parts, 0
        self._stream = sys.stdout if stream is None else stream
        self._start = time.monotonic()
        self._steps = self._step = 0

    def part(self, title, steps):
        """Begin the next part, which has a number of steps."""
        self._part += 1
        self._steps, self._step = steps, 0
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        self.say(f"[{minutes}:{seconds:02}] Part {self._part} of {self._parts}: {title}")

    def begin(self, name):
        """Begin a line with the name of the next step, which runs now."""
        self._step += 1
        self.say(f"  {self._step} of {self._steps}: {name} ... ", end="")

    def done(self, outcome):
        """End the line of the step."""
        self._print(outcome)

    def now(self, text):
        """Show on a terminal what runs; the next text replaces it."""
        if self._stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            self._print(f"\r\x1b[K{f'  {text} ...'[:width]}", end="")

    def say(self, text, end="\n"):
        """Print a line that stays."""
        self._print(f"\r\x1b[K{text}" if self._stream.isatty() else text, end)

    def _print(self, text, end="\n"):
        print(text, end=end, file=self._stream, flush=True)
