"""benchmarks/ is not in the package: tests import it from the root of the clone."""

from __future__ import annotations

import sys
from pathlib import Path

# Not in a fixture: test files import from it. Last, so that it hides no other module.
sys.path.append(str(Path(__file__).parents[2]))
