"""The files of a report: figures, tables and texts, each complete or absent."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from pathlib import Path

from fastcka.files import replaced_file, replaced_stream
from fastcka.report.items import Drawing, Sheet
from fastcka.sweep.results.table import cell, write_rows


class Writer:
    """Writes items into the folder, each under a different name."""

    def __init__(self, folder: Path, progress: Callable[[str], None] | None) -> None:
        self._folder = folder
        self._progress = progress
        self.files: list[str] = []
        self.figures: list[Path] = []
        self.contents: list[tuple[str, str, int | None]] = []

    def drawing(self, item: Drawing) -> None:
        """Write a figure as PNG and PDF."""
        stem = self._free("figures", item.stem, ".png")
        for suffix in (".png", ".pdf"):
            # No dates, so that the files of two runs are equal.
            dates = {"CreationDate": None} if suffix == ".pdf" else {}
            with replaced_stream(self._folder / f"{stem}{suffix}") as file:
                item.figure.savefig(file, format=suffix[1:], metadata=dates)
            self._wrote(f"{stem}{suffix}")
        self.figures.append(self._folder / f"{stem}.png")
        self.contents.append((f"{stem}.png, .pdf", "figure for a paper", None))

    def sheet(self, item: Sheet) -> None:
        """Write a table as a CSV file that a spreadsheet can open safely."""
        name = self._free("tables", item.stem, ".csv") + ".csv"
        with io.StringIO(newline="") as text:
            write_rows(text, (map(csv_cell, row) for row in (item.header, *item.rows)))
            self.text(name, text.getvalue())
        self.contents.append((name, item.title, len(item.rows)))

    def text(self, name: str, text: str) -> None:
        """Write a text file."""
        with replaced_file(self._folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
        self._wrote(name)

    def _free(self, folder: str, stem: str, suffix: str) -> str:
        safe = re.sub(r"[^A-Za-z0-9.]+", "_", stem).strip("_.")[:100] or "view"
        name, number = f"{folder}/{safe}", 2
        while name + suffix in self.files:
            name, number = f"{folder}/{safe}_{number}", number + 1
        return name

    def _wrote(self, name: str) -> None:
        self.files.append(name)
        if self._progress is not None:
            self._progress(name)


def csv_cell(value: object) -> str:
    """Return a value as text: empty for None and NaN, else as in results.csv."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    item = getattr(value, "item", None)  # NumPy's scalars
    return cell(item() if callable(item) else value)
