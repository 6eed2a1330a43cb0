"""Write a report: all figures, all tables, and the page that shows them."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError
from fastcka.files import replaced_file, replaced_stream
from fastcka.out_of_memory import named_shortage
from fastcka.report.blocks import blocks
from fastcka.report.comparisons import comparisons
from fastcka.report.data import ReportData
from fastcka.report.evolution import evolution, evolution_summary
from fastcka.report.facts import read_facts
from fastcka.report.folder import claim, finish
from fastcka.report.items import Drawing, Image, Item, NotDrawn, Sheet, gathered
from fastcka.report.matrices import matrices
from fastcka.report.page import Picture, page_text
from fastcka.report.roles import find_roles
from fastcka.report.slices import cut
from fastcka.report.timelines import timelines
from fastcka.report.trends import trends
from fastcka.stats import read_results
from fastcka.stats.compare import PERMUTATIONS
from fastcka.sweep.planning.folder import RESULTS
from fastcka.sweep.results.table import cell, write_rows

if TYPE_CHECKING:
    from fastcka.stats import PairTable

PAGE = "index.html"
_MOST_DRAWN_STEPS = 3
_VIEWS: tuple[Callable[[ReportData], Iterator[Item]], ...] = (
    comparisons,
    trends,
    timelines,
    blocks,
    matrices,
)


@dataclass(frozen=True, slots=True)
class ReportResult:
    """The files of a report.

    Attributes
    ----------
    folder, page
        The folder and its ``index.html``.
    figures, tables
        PNG files and CSV files. Every figure of a sweep also has a PDF file.
    not_drawn
        What the report does not show, with the reason.
    """

    folder: Path
    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    not_drawn: tuple[NotDrawn, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a dict for JSON."""
        return {
            "folder": str(self.folder),
            "page": str(self.page),
            "figures": [str(path) for path in self.figures],
            "tables": [str(path) for path in self.tables],
            "not_drawn": [
                {"what": item.what, "reason": item.reason, "where": list(item.where)}
                for item in self.not_drawn
            ],
        }


@named_shortage("writing a report")
def write_report(
    results: str | Path,
    *,
    out: str | Path | None = None,
    variant: str | None = None,
    seed: str | None = None,
    family: str | None = None,
    all_steps: bool = False,
    permutations: int = PERMUTATIONS,
    progress: Callable[[str], None] | None = None,
) -> ReportResult:
    """Write a report of the results of a sweep, of `fastcka.evolution.evolve`, or of both.

    Parameters
    ----------
    results
        The folder that a sweep or `evolve` wrote, or the results.csv of a sweep.
    out
        Folder of the report, by default ``report/`` in the folder of the results. It must be new,
        empty, or an earlier report, which is replaced.
    variant, seed, family
        The factors with these roles (see `Roles`), by default the factors with these names.
    all_steps
        If a sweep has more than three steps, matrices, block means, comparisons and trends are
        drawn for the last step only; True draws all steps. The tables of matrices, block means and
        trends always contain all steps.
    permutations
        Number of relabellings in each permutation test.
    progress
        Called with the name of each file after it is written.

    Raises
    ------
    InputError
        ``results`` contains neither results.csv nor an analysis, the table lacks a field you named,
        or ``out`` contains something other than a report.
    MissingExtraError
        matplotlib or jinja2 is not installed.
    """
    results = Path(results)
    home = results if results.is_dir() else results.parent
    evolved = evolution_summary(home)
    swept = None
    if results.is_file() or (home / RESULTS).exists() or not evolved:
        parts = {"variant": variant, "seed": seed, "family": family}
        swept = _read_sweep(results, home, parts, all_steps=all_steps, permutations=permutations)
    folder = Path(out) if out is not None else home / "report"
    before = claim(folder)
    writer = _Writer(folder, progress)
    missing = [] if swept is None else list(swept.missing)
    items = [] if swept is None else [view(swept.data) for view in _VIEWS]
    for item in chain(*items, evolution(home)):
        if isinstance(item, NotDrawn):
            missing.append(item)
        elif isinstance(item, Drawing):
            writer.drawing(item)
        elif isinstance(item, Image):
            writer.image(item)
        else:
            writer.sheet(item)
    missing = gathered(missing)
    text = page_text(
        title=f"fastcka: {results.resolve().name}",
        summary=({} if swept is None else _summary(swept)) | evolved,
        pictures=writer.pictures,
        sheets=writer.sheets,
        not_drawn=missing,
    )
    writer.text(PAGE, text)
    finish(folder, writer.files, before)
    return ReportResult(
        folder=folder,
        page=folder / PAGE,
        figures=tuple(writer.figures),
        tables=tuple(folder / name for name in writer.files if name.endswith(".csv")),
        not_drawn=tuple(missing),
    )


