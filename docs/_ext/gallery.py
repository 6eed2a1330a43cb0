"""The gallery: the order of its scripts, and the networks that they read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "examples" / "gallery"
_ORDER = ("layers", "seeds", "architectures", "checkpoints", "map")


class GalleryOrder:
    """Sorts scripts as a course has them, not by the alphabet."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __repr__(self) -> str:  # sphinx-gallery compares configurations by their text
        return "GalleryOrder"

    def __call__(self, file: str) -> int:
        """Return the place of a script."""
        return [f"plot_{name}.py" for name in _ORDER].index(file)


def before_script(gallery: dict[str, Any], script: str) -> None:  # noqa: ARG001
    """Run ``fastcka demo`` in the folder of the scripts; a later build reuses its files."""
    _run_demo()


@cache
def _run_demo() -> None:
    from fastcka.demo import run_demo

    run_demo(FOLDER / "fastcka-demo")
