"""benchmarks/ is no part of the package: it is imported from the root of the clone."""

from __future__ import annotations

import sys
from pathlib import Path

# Not by a fixture: test files import from it. Last, so that nothing else is found there.
sys.path.append(str(Path(__file__).parents[2]))
