"""The order of the gallery."""

from __future__ import annotations

_ORDER = ("layers", "seeds", "architectures", "checkpoints", "map")


class GalleryOrder:
    """Sorts scripts as a course has them, not by the alphabet."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __repr__(self) -> str:  # written into sphinx-gallery's configuration
        return "GalleryOrder"

    def __call__(self, file: str) -> int:
        """Return the place of a script."""
        return [f"plot_{name}.py" for name in _ORDER].index(file)