@dataclass(frozen=True, eq=False)
class _Sweep:
    """The table, the data of the views, and what the views will not show."""

    table: PairTable
    data: ReportData
    missing: list[NotDrawn]


def _read_sweep(
    results: Path,
    home: Path,
    parts: Mapping[str, str | None],
    *,
    all_steps: bool,
    permutations: int,
) -> _Sweep:
    facts = read_facts(home)
    table = read_results(results, order=facts.order)
    roles = find_roles(table, **parts)
    if not len(table):
        raise InputError(
            f"{results}: expected at least one row in {RESULTS}, got none: nothing to report"
        )
    cut_table = cut(table, roles)
    drawn = cut_table.steps
    missing = [
        NotDrawn(f"{count:,} pairs {reason}", "no view shows such pairs; see results.csv")
        for reason, count in cut_table.left_out.items()
    ]
    missing += [
        NotDrawn(f"Group '{group}', which could not be computed", reason)
        for group, reason in facts.failed.items()
    ]
    if facts.problem is not None:
        missing.append(NotDrawn("Example filter, features, order of labels", facts.problem))
    if len(drawn) > _MOST_DRAWN_STEPS and not all_steps:
        missing.append(
            NotDrawn(
                f"Matrices, block means, comparisons and trends at {len(drawn) - 1} earlier steps",
                f"only step {drawn[-1]} is drawn; draw all steps with --all-steps. The tables of "
                "matrices, block means and trends contain all steps",
            )
        )
        drawn = drawn[-1:]
    data = ReportData(cut_table, roles, facts, frozenset(drawn), permutations)
    return _Sweep(table, data, missing)


class _Writer:
    """Writes items into the folder, each under a different name."""

    def __init__(self, folder: Path, progress: Callable[[str], None] | None) -> None:
        self._folder = folder
        self._progress = progress
        self.files: list[str] = []
        self.figures: list[Path] = []
        self.pictures: list[Picture] = []
        self.sheets: list[tuple[str, Sheet]] = []

    def drawing(self, item: Drawing) -> None:
        """Write a figure as PNG and PDF."""
        stem = self._free("figures", item.stem, ".png")
        for suffix in (".png", ".pdf"):
            # No dates, so that the files of two runs are equal.
            dates = {"CreationDate": None} if suffix == ".pdf" else {}
            with replaced_stream(self._folder / f"{stem}{suffix}") as file:
                item.figure.savefig(file, format=suffix[1:], metadata=dates)
            self._wrote(f"{stem}{suffix}")
        self._show(item, self._folder / f"{stem}.png", f"{stem}.png", f"{stem}.pdf")

    def image(self, item: Image) -> None:
        """Show a picture of the results on the page."""
        self._show(item, item.path, item.path.name)

    def _show(self, item: Drawing | Image, path: Path, *files: str) -> None:
        self.figures.append(path)
        encoded = base64.b64encode(path.read_bytes()).decode("ascii")
        uri = f"data:image/png;base64,{encoded}"
        self.pictures.append(Picture(title=item.title, about=item.about, data=uri, files=files))

    def sheet(self, item: Sheet) -> None:
        """Write a table as a CSV file that a spreadsheet can open safely."""
        name = self._free("tables", item.stem, ".csv") + ".csv"
        with io.StringIO(newline="") as text:
            write_rows(text, (map(csv_cell, row) for row in (item.header, *item.rows)))
            self.text(name, text.getvalue())
        self.sheets.append((name, item))

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


def _summary(swept: _Sweep) -> dict[str, str]:
    table, data = swept.table, swept.data
    roles, used = data.roles, len(data.cut.usable)
    models = table.models()
    undefined = int(sum(value != value for value in table.cka.tolist()))
    rows = {
        "pairs of representations": f"{len(table):,}, from {len(models):,} models",
        "pairs in this report": f"{used:,} (two models, same layer, same step)",
        "undefined similarities": f"{undefined:,}",
        "examples and features": data.facts.caption(table),
        "layers": ", ".join(str(name) for name in table.labels("layer")),
        "steps": ", ".join(str(name) for name in table.labels("step")),
    }
    for role in ("variant", "seed", "family"):
        field = getattr(roles, role)
        if field is None:
            rows[role] = "no factor has this role"
        else:
            names = ", ".join("(none)" if n is None else n for n in table.labels(field))
            rows[role] = names if field == role else f"{field}: {names}"
    return rows | data.facts.rows
